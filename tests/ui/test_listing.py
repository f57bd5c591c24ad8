"""The lists of records as they are asked for: their pages, what is picked among them, and records that are gone."""

from pathlib import Path

import pytest

from app.pipeline.generation import Writer
from app.pipeline.workspace import Workspace, open_workspace
from app.ui import share, strings
from app.ui.history import Actions
from app.ui.services import Services
from personal_store import records
from tests.ui.conftest import NOWHERE, some_records


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "data")


def test_a_page_behind_the_last_one_is_the_last_one(workspace: Workspace) -> None:
    history, ids = Actions(workspace), some_records(workspace, 51)
    assert len(history.load("", "", "newest", "", 2)["rows"]) == 1
    history.change({"action": "forget", "ids": [ids[0]]})
    shown = history.load("", "", "newest", "", 2)
    assert (len(shown["rows"]), shown["page"], shown["pages"], shown["last"]) == (50, 1, 1, 50)
    shared = share.Actions(Services(workspace, NOWHERE, Writer(workspace))).rows("", "", 2)
    assert [row["id"] for row in shared["rows"]] == [row["id"] for row in shown["rows"]]


@pytest.mark.parametrize("action", ["share", "keep", "delete", "forget", "task"])
def test_of_many_records_those_that_are_gone_are_left_out(workspace: Workspace, action: str) -> None:
    history, (gone, *ids) = Actions(workspace), some_records(workspace, 3)
    history.change({"action": "forget", "ids": [gone]})
    answer = history.change({"action": action, "ids": [gone, ids[0]], "task": "chat"})
    assert answer["message"].startswith("1 record ")
    assert history.change({"action": action, "ids": [gone], "task": "chat"})["message"] == strings.GONE_ALREADY
    with workspace.store() as store:
        here = records.present_ids(store, [gone, *ids])
    assert here == set(ids) - ({ids[0]} if action in ("delete", "forget") else set())


def test_a_list_says_among_which_records_it_was_picked(workspace: Workspace) -> None:
    history = Actions(workspace)
    some_records(workspace, 3)
    first = history.load("", "", "newest", "")
    assert history.load("", "", "oldest", "", 2)["among"] == first["among"]
    for asked in (("river", "", "newest", ""), ("", "title", "newest", ""), ("", "", "newest", "shared")):
        assert history.load(*asked)["among"] != first["among"]
