"""`cdcda bases`: see, fetch, choose and remove, as a person types it."""

from pathlib import Path

import pytest

from app.cli import main
from app.pipeline.workspace import open_workspace
from tests.cloud_stub.fakes import TOKEN
from tests.cloud_stub.test_bases import offering
from tests.device.random_base import random_base
from tests.test_cli import run
from tests.tiny import tiny_gguf


def own(found: dict[str, list[dict[str, object]]]) -> list[tuple[object, object]]:
    """Those that did not come with the install: name, and whether they are here."""
    return [(row["name"], row["installed"]) for row in found["bases"] if not row["embedded"]]


def test_a_base_is_listed_fetched_chosen_and_removed(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    random_base(tmp_path / "offered", tiny_gguf(tmp_path), "theirs")
    with offering(tmp_path / "offered") as url:
        service = ["--cloud-url", url, "--cloud-token", TOKEN]
        assert own(run(capsys, data_dir, "bases")) == []
        assert own(run(capsys, data_dir, "bases", "list", *service)) == [("theirs", False)]
        fetched = run(capsys, data_dir, "bases", "pull", "theirs", *service)
        assert fetched == {"name": "theirs", "licence": "CC0", "attribution": "nobody"}
        assert "offers no base 'none'" in run(capsys, data_dir, "bases", "pull", "none", *service, code=1)
    listed = run(capsys, data_dir, "bases", "list")
    assert own(listed) == [("theirs", True)]
    assert listed["choices"]["title"] == "automatic"
    assert run(capsys, data_dir, "bases", "use", "theirs", "--task", "LaMP_5") == {"task": "title", "use": "theirs"}
    assert run(capsys, data_dir, "bases", "list")["choices"]["title"] == "theirs"
    assert run(capsys, data_dir, "bases", "remove", "theirs") == {"removed": "theirs", "adapters": []}
    assert own(run(capsys, data_dir, "bases", "list")) == []


def test_what_is_asked_wrongly_is_one_sentence(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    assert "--cloud-url" in run(capsys, data_dir, "bases", "pull", "x", code=2)
    assert "no base 'x'" in run(capsys, data_dir, "bases", "use", "x", "--task", "title", code=2)
    assert "no task 'y'" in run(capsys, data_dir, "bases", "use", "none", "--task", "y", code=2)
    assert "no base 'x'" in run(capsys, data_dir, "bases", "remove", "x", code=2)


def test_the_table_tells_what_a_base_brought(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    random_base(open_workspace(data_dir).bases, tiny_gguf(tmp_path), "mine")
    assert main(["bases", "use", "mine", "--task", "title", "--data-dir", str(data_dir)]) == 0
    assert main(["bases", "--data-dir", str(data_dir)]) == 0
    said = capsys.readouterr().out
    assert "rouge_1 0.10 -> 0.30" in said
    assert "The task title uses: mine." in said
