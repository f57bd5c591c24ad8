"""Pairs decided by a score: what a bound would touch is told before, and done and undone in one step."""

from typing import Any

import pytest
from gradio_client.exceptions import AppError

from app.ui import review, strings
from app.ui.by_score import Actions
from personal_store import jobs, pairs
from personal_store.nouns import NewPair, Scores
from tests.ui.conftest import Page, some_pairs, some_records

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

STEPS = 10


def pairs_in_steps(page: Page) -> tuple[int, ...]:
    """Ten pairs whose weaker entailment is 0.0, 0.1 ... 0.9; the filters keep the last three."""
    record_id = some_records(page.workspace)[0]
    with page.workspace.store() as store:
        job = jobs.create_job(store, "augment", {})
        return tuple(
            pairs.add_pair(
                store,
                NewPair(
                    record_id, job.id, step + 1, f"input {step}", "output", "tiny", 0, Scores(1.0, step / 10, 0.5, 1.0)
                ),
            )
            for step in range(STEPS)
        )


def counted(page: Page, *asked: Any) -> tuple[str, int, int]:
    said = page.client.predict(*asked, api_name="/count_by_score")
    return said["text"], said["accept"], said["reject"]


def decisions(page: Page) -> list[str | None]:
    return [card["decision"] for card in page.client.predict("all", api_name="/list_pairs")["cards"]]


@pytest.mark.parametrize(
    ("direction", "bound", "touched"),
    [("at least", 0.7, 3), ("at most", 0.2, 3), ("at least", 0, 10), ("at least", 0.95, 0)],
)
def test_the_bound_says_how_many_it_would_touch(page: Page, direction: str, bound: float, touched: int) -> None:
    pairs_in_steps(page)
    words, accept, reject = counted(page, "entailment", direction, bound, "all")
    assert words == f"{touched} of the 10 pairs shown"
    assert (accept, reject) == (touched, touched)


def test_only_pairs_that_are_shown_are_touched(page: Page) -> None:
    pairs_in_steps(page)
    words, *_ = counted(page, "entailment", "at least", 0.5, "rejected")
    assert words == "2 of the 7 pairs shown"


def test_all_below_a_bound_are_rejected_in_one_step_that_undo_takes_back(page: Page) -> None:
    first, *_ = pairs_in_steps(page)
    page.client.predict(first, "accepted", api_name="/decide")
    page.client.predict("entailment", "at most", 0.3, "all", "rejected", api_name="/decide_by_score")
    assert decisions(page) == ["rejected"] * 4 + [None] * 6
    page.client.predict("all", api_name="/undo")
    assert decisions(page) == ["accepted"] + [None] * 9


def test_accepting_by_a_score_leaves_edited_texts_and_what_is_accepted_alone(page: Page) -> None:
    *_, before, last = pairs_in_steps(page)
    page.client.predict(last, "edited", "my own words", api_name="/decide")
    page.client.predict(before, "accepted", api_name="/decide")
    assert counted(page, "entailment", "at least", 0.7, "all")[1:] == (1, 3)
    page.client.predict("entailment", "at least", 0.7, "all", "accepted", api_name="/decide_by_score")
    assert decisions(page)[-3:] == ["accepted", "accepted", "edited"]


def test_another_score_brings_its_own_bounds(page: Page) -> None:
    pairs_in_steps(page)
    slider, said, *_ = page.client.predict("length_ratio", "at most", "all", api_name="/choose_score")
    assert (slider["maximum"], slider["value"]) == (3, 1)
    assert said["text"].startswith("10 of the 10")


def test_pairs_that_arrived_since_the_list_was_drawn_are_neither_counted_nor_decided(page: Page) -> None:
    pairs_in_steps(page)
    drawn = page.client.predict("all", api_name="/list_pairs")
    with page.workspace.store() as store:
        job = jobs.create_job(store, "augment", {})
        new = NewPair(1, job.id, 1, "unseen", "output", "tiny", 0, Scores(1.0, 1.0, 0.5, 1.0))
        pairs.add_pair(store, new)
    tab, by_score = review.Actions(page.workspace), Actions(page.workspace, review.matching, lambda items, show: {})
    said, *_ = by_score.count("entailment", "at least", 0.5, "all", drawn)
    assert (said["text"], said["accept"]) == ("5 of the 10 pairs shown", 5)
    by_score.decide_drawn("entailment", "at least", 0.5, "all", drawn, "accepted")
    assert decisions(page) == [None] * 5 + ["accepted"] * 5 + [None]
    tab.decide_drawn("all", drawn, "rejected")
    assert decisions(page) == ["rejected"] * 10 + [None]
    tab.decide_drawn("all", tab.load("all"), "rejected")
    assert decisions(page) == ["rejected"] * 11


def test_the_list_is_drawn_again_where_it_is_open_once_an_augmentation_ended(page: Page) -> None:
    tab = review.Actions(page.workspace)
    waiting, empty = tab.poll(), tab.load("all")
    some_pairs(page.workspace, some_records(page.workspace)[0])
    assert tab.poll() != waiting
    assert len(tab.redraw("all", empty)["cards"]) == 2
    assert "cards" not in tab.redraw("all", {"counts": strings.JUDGING})


@pytest.mark.parametrize(
    "asked",
    [
        ("beauty", "at least", 0.5, "all", "accepted"),
        ("entailment", "about", 0.5, "all", "accepted"),
        ("entailment", "at least", 0.5, "all", "edited"),
    ],
)
def test_what_is_no_score_no_bound_or_no_decision_is_refused(page: Page, asked: tuple[Any, ...]) -> None:
    pairs_in_steps(page)
    with pytest.raises(AppError, match=r"choose one|use one of these"):
        page.client.predict(*asked, api_name="/decide_by_score")
    assert decisions(page) == [None] * STEPS
