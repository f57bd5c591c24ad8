import datetime
from pathlib import Path

import pytest

from app.errors import BadInput, NothingToTrain
from app.pipeline.dataset import build_training_set, gather
from app.pipeline.forgetting import forget
from app.pipeline.judging import Thresholds, count, judge, load_thresholds, save_thresholds
from app.pipeline.review import accept, decided_since, edit, reject, reviewed_pairs, take_back, undo
from app.pipeline.workspace import open_workspace
from personal_store.errors import NotFound
from personal_store.nouns import Scores
from tests.pipeline.support import BAD, GOOD, add_pairs, workspace_with


def test_each_filter_gives_its_own_reason() -> None:
    verdict = judge(BAD, Thresholds(), ["phone number"])
    assert not verdict.kept
    assert all(verdict.reasons.values())
    assert judge(GOOD, Thresholds()).kept
    edge = Scores(entails=0.7, entailed=0.7, rouge_l=0.8, length_ratio=2.0)
    assert judge(edge, Thresholds()).kept


def test_a_pair_that_fails_all_three_counts_in_each() -> None:
    counts = count([judge(BAD, Thresholds(), ["key or token"]), judge(GOOD, Thresholds())])
    assert (counts.pairs, counts.kept) == (2, 1)
    assert counts.rejected == {"consistency": 1, "diversity": 1, "length": 1, "safety": 1}


def test_thresholds_are_kept_and_nonsense_is_refused(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    assert load_thresholds(workspace) == Thresholds()
    save_thresholds(workspace, Thresholds(entailment=0.7))
    assert load_thresholds(workspace).entailment == 0.7
    for nonsense in (Thresholds(entailment=1.1), Thresholds(shortest=3.0), Thresholds(rouge_l=-1)):
        with pytest.raises(BadInput):
            save_thresholds(workspace, nonsense)


def test_the_person_outranks_the_filters_and_can_take_it_back(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    good, bad = add_pairs(workspace, ids[:1], GOOD)[0], add_pairs(workspace, ids[1:], BAD)[0]

    def kept() -> dict[int, bool]:
        return {item.pair.id: item.kept for item in reviewed_pairs(workspace)}

    assert kept() == {good: True, bad: False}
    reject(workspace, [good])
    accept(workspace, [bad])
    assert kept() == {good: False, bad: True}
    assert [decision.pair_id for decision in undo(workspace)] == [bad]
    assert kept() == {good: False, bad: False}


def test_undoing_goes_back_through_decisions_and_thresholds_in_the_order_of_their_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def later() -> str:
        nonlocal moment
        moment += datetime.timedelta(seconds=1)
        return moment.isoformat(timespec="milliseconds")

    monkeypatch.setattr("app.pipeline.judging.now", later)
    monkeypatch.setattr("personal_store.decisions.now", later)
    workspace, ids = workspace_with(tmp_path, 1)
    (pair,) = add_pairs(workspace, ids, GOOD)
    # A slider on its way is one step; another slider is another one.
    for entailment in (0.75, 0.8, 0.85):
        save_thresholds(workspace, Thresholds(entailment=entailment))
    save_thresholds(workspace, Thresholds(entailment=0.85, rouge_l=0.6))
    reject(workspace, [pair])
    moment += datetime.timedelta(minutes=1)
    save_thresholds(workspace, Thresholds(entailment=0.95, rouge_l=0.6))
    back = [take_back(workspace) for _ in range(5)]
    assert [step.thresholds for step in back] == [
        Thresholds(entailment=0.85, rouge_l=0.6),
        None,
        Thresholds(entailment=0.85),
        Thresholds(),
        None,
    ]
    assert [[decision.pair_id for decision in step.decisions] for step in back] == [[], [pair], [], [], []]
    assert load_thresholds(workspace) == Thresholds()


def test_an_edit_keeps_the_pair_with_the_persons_words(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 1)
    (pair,) = add_pairs(workspace, ids, BAD)
    edit(workspace, pair, output="My own words")
    (item,) = reviewed_pairs(workspace)
    assert (item.kept, item.output, item.input) == (True, "My own words", f"Like {ids[0]}.")
    with pytest.raises(BadInput):
        edit(workspace, pair, output="  ")


@pytest.mark.parametrize("texts", [{"input": "   "}, {"input": ""}, {"output": "\n"}])
def test_an_edit_with_an_emptied_text_is_refused(tmp_path: Path, texts: dict[str, str]) -> None:
    workspace, ids = workspace_with(tmp_path, 1)
    (pair,) = add_pairs(workspace, ids)
    with pytest.raises(BadInput, match=f"The {next(iter(texts))} has 1 to .* characters, got 0"):
        edit(workspace, pair, **({"input": "About the lane", "output": "My own words"} | texts))
    assert reviewed_pairs(workspace)[0].decision is None


def test_an_edit_is_kept_without_blanks_around_it(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 1)
    (pair,) = add_pairs(workspace, ids)
    edit(workspace, pair, input=" About the lane\n", output="\tMy own words ")
    (item,) = reviewed_pairs(workspace)
    assert (item.input, item.output) == ("About the lane", "My own words")


def test_an_unknown_pair_leaves_all_undecided(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 1)
    (pair,) = add_pairs(workspace, ids)
    with pytest.raises(NotFound):
        reject(workspace, [pair, 999])
    assert reviewed_pairs(workspace)[0].decision is None


@pytest.mark.parametrize(("count", "held_out"), [(1, 0), (4, 0), (5, 1), (30, 3), (400, 20)])
def test_the_newest_tenth_is_held_out(tmp_path: Path, count: int, held_out: int) -> None:
    workspace, ids = workspace_with(tmp_path, count)
    data = gather(workspace)
    assert data.record_ids == ids[: count - held_out]
    assert tuple(text.record_id for text in data.held_out) == ids[count - held_out :]


def test_what_was_said_since_is_what_a_new_look_would_find(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 3)
    first, second = add_pairs(workspace, ids[:2], BAD)
    add_pairs(workspace, ids[2:], GOOD)
    accept(workspace, [first])
    before = reviewed_pairs(workspace)
    undo(workspace)
    edit(workspace, second, output="Mine")
    now = decided_since(workspace, before)
    assert now == reviewed_pairs(workspace) != before
    assert [item.kept for item in now] == [False, True, True]


def test_kept_pairs_of_learned_records_are_learned_too(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 10)
    learned, _from_held_out = add_pairs(workspace, [ids[0], ids[9]], GOOD)
    add_pairs(workspace, [ids[1]], BAD)
    edited = add_pairs(workspace, [ids[2]], BAD)[0]
    edit(workspace, edited, output="Mine")
    data = gather(workspace)
    assert data.pair_ids == (learned, edited)
    assert data.texts[-1].output == "Mine"


def test_the_same_pair_from_two_jobs_is_learned_once(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 3)
    first = add_pairs(workspace, ids[:1])
    add_pairs(workspace, ids[:1])
    assert gather(workspace).pair_ids == first


def test_the_hash_changes_with_every_text_and_with_nothing_else(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 6)
    stored, data = build_training_set(workspace)
    assert stored.hash == data.hash == gather(workspace).hash
    pair = add_pairs(workspace, ids[:1])[0]
    with_pair = gather(workspace).hash
    assert with_pair != data.hash
    reject(workspace, [pair])
    assert gather(workspace).hash == data.hash


def test_a_forgotten_record_is_in_no_later_set(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 6)
    add_pairs(workspace, ids[:1])
    assert forget(workspace, ids[0]).pairs == 1
    assert ids[0] not in gather(workspace).record_ids
    assert gather(workspace).pair_ids == ()


def test_nothing_to_train_says_what_there_is(tmp_path: Path) -> None:
    workspace, _ = workspace_with(tmp_path / "a", 2, "tag")
    with pytest.raises(NothingToTrain, match="the history has tag"):
        gather(workspace, "title")
    with pytest.raises(NothingToTrain, match="cdcda import"):
        gather(open_workspace(tmp_path / "b"))
