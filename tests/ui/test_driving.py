"""The whole journey by the names of the page's actions, without a browser, and that no action is without a name."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import handle_file

from app.pipeline.local_service import CloudAddress
from app.ui.page import build_ui
from tests.cloud_stub.fakes import TOKEN, FakeModel, loaded, serving
from tests.test_journey import small_history
from tests.ui.conftest import Page

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

RECORDS = 10
"""Of the sample history; a few, so that training takes seconds."""
PATIENCE = 120.0
"""Seconds that a job may take."""
TEXT = "The lane outside the post office flooded on Monday night."


class Person:
    """Presses what the page offers, by name."""

    def __init__(self, page: Page) -> None:
        self._client = page.client

    def does(self, action: str, *arguments: Any) -> Any:
        """What the page answers."""
        return self._client.predict(*arguments, api_name=f"/{action}")

    def running(self) -> str:
        """What the header says of jobs."""
        (header, *_) = self.does("state")
        (now,) = [fact["value"] for fact in header["facts"] if fact["label"] == "Now"]
        return str(now)

    def waits(self) -> None:
        """Until nothing runs."""
        until = time.monotonic() + PATIENCE
        while self.running() != "Nothing is running":
            assert time.monotonic() < until, self.running()
            time.sleep(0.2)

    def record(self, id: int) -> Any:
        """A record of the history as the list shows it, or None."""
        rows = self.does("page_of_records", "", "", "newest", "", 1)["rows"]
        return next((row for row in rows if row["id"] == id), None)


@pytest.fixture
def person(page: Page) -> Iterator[Person]:
    """Someone at an empty page whose service really runs."""
    with serving(loaded(FakeModel())) as service:
        page.services.cloud = CloudAddress(service.url, TOKEN, local=True)
        yield Person(page)


def bring_in(person: Person, file: Path) -> None:
    """A file, looked at and imported as it was understood."""
    given = [handle_file(str(file))]
    _, *mapping = person.does("preview_history", given, "", "")
    report = person.does("import_history", given, "", "", *(choice["value"] for choice in mapping))
    assert report["headline"] == f"{RECORDS} imported."


def share_two(person: Person) -> list[int]:
    """The two oldest records shared."""
    rows = person.does("find_to_share", "")["rows"][-2:]
    ids = sorted(int(row["id"]) for row in rows)
    assert person.does("share_records", ids, True) == {"shared": ids, "total": RECORDS}
    return ids


def augment(person: Person, ids: list[int]) -> list[Any]:
    """What leaves is looked at, approved and sent; the cards of the pairs that came back."""
    shown, approval = person.does("preview_payload", 2, "")
    assert shown["facts"][1] == {**shown["facts"][1], "label": "Records", "value": "2"}
    person.does("approve", approval, 2, "")
    person.waits()
    cards: list[Any] = person.does("list_pairs", "all")["cards"]
    assert len(cards) == 2 * len(ids)
    return cards


def review(person: Person, cards: list[Any]) -> None:
    """One pair accepted, one rejected, and that taken back."""
    accepted, rejected = (int(card["id"]) for card in cards[:2])
    assert person.does("decide", accepted, "accepted")["card"]["kept"]
    assert person.does("decide", rejected, "rejected")["counts"].endswith("Decided by you: 2.")
    undone = person.does("undo", "all")
    assert [card["decision"] for card in undone["cards"][:2]] == ["accepted", None]


def train(person: Person) -> int:
    """An adapter, switched on."""
    person.does("train", *person.does("preset", "quick"), 0, "quick")
    assert person.running().startswith("Training")
    person.waits()
    (adapter,) = person.does("use_adapter", None)["rows"]
    (used,) = person.does("use_adapter", adapter["id"])["rows"]
    assert used["on"]
    return int(adapter["id"])


def write(person: Person) -> int:
    """Both answers, a vote, and the second answer kept; the id of its record."""
    answers, comparison, *_ = person.does("write", TEXT, "title", False, False)
    assert [side["title"] for side in answers["sides"]] == ["Before", "After"]
    voted = person.does("vote_second", comparison)
    assert [side["chosen"] for side in voted["sides"]] == [False, True]
    kept = person.does("keep_answer", answers["sides"][1]["answer"], "A lane under water")
    assert person.record(kept["record"])["output"] == "A lane under water"
    (row,) = person.does("insights")["votes"]["rows"]
    assert [part["count"] for part in row["parts"]] == [0, 0, 1]
    return int(kept["record"])


@pytest.mark.slow
def test_the_whole_journey_by_the_names_of_its_actions(person: Person, tmp_path: Path) -> None:
    bring_in(person, small_history(tmp_path, RECORDS))
    shared = share_two(person)
    review(person, augment(person, shared))
    adapter = train(person)
    kept = write(person)
    person.does("forget_record", kept)
    assert person.record(kept) is None
    said = person.does("forget_record", shared[0])["message"]
    assert "2 pairs made from it are gone" in said
    assert len(person.does("list_pairs", "all")["cards"]) == 2
    rows = {row["id"]: row["stale"] for row in person.does("use_adapter", None)["rows"]}
    assert rows == {adapter: True}


PRIVATE = {
    # The buttons below a list: the page's number comes with the event.
    ("turn", "select"): ("page_of_records", "page_of_pairs"),
    # Two buttons of one action, each with its word filled in.
    ("call", "click"): ("decide_shown", "decide_by_score"),
    # What is chosen of a list that was filled in the page.
    ("compare", "input"): ("compare_adapters",),
    # Opening a folded part draws it.
    ("choices", "expand"): ("show_adapter", "compare_adapters"),
    # Opening a tab draws what its own named actions answer too.
    ("load", "select"): ("state", "find_records", "find_to_share", "list_pairs", "insights", "choose_task"),
    # An import has ended, in this window or in another one.
    ("load", "change"): ("state", "find_records"),
    # Records have left, or an augmentation has ended.
    ("redraw", "change"): ("state", "list_pairs", "find_to_share", "find_records"),
    ("all_choices", "select"): (),
    # Opening the page says what a training would take.
    ("foresee", "then"): ("forecast",),
    # Another archive is chosen: the copy of the one before goes.
    ("hold", "change"): ("restore",),
}
"""Handlers of a person's doing that have no name of their own: by which names the same is done."""
NOT_A_PERSON = {"load", "unload", "tick", "success", "failure"}
"""Events that come by themselves."""
OF_LISTS = {
    "change": "change_records",
    "set_shared": "share_records",
    "decide": "decide",
    "judge_here": "judge",
    "use_adapter": "use_adapter",
    "sources": "adapter_sources",
    "keep_shown": "keep_answer",
    "pull_model": "pull_model",
    "pull_base": "pull_base",
    "show_rows": "training_rows",
}
"""What the lists' own buttons call, and the name by which the same is done."""


@pytest.fixture
def handlers(page: Page) -> list[Any]:
    """Every handler of the page."""
    return list(build_ui(page.services).fns.values())


def doings(handler: Any) -> set[str]:
    """Events of a person that call it."""
    return {event for _, event in handler.targets} - NOT_A_PERSON


def public(handlers: list[Any]) -> set[str]:
    return {handler.api_name for handler in handlers if handler.api_visibility == "public"}


def test_every_action_of_a_person_has_a_name(handlers: list[Any]) -> None:
    nameless = {(handler.name, event) for handler in handlers for event in doings(handler) if not is_public(handler)}
    assert nameless == set(PRIVATE)
    assert {name for names in PRIVATE.values() for name in names} <= public(handlers)


def is_public(handler: Any) -> bool:
    return bool(handler.api_visibility == "public")


def test_every_button_of_a_list_has_a_name(page: Page, handlers: list[Any]) -> None:
    called: set[Callable[..., Any]] = set()
    for component in build_ui(page.services).blocks.values():
        called |= set(getattr(component, "server_fns", None) or ())
    assert {function.__name__ for function in called} == set(OF_LISTS)
    assert set(OF_LISTS.values()) <= public(handlers)
