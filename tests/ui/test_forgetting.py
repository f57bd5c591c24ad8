"""What the page says when something is forgotten: that it is gone without a trace only where it is."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.pipeline import editing
from app.pipeline.workspace import Workspace, open_workspace
from app.ui import belongings, strings
from app.ui.history import Actions
from tests.ui.conftest import some_records

STILL_READ = "Another program is reading the store; the last trace goes when it closes."


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    # Emptying the log waits for a reader as long as a change waits for another one.
    workspace = dataclasses.replace(open_workspace(tmp_path / "data"), busy_seconds=0.3)
    some_records(workspace, 6)
    return workspace


@pytest.fixture
def reader(workspace: Workspace) -> Iterator[None]:
    """Another program that reads the store and does not end."""
    with workspace.store() as other, other.snapshot():
        yield


def forgets(workspace: Workspace) -> str:
    return str(Actions(workspace).forget_record(1)["message"])


def makes_final(workspace: Workspace) -> str:
    editing.delete(workspace, [1])
    return str(belongings.Actions(workspace).make_final()["text"])


def deletes_everything(workspace: Workspace) -> str:
    return str(belongings.Actions(workspace).delete_everything(strings.WIPE_WORD)["text"])


EACH = pytest.mark.parametrize("does", [forgets, makes_final, deletes_everything])


@EACH
@pytest.mark.usefixtures("reader")
def test_while_another_program_reads_no_trace_is_said_to_be_gone(
    workspace: Workspace, does: Callable[[Workspace], str]
) -> None:
    said = does(workspace)
    assert said.endswith(STILL_READ)
    assert "without a trace" not in said


@EACH
def test_archives_that_still_hold_it_are_named(workspace: Workspace, does: Callable[[Workspace], str]) -> None:
    belongings.Actions(workspace).export()
    (archive,) = workspace.exports.iterdir()
    said = does(workspace)
    assert f"delete them as well: {archive}." in said
    assert "without a trace" not in said


def test_what_is_gone_without_a_trace_is_said_to_be(workspace: Workspace) -> None:
    assert forgets(workspace) == "1 record and 0 pairs made from it are gone without a trace."
    said = Actions(workspace).change({"action": "forget", "ids": [2, 3]})["message"]
    assert said == "2 records and 0 pairs made from them are gone without a trace."
    editing.delete(workspace, [4])
    made = belongings.Actions(workspace).make_final()
    assert (made["text"], made["tone"]) == (
        "Deleted records, earlier texts and what was made from them are gone without a trace.",
        "good",
    )
