"""What the person says of synthetic pairs: accepted, edited, rejected; each can be undone."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from app.errors import BadInput
from app.pipeline.editing import own_text
from app.pipeline.judging import (
    Thresholds,
    Verdict,
    judge_pair,
    load_thresholds,
    moved_at,
    take_thresholds_back,
)
from app.pipeline.workspace import Workspace
from personal_store import decisions, pairs, records
from personal_store.nouns import Decision, DecisionKind, Pair, Record

Score = Literal["entailment", "rouge_l", "length_ratio"]
SCORES: tuple[Score, ...] = get_args(Score)
Direction = Literal["at least", "at most"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclasses.dataclass(frozen=True)
class ReviewedPair:
    """A pair with everything that was said of it."""

    pair: Pair
    record: Record
    """What it was written from."""
    verdict: Verdict
    """What the filters say."""
    decision: Decision | None
    """What the person said; it outranks the filters."""
    kept: bool
    """Whether training learns from it."""
    input: str
    """The input as it stands after an edit."""
    output: str
    """The output as it stands after an edit."""


def _said(pair: Pair, record: Record, verdict: Verdict, decision: Decision | None) -> ReviewedPair:
    kept = verdict.kept if decision is None else decision.kind != "rejected"
    edited = decision if decision is not None and decision.kind == "edited" else None
    return ReviewedPair(
        pair=pair,
        record=record,
        verdict=verdict,
        decision=decision,
        kept=kept,
        input=(edited.input if edited else None) or pair.input,
        output=(edited.output if edited else None) or pair.output,
    )


def reviewed_pairs(
    workspace: Workspace,
    thresholds: Thresholds | None = None,
    *,
    job_id: int | None = None,
    record_ids: Sequence[int] | None = None,
    newest: int | None = None,
) -> tuple[ReviewedPair, ...]:
    """Every pair (of a job, of some records; of these the newest) in the order they were made.

    They are judged by the person's thresholds unless others are given.
    """
    thresholds = thresholds or load_thresholds(workspace)
    with workspace.store() as store:
        found = pairs.find_pairs(store, record_ids=record_ids, job_id=job_id, newest=newest)
        origins = {
            record.id: record for record in records.get_records(store, sorted({pair.record_id for pair in found}))
        }
        said = decisions.decisions(store)
    return tuple(
        _said(pair, record, judge_pair(pair, record, thresholds), said.get(pair.id))
        for pair, record in ((pair, origins[pair.record_id]) for pair in found)
    )


def decided_since(workspace: Workspace, items: Iterable[ReviewedPair]) -> tuple[ReviewedPair, ...]:
    """The same pairs with what was said of them since; verdicts stay, and finding those of thousands takes a while."""
    with workspace.store() as store:
        said = decisions.decisions(store)
    return tuple(_said(item.pair, item.record, item.verdict, said.get(item.pair.id)) for item in items)


def _decide_all(workspace: Workspace, pair_ids: Sequence[int], kind: DecisionKind) -> tuple[Decision, ...]:
    with workspace.store() as store:
        return decisions.decide_all(store, pair_ids, kind)


def accept(workspace: Workspace, pair_ids: Sequence[int]) -> tuple[Decision, ...]:
    """Keep these pairs whatever the filters say, in one step; raises NotFound before anything is changed."""
    return _decide_all(workspace, pair_ids, "accepted")


def reject(workspace: Workspace, pair_ids: Sequence[int]) -> tuple[Decision, ...]:
    """Leave these pairs out of training, in one step; raises NotFound before anything is changed."""
    return _decide_all(workspace, pair_ids, "rejected")


def score_of(item: ReviewedPair, score: Score) -> float:
    """A pair's score; of the two ways of entailment the weaker one, which is what the filter judges by."""
    scores = item.pair.scores
    return min(scores.entails, scores.entailed) if score == "entailment" else float(getattr(scores, score))


def by_score(
    items: Iterable[ReviewedPair], score: Score, direction: Direction, bound: float
) -> tuple[ReviewedPair, ...]:
    """The pairs whose score is at least, or at most, the bound; raises BadInput for what is no score or no number."""
    if score not in SCORES:
        raise BadInput(f"There is no score {score!r}; choose one of {', '.join(SCORES)}.")
    if direction not in DIRECTIONS:
        raise BadInput(f"A bound is 'at least' or 'at most', not {direction!r}; choose one of these.")
    if not math.isfinite(bound):
        raise BadInput(f"A bound is a number, got {bound}; choose for example 0.7.")
    sign = 1 if direction == "at least" else -1
    return tuple(item for item in items if sign * score_of(item, score) >= sign * bound)


def undecided_as(items: Iterable[ReviewedPair], kind: DecisionKind) -> tuple[ReviewedPair, ...]:
    """Those to which the decision would bring something new; a text that the person edited is accepted already."""
    same = {"accepted": ("accepted", "edited"), "rejected": ("rejected",)}.get(kind, ())
    return tuple(item for item in items if item.decision is None or item.decision.kind not in same)


def edit(workspace: Workspace, pair_id: int, *, input: str | None = None, output: str | None = None) -> Decision:
    """Keep this pair with the person's own words in place of the model's, None leaving as it is.

    Raises BadInput, for an emptied text too, and NotFound.
    """
    if input is None and output is None:
        raise BadInput("An edit needs a new text; give one with --output (or --input).")
    input = None if input is None else own_text("input", input)
    output = None if output is None else own_text("output", output)
    with workspace.store() as store:
        pairs.get_pair(store, pair_id)
        return decisions.decide(store, pair_id, "edited", input=input, output=output)


def undo(workspace: Workspace) -> tuple[Decision, ...]:
    """Take the latest decision back, or all of the latest step; none when there is no step left."""
    with workspace.store() as store:
        return decisions.undo(store)


@dataclasses.dataclass(frozen=True)
class TakenBack:
    """What was taken back: decisions, or a change of the thresholds, or nothing."""

    decisions: tuple[Decision, ...] = ()
    thresholds: Thresholds | None = None
    """Where they are now; None: they were not what was done last."""


def take_back(workspace: Workspace) -> TakenBack:
    """Take back what was done last, be it a step of decisions or a change of the thresholds."""
    with workspace.store() as store:
        decided = max((decision.made_at for decision in decisions.decisions(store).values()), default="")
    if moved_at(workspace) > decided:
        return TakenBack(thresholds=take_thresholds_back(workspace))
    return TakenBack(undo(workspace))
