"""What an adapter learned from, down to the records; and two adapters side by side.

A training set keeps ids and no texts, so what was forgotten since has left its number alone, and a text that was
changed since stands here as it is now.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from app.device.adapters import load_manifest
from app.errors import AdapterRefused, BadInput
from app.pipeline import insights, jobs
from app.pipeline.review import ReviewedPair, reviewed_pairs
from app.pipeline.workspace import Workspace
from personal_store import records, training
from personal_store.nouns import Adapter, Record, TrainingSet

Losses = tuple[tuple[int, float], ...]
"""Step and loss, nats per completion token."""


@dataclasses.dataclass(frozen=True)
class Learned:
    """A record of the person that was learned from, and the pairs made from it that were."""

    record_id: int
    record: Record | None
    """None: it was forgotten."""
    pairs: tuple[ReviewedPair, ...]


@dataclasses.dataclass(frozen=True)
class Lineage:
    """A stretch of what an adapter learned from, with counts over all of it."""

    adapter: Adapter
    known: bool
    """False for an adapter that was imported and whose texts were never here."""
    records: int
    pairs: int
    held_out: int
    forgotten_records: int
    forgotten_pairs: int
    learned: tuple[Learned, ...]


@dataclasses.dataclass(frozen=True)
class Run:
    """What is told of one of two adapters."""

    adapter: Adapter
    records: int | None
    """None here and below: its training set is not known, because it was imported."""
    pairs: int | None
    held_out: int | None
    losses: Losses
    held_out_losses: Losses
    scored: insights.Scored | None
    verdict: str
    """Empty where nothing was measured."""
    only_here: tuple[tuple[int, Record | None], ...]
    """Records that the other one did not learn from."""


@dataclasses.dataclass(frozen=True)
class TwoRuns:
    """Two adapters side by side."""

    first: Run
    second: Run
    in_both: int | None
    """Records that both learned from; None where one of them does not say what it learned from."""
    differing: Mapping[str, tuple[Any, Any]]
    """Settings that are not the same, by name."""


def _learned(
    workspace: Workspace, learned: TrainingSet, ids: Sequence[int], present: frozenset[int]
) -> tuple[Learned, ...]:
    here, used = [id for id in ids if id in present], set(learned.pair_ids)
    with workspace.store() as store:
        found = {record.id: record for record in records.get_records(store, here)}
    made: dict[int, list[ReviewedPair]] = {}
    for item in reviewed_pairs(workspace, record_ids=here) if here else ():
        if item.pair.id in used:
            made.setdefault(item.record.id, []).append(item)
    return tuple(Learned(id, found.get(id), tuple(made.get(id, ()))) for id in ids)


def lineage(workspace: Workspace, adapter_id: int, offset: int = 0, limit: int | None = None) -> Lineage:
    """Up to `limit` of the records that an adapter learned from, in their order, with their pairs; raises NotFound."""
    with workspace.store() as store:
        adapter = training.get_adapter(store, adapter_id)
        if adapter.training_set_id is None:
            return Lineage(adapter, False, 0, 0, 0, 0, 0, ())
        learned = training.get_training_set(store, adapter.training_set_id)
        present = training.present(store, learned)
    ids = learned.record_ids[offset:][:limit]
    return Lineage(
        adapter=adapter,
        known=True,
        records=len(learned.record_ids),
        pairs=len(learned.pair_ids),
        held_out=len(learned.held_out_ids),
        forgotten_records=len(learned.record_ids) - len(present.record_ids),
        forgotten_pairs=len(learned.pair_ids) - len(present.pair_ids),
        learned=_learned(workspace, learned, ids, present.record_ids),
    )


def _losses(workspace: Workspace, adapter: Adapter) -> tuple[Losses, Losses]:
    """The loss of each step and the held-out loss of each epoch, which only the adapter's own folder keeps whole."""
    try:
        manifest = load_manifest(workspace.adapters / adapter.folder)
    except AdapterRefused:
        return _reported_losses(workspace, adapter)
    steps, epochs = len(manifest.losses), max(1, len(manifest.held_out_losses))
    held = ((round(steps * (place + 1) / epochs), loss) for place, loss in enumerate(manifest.held_out_losses))
    return tuple(enumerate(manifest.losses, start=1)), tuple(held)


def _reported_losses(workspace: Workspace, adapter: Adapter) -> tuple[Losses, Losses]:
    """The same as the training told it, where the folder is gone."""
    events = jobs.events(workspace, adapter.job_id) if adapter.job_id is not None else ()
    steps = [dict(event.data) for event in events if event.kind == "progress"]
    losses = sorted({step["step"]: step["loss"] for step in steps}.items())
    held = sorted({step["step"]: step["held_out_loss"] for step in steps if step.get("held_out_loss")}.items())
    return tuple(losses), tuple(held)


def _sources(workspace: Workspace, adapter: Adapter) -> TrainingSet | None:
    if adapter.training_set_id is None:
        return None
    with workspace.store() as store:
        return training.get_training_set(store, adapter.training_set_id)


def _texts(workspace: Workspace, learned: TrainingSet, ids: Sequence[int]) -> tuple[tuple[int, Record | None], ...]:
    with workspace.store() as store:
        here = training.present(store, learned).record_ids
        found = {record.id: record for record in records.get_records(store, [id for id in ids if id in here])}
    return tuple((id, found.get(id)) for id in ids)


def _run(workspace: Workspace, adapter: Adapter, own: TrainingSet | None, other: TrainingSet | None) -> Run:
    losses, held_out_losses = _losses(workspace, adapter)
    # Without the other's records nobody knows which of them are in one alone.
    alone = [id for id in own.record_ids if id not in set(other.record_ids)] if own and other else []
    return Run(
        adapter=adapter,
        records=len(own.record_ids) if own else None,
        pairs=len(own.pair_ids) if own else None,
        held_out=len(own.held_out_ids) if own else None,
        losses=losses,
        held_out_losses=held_out_losses,
        scored=insights.scored(adapter),
        verdict=str((adapter.manifest.get("scores") or {}).get("verdict") or ""),
        only_here=_texts(workspace, own, alone) if own else (),
    )


def _settings(adapter: Adapter) -> dict[str, Any]:
    told = adapter.manifest
    base = told.get("task_base") or {}
    named = {
        "model": adapter.base,
        "base": base.get("name", "none"),
        "task": told.get("task"),
        "device": told.get("device"),
    }
    return {**named, "quantisation": told.get("quantisation"), **(told.get("settings") or {})}


def compare_runs(workspace: Workspace, first_id: int, second_id: int) -> TwoRuns:
    """Two adapters side by side; raises BadInput for one with itself, and NotFound."""
    if first_id == second_id:
        raise BadInput(f"Two different adapters are compared, and both are number {first_id}; choose another one.")
    with workspace.store() as store:
        first, second = (training.get_adapter(store, id) for id in (first_id, second_id))
    own, other = _sources(workspace, first), _sources(workspace, second)
    one, two = _settings(first), _settings(second)
    return TwoRuns(
        first=_run(workspace, first, own, other),
        second=_run(workspace, second, other, own),
        in_both=len(set(own.record_ids) & set(other.record_ids)) if own and other else None,
        differing={name: (one.get(name), two.get(name)) for name in {**one, **two} if one.get(name) != two.get(name)},
    )
