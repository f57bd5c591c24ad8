from pathlib import Path

import pytest

from app.errors import NothingToTrain
from app.pipeline.rows import first_rows
from app.pipeline.workspace import open_workspace
from personal_store import records
from personal_store.nouns import NewRecord
from tests import tiny


def test_rows_are_shown_as_they_are_learned_the_completion_apart(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "data")
    with workspace.store() as store:
        records.add_records(store, [NewRecord("title", f"Text {n}", f"Title {n}", None, "test") for n in range(3)])
    model = str(tiny.tiny_gguf(tmp_path))
    rows = first_rows(workspace, 2, "title", model)
    assert len(rows) == 2
    for row in rows:
        (number,) = [n for n in range(3) if f"Text {n}" in row.prompt]
        assert row.completion == f"Title {number}<|im_end|>"
        assert "Title" not in row.prompt.replace("title", "")
        assert row.prompt.endswith("<|im_start|>assistant\n")
        assert row.tokens > 10


def test_without_records_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NothingToTrain):
        first_rows(open_workspace(tmp_path / "data"), 2, model=str(tiny.tiny_gguf(tmp_path)))
