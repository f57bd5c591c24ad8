from collections.abc import Callable

import pytest

from personal_store.decisions import decide, decide_all, decisions, undo
from personal_store.errors import NotFound
from personal_store.jobs import create_job
from personal_store.nouns import Record, Scores
from personal_store.pairs import find_pairs, finish_record, finished_records, get_pair
from personal_store.store import Store

Add = Callable[..., Record]
AddSynthetic = Callable[..., int]


def test_a_pair_comes_back_with_its_scores(store: Store, add: Add, add_synthetic: AddSynthetic) -> None:
    pair = get_pair(store, add_synthetic(add("a").id, number=3))
    assert (pair.number, pair.input, pair.output) == (3, "synthetic", "made")
    assert pair.scores == Scores(0.9, 0.8, 0.7, 1.1)
    with pytest.raises(NotFound, match="pair 99"):
        get_pair(store, 99)


def test_a_repeat_of_job_record_and_number_is_ignored(store: Store, add: Add, add_synthetic: AddSynthetic) -> None:
    record, job = add("a"), create_job(store, "augment", {}).id
    first = add_synthetic(record.id, job_id=job)
    assert add_synthetic(record.id, job_id=job, input="another") == first
    assert get_pair(store, first).input == "synthetic"
    assert add_synthetic(record.id, number=2, job_id=job) != first


def test_pairs_of_an_unknown_job_are_refused(add: Add, add_synthetic: AddSynthetic) -> None:
    with pytest.raises(NotFound, match="job 9"):
        add_synthetic(add("a").id, job_id=9)


def test_pairs_by_record_and_job(store: Store, add: Add, add_synthetic: AddSynthetic) -> None:
    a, b = add("a"), add("b")
    job = create_job(store, "augment", {}).id
    first, second, third = add_synthetic(a.id, job_id=job), add_synthetic(b.id, job_id=job), add_synthetic(a.id)
    assert [pair.id for pair in find_pairs(store)] == [first, second, third]
    assert [pair.id for pair in find_pairs(store, record_ids=[a.id])] == [first, third]
    assert [pair.id for pair in find_pairs(store, record_ids=[a.id], job_id=job)] == [first]
    assert [pair.id for pair in find_pairs(store, newest=2)] == [second, third]
    assert [pair.id for pair in find_pairs(store, job_id=job, newest=1)] == [second]
    assert find_pairs(store, record_ids=[]) == ()


def test_finished_records_are_those_of_the_job(store: Store, add: Add) -> None:
    record = add("a")
    first, second = create_job(store, "augment", {}).id, create_job(store, "augment", {}).id
    finish_record(store, first, record.id)
    finish_record(store, first, record.id)
    assert finished_records(store, first) == {record.id}
    assert finished_records(store, second) == frozenset()


def test_the_latest_decision_is_in_force_and_undo_brings_the_one_before_back(
    store: Store, add: Add, add_synthetic: AddSynthetic
) -> None:
    pair, other = add_synthetic(add("a").id), add_synthetic(add("b").id)
    accepted = decide(store, pair, "accepted")
    decide(store, other, "rejected")
    edited = decide(store, pair, "edited", output="mine")
    assert decisions(store)[pair] == edited
    assert undo(store) == (edited,)
    assert decisions(store)[pair] == accepted
    undo(store)
    undo(store)
    assert decisions(store) == {}
    assert undo(store) == ()


def test_what_was_decided_in_one_step_is_undone_in_one_step(
    store: Store, add: Add, add_synthetic: AddSynthetic
) -> None:
    first, second, third = (add_synthetic(add(text).id) for text in "abc")
    before = decide(store, first, "accepted")
    decide_all(store, [first, second, third], "rejected")
    assert {decision.kind for decision in decisions(store).values()} == {"rejected"}
    assert [decision.pair_id for decision in undo(store)] == [first, second, third]
    assert decisions(store) == {first: before}


def test_a_step_with_a_pair_that_is_not_there_changes_nothing(
    store: Store, add: Add, add_synthetic: AddSynthetic
) -> None:
    pair = add_synthetic(add("a").id)
    with pytest.raises(NotFound):
        decide_all(store, [pair, 999], "accepted")
    with pytest.raises(ValueError, match="one pair"):
        decide_all(store, [pair], "edited")
    assert decisions(store) == {}


def test_only_an_edit_has_texts(store: Store, add: Add, add_synthetic: AddSynthetic) -> None:
    pair = add_synthetic(add("a").id)
    with pytest.raises(ValueError, match="edit"):
        decide(store, pair, "accepted", output="mine")
    with pytest.raises(ValueError, match="edit"):
        decide(store, pair, "edited")
    with pytest.raises(NotFound):
        decide(store, 99, "accepted")
