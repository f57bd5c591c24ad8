"""What the person says of synthetic pairs: accepted, edited, rejected; each can be undone."""

import dataclasses
from collections.abc import Sequence

from app.errors import BadInput
from app.pipeline.judging import Thresholds, Verdict, judge_pair, load_thresholds
from app.pipeline.workspace import Workspace
from personal_store import decisions, pairs, records
from personal_store.nouns import Decision, DecisionKind, Pair, Record


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


def _review(pair: Pair, record: Record, decision: Decision | None, thresholds: Thresholds) -> ReviewedPair:
    verdict = judge_pair(pair, record, thresholds)
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
) -> tuple[ReviewedPair, ...]:
    """Every pair (of a job, of some records) in the order they were made, by the person's thresholds unless given."""
    thresholds = thresholds or load_thresholds(workspace)
    with workspace.store() as store:
        found = pairs.find_pairs(store, record_ids=record_ids, job_id=job_id)
        origins = {
            record.id: record for record in records.get_records(store, sorted({pair.record_id for pair in found}))
        }
        said = decisions.decisions(store)
    return tuple(_review(pair, origins[pair.record_id], said.get(pair.id), thresholds) for pair in found)


def _decide_all(workspace: Workspace, pair_ids: Sequence[int], kind: DecisionKind) -> tuple[Decision, ...]:
    with workspace.store() as store:
        for pair_id in pair_ids:
            pairs.get_pair(store, pair_id)
        return tuple(decisions.decide(store, pair_id, kind) for pair_id in pair_ids)


def accept(workspace: Workspace, pair_ids: Sequence[int]) -> tuple[Decision, ...]:
    """Keep these pairs whatever the filters say; raises NotFound before anything is changed."""
    return _decide_all(workspace, pair_ids, "accepted")


def reject(workspace: Workspace, pair_ids: Sequence[int]) -> tuple[Decision, ...]:
    """Leave these pairs out of training; raises NotFound before anything is changed."""
    return _decide_all(workspace, pair_ids, "rejected")


def edit(workspace: Workspace, pair_id: int, *, input: str | None = None, output: str | None = None) -> Decision:
    """Keep this pair with the person's own words in place of the model's."""
    if not (input or "").strip() and not (output or "").strip():
        raise BadInput("An edit needs a new text; give one with --output (or --input).")
    with workspace.store() as store:
        pairs.get_pair(store, pair_id)
        return decisions.decide(store, pair_id, "edited", input=input, output=output)


def undo(workspace: Workspace) -> Decision | None:
    """Take the latest decision back and return it; None when there is none left."""
    with workspace.store() as store:
        return decisions.undo(store)
