"""What an adapter learned from, down to the records, and two adapters side by side."""

import dataclasses
from pathlib import Path

import pytest

from app.errors import BadInput
from app.pipeline import forgetting, lineage
from app.pipeline.workspace import Workspace, open_workspace
from personal_store import decisions, jobs, pairs, records, training
from personal_store.errors import NotFound
from personal_store.nouns import NewPair, NewRecord, Scores

GOOD = Scores(0.9, 0.9, 0.4, 1.1)
STEPS = ((1, 3.0), (2, 2.5), (3, 2.0))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Six records, of which the first two have a pair each."""
    made = open_workspace(tmp_path)
    new = [
        NewRecord("title", f"input {number}", f"output {number}", f"2024-01-0{number}", "test")
        for number in range(1, 7)
    ]
    with made.store() as store:
        ids = records.add_records(store, new).added
        job = jobs.create_job(store, "augment", {})
        for id in ids[:2]:
            pairs.add_pair(store, NewPair(id, job.id, 1, f"pair of {id}", "said anew", "tiny", 0, GOOD))
    return made


def adapter(workspace: Workspace, record_ids: list[int], pair_ids: list[int], **settings: int) -> int:
    """An adapter that learned from these, with losses as its training told them."""
    with workspace.store() as store:
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "running")
        for step, loss in STEPS:
            told = {"step": step, "loss": loss, "held_out_loss": loss + 1 if step == 3 else None}
            jobs.add_event(store, job.id, "progress", told)
        learned = training.save_training_set(store, record_ids, pair_ids, [6], 0, "ab" * 32)
        scores = {"metric": "ROUGE-L", "higher_is_better": True, "verdict": "better"}
        scores |= {"personal": {"value": 0.5, "low": 0.4, "high": 0.6}}
        manifest = {"task": "title", "settings": {"rank": 16, "epochs": 3} | settings, "scores": scores}
        return training.add_adapter(store, f"Title {job.id}", f"job-{job.id}", "tiny", learned.id, job.id, manifest).id


def test_records_come_in_their_order_each_with_the_pairs_made_from_it(workspace: Workspace) -> None:
    told = lineage.lineage(workspace, adapter(workspace, [3, 1, 2], [1, 2]))
    assert [learned.record_id for learned in told.learned] == [3, 1, 2]
    assert [[item.pair.id for item in learned.pairs] for learned in told.learned] == [[], [1], [2]]
    assert [learned.record and learned.record.output for learned in told.learned] == [
        "output 3",
        "output 1",
        "output 2",
    ]
    assert (told.records, told.pairs, told.held_out, told.forgotten_records) == (3, 2, 1, 0)


def test_a_pair_that_was_not_learned_from_is_not_told(workspace: Workspace) -> None:
    told = lineage.lineage(workspace, adapter(workspace, [1, 2], [2]))
    assert [[item.pair.id for item in learned.pairs] for learned in told.learned] == [[], [2]]


def test_an_edited_pair_is_told_with_the_persons_own_words(workspace: Workspace) -> None:
    id = adapter(workspace, [1], [1])
    with workspace.store() as store:
        decisions.decide(store, 1, "edited", output="my own words")
    assert [item.output for item in lineage.lineage(workspace, id).learned[0].pairs] == ["my own words"]


def test_what_was_forgotten_is_told_as_such_with_no_text(workspace: Workspace) -> None:
    id = adapter(workspace, [1, 2, 3], [1, 2])
    forgetting.forget(workspace, 1)
    told = lineage.lineage(workspace, id)
    assert (told.records, told.forgotten_records, told.pairs, told.forgotten_pairs) == (3, 1, 2, 1)
    assert [learned.record is None for learned in told.learned] == [True, False, False]
    assert "output 1" not in repr(told)


@pytest.mark.parametrize(("offset", "limit", "ids"), [(0, 2, [1, 2]), (2, 2, [3]), (9, 2, []), (1, None, [2, 3])])
def test_a_stretch_is_told_at_a_time(workspace: Workspace, offset: int, limit: int | None, ids: list[int]) -> None:
    told = lineage.lineage(workspace, adapter(workspace, [1, 2, 3], []), offset, limit)
    assert [learned.record_id for learned in told.learned] == ids
    assert told.records == 3


def test_an_imported_adapter_says_that_its_sources_are_unknown(workspace: Workspace) -> None:
    with workspace.store() as store:
        id = training.add_adapter(store, "From elsewhere", "imported-1", "tiny", None, None, {}).id
    assert not lineage.lineage(workspace, id).known


def test_two_adapters_differ_in_settings_and_records(workspace: Workspace) -> None:
    one, other = adapter(workspace, [1, 2, 3], [1]), adapter(workspace, [2, 3, 4, 5], [], rank=8)
    two = lineage.compare_runs(workspace, one, other)
    assert two.differing == {"rank": (16, 8)}
    assert two.in_both == 2
    assert [[id for id, _ in run.only_here] for run in (two.first, two.second)] == [[1], [4, 5]]
    assert [(run.records, run.pairs, run.held_out) for run in (two.first, two.second)] == [(3, 1, 1), (4, 0, 1)]
    assert two.first.losses == STEPS
    assert two.first.held_out_losses == ((3, 3.0),)
    assert two.first.verdict == "better"
    assert two.first.scored
    assert dataclasses.astuple(two.first.scored.scores["personal"]) == (0.5, 0.4, 0.6)


def test_a_forgotten_record_of_one_alone_keeps_its_number(workspace: Workspace) -> None:
    one, other = adapter(workspace, [1, 2], []), adapter(workspace, [2], [])
    forgetting.forget(workspace, 1)
    assert lineage.compare_runs(workspace, one, other).first.only_here == ((1, None),)


def test_an_adapter_is_not_compared_with_itself_or_with_one_that_is_not_there(workspace: Workspace) -> None:
    id = adapter(workspace, [1], [])
    with pytest.raises(BadInput, match="Two different adapters"):
        lineage.compare_runs(workspace, id, id)
    with pytest.raises(NotFound):
        lineage.compare_runs(workspace, id, 99)
