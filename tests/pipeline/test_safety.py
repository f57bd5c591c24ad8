from collections.abc import Iterator
from pathlib import Path

import pytest

from app.pipeline import names, safety
from app.pipeline.review import reviewed_pairs
from app.pipeline.safety import OFFENSIVE, added, offensive_words
from personal_store import jobs, pairs
from personal_store.nouns import NewPair
from tests.pipeline.support import GOOD, workspace_with


@pytest.fixture(autouse=True)
def without_a_recogniser(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The extra `names` may be installed, and its English model finds people in Russian words."""
    monkeypatch.setattr(names, "recogniser", lambda: None)
    for cached in (safety._found, safety._added):
        cached.cache_clear()
    yield
    for cached in (safety._found, safety._added):
        cached.cache_clear()


RECORD = ("Write to ann@example.org about the damned bus", "the bus, again")


@pytest.mark.parametrize(
    ("pair", "found"),
    [
        (("A bus was late", "buses, again"), ()),
        (("Write to ann@example.org", "the bus"), ()),
        (("Write to bob@example.org", "the bus"), ("e-mail address",)),
        (("Write to ann@example.org", "the bus of ann@example.com"), ("e-mail address",)),
        (("Call +44 20 7946 0958 about it", "the bus"), ("phone number",)),
        (("A bus was late", "my key is sk-abcdefghijklmnop1234"), ("key or token",)),
        (("A bus was late", "what an asshole"), (OFFENSIVE,)),
        (("A bus was late", "A Blow\njob, he said"), (OFFENSIVE,)),
        (("A blow to the bus, a job", "the job of a bus"), ()),
        (("Автобус опоздал, бардак", "автобус"), (OFFENSIVE,)),
        (("変態のバス", "バス"), (OFFENSIVE,)),
    ],
)
def test_what_the_record_does_not_hold_is_found(pair: tuple[str, str], found: tuple[str, ...]) -> None:
    assert added(pair, RECORD) == found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Call (020) 7946-0958", ()),
        ("Call 020 7946 0958, or ask Bob", ()),
        ("Call 020 7946 0959", ("phone number",)),
        ("my name is Anna", ()),
        ("my name is Bella", ()),
    ],
)
def test_the_records_own_number_is_no_finding_however_it_is_written_and_another_one_is(
    said: str, found: tuple[str, ...]
) -> None:
    assert added((said, "title"), ("My name is Anna Lee, call 020 7946 0958", "title")) == found


def test_what_the_person_says_themselves_is_no_finding() -> None:
    assert added(("What an asshole!", "that asshole"), ("The driver is an asshole", "asshole drives")) == ()


def test_a_word_inside_another_is_not_that_word() -> None:
    assert not offensive_words("The class in Scunthorpe will assess a cockpit and a shiitake soup")


def test_a_pair_that_passes_the_filters_and_holds_a_phone_number_is_rejected_with_the_reason(tmp_path: Path) -> None:
    workspace, (record_id,) = workspace_with(tmp_path, 1)
    with workspace.store() as store:
        job = jobs.create_job(store, "augment", {})
        for number, text in enumerate(("Call me about it.", "Call +44 20 7946 0958 about it."), 1):
            pairs.add_pair(store, NewPair(record_id, job.id, number, text, "A title", "test", 0, GOOD))
    harmless, leaking = reviewed_pairs(workspace)
    assert harmless.kept
    assert not leaking.kept
    assert leaking.verdict.reasons["safety"] == "it holds what your record does not: phone number"
