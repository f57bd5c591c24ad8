"""Models and adapters that cannot be used: one sentence on the command line, whatever they are wanted for."""

from pathlib import Path

import pytest

from app.cli import main
from app.pipeline.models import use_model
from app.pipeline.workspace import open_workspace
from tests.pipeline.support import personal_adapter, workspace_with
from tests.tiny import tiny_folder, tiny_gguf

USES = (["generate", "hello"], ["serve", "--port", "0"], ["train"])


def refused(capsys: pytest.CaptureFixture[str], data_dir: Path, *arguments: str) -> str:
    assert main([*arguments, "--data-dir", str(data_dir)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("cdcda: ")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize("use", USES, ids=lambda use: use[0])
def test_a_gguf_that_was_cut_short(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: list[str]
) -> None:
    path = tiny_gguf(tmp_path)
    workspace_with(tmp_path / "data", 6)
    path.write_bytes(path.read_bytes()[:-5_000])
    monkeypatch.setenv("CDCDA_DEVICE_MODEL", str(path))
    assert "was cut short; delete it and fetch the model again" in refused(capsys, tmp_path / "data", *use)


@pytest.mark.parametrize("use", USES, ids=lambda use: use[0])
def test_a_safetensors_folder_without_a_tokenizer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: list[str]
) -> None:
    folder = tiny_folder(tmp_path)
    workspace_with(tmp_path / "data", 6)
    (folder / "tokenizer.json").unlink()
    monkeypatch.setenv("CDCDA_DEVICE_MODEL", str(folder))
    assert "lacks tokenizer.json; copy what is missing" in refused(capsys, tmp_path / "data", *use)


@pytest.mark.parametrize("use", [["generate", "hello"], ["compare", "hello"]], ids=lambda use: use[0])
def test_an_adapter_for_another_base(capsys: pytest.CaptureFixture[str], tmp_path: Path, use: list[str]) -> None:
    workspace = open_workspace(tmp_path / "data")
    personal_adapter(workspace, tiny_gguf(tmp_path))
    use_model(workspace, str(tiny_gguf(tmp_path, seed=1)))
    said = refused(capsys, workspace.data_dir, *use, "--adapter", "1")
    assert (
        "Mine 1 was trained on tiny-llama-0 and not on tiny-llama-1, which writes here now; choose its model again"
        in said
    )


def test_an_adapter_for_another_base_is_not_imported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "data")
    model = tiny_gguf(tmp_path)
    use_model(workspace, str(model))
    personal_adapter(workspace, model)
    out = str(tmp_path / "out")
    assert main(["adapters", "export", "1", "--out", out, "--data-dir", str(workspace.data_dir)]) == 0
    capsys.readouterr()
    use_model(workspace, str(tiny_gguf(tmp_path, "qwen2")))
    said = refused(capsys, workspace.data_dir, "adapters", "import", out)
    assert "trained on tiny-llama-0 and not on this tiny-qwen2-0" in said
