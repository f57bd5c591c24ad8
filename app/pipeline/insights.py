"""What became of it all: scores of each adapter, votes, what left this computer and what it brought."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from app.pipeline.review import reviewed_pairs
from app.pipeline.workspace import Workspace
from personal_store import generations, ledger, training
from personal_store.nouns import Adapter, Upload, Votes

LOSS = "Loss"
SENT = "sent"
SYSTEMS = ("base", "retrieval", "personal")


@dataclasses.dataclass(frozen=True)
class Score:
    """A score on the held-out records, and where it lies when these are drawn again."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Scored:
    """How an adapter did on the records that were held out from it."""

    adapter: Adapter
    metric: str
    """For people."""
    higher_is_better: bool
    scores: Mapping[str, Score]
    """Of base, retrieval and personal; of those that were measured."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where records went."""

    destination: str
    uploads: int
    records: int
    """Different ones."""
    bytes: int
    last: str


@dataclasses.dataclass(frozen=True)
class Brought:
    """What was shared, and what it brought."""

    places: tuple[Place, ...]
    records: int
    """Different records that left, wherever to."""
    bytes: int
    drawn: int
    """Synthetic pairs that came back."""
    kept: int
    """Of these, kept by the filters or by hand."""
    used: int
    """Of these, learned by `adapter`."""
    adapter: Adapter | None
    """The one that is on, else the newest."""


def _score(found: Any) -> Score | None:
    if isinstance(found, int | float):
        return Score(float(found))
    if isinstance(found, Mapping) and "value" in found:
        return Score(float(found["value"]), found.get("low"), found.get("high"))
    return None


def systems_of(told: Mapping[str, Any]) -> dict[str, Score]:
    """The scores in a manifest's `scores`, of the systems that were measured."""
    return {system: score for system in SYSTEMS if (score := _score(told.get(system)))}


def scored(adapter: Adapter) -> Scored | None:
    """By the task's metric where its manifest has that, else by the loss; None where nothing was held out."""
    told = adapter.manifest.get("scores") or {}
    found = systems_of(told)
    if found:
        return Scored(adapter, str(told.get("metric", "")), bool(told.get("higher_is_better", True)), found)
    before, after = adapter.manifest.get("base_held_out_loss"), adapter.manifest.get("held_out_loss")
    if before is None or after is None:
        return None
    return Scored(adapter, LOSS, False, {"base": Score(before), "personal": Score(after)})


def scores_over_time(workspace: Workspace) -> tuple[Scored, ...]:
    """Every adapter that was scored by the same metric as the newest one, the oldest first."""
    with workspace.store() as store:
        every = training.adapters(store)
    found = [one for adapter in every if (one := scored(adapter))]
    newest = next(iter(found), None)
    if newest is None:
        return ()
    alike = [
        one
        for one in found
        if (one.metric, one.adapter.manifest.get("task")) == (newest.metric, newest.adapter.manifest.get("task"))
    ]
    return tuple(reversed(alike))


def votes(workspace: Workspace) -> tuple[tuple[str, Votes], ...]:
    """Votes with the adapters' names, the newest adapter first."""
    with workspace.store() as store:
        names = {adapter.id: adapter.name for adapter in training.adapters(store)}
        counted = generations.count_votes(store)
    named = ((names.get(one.adapter_id, f"adapter {one.adapter_id}, deleted"), one) for one in counted)
    return tuple(sorted(named, key=lambda item: (-item[1].adapter_id, not item[1].blind)))


def _places(lines: tuple[Upload, ...]) -> tuple[Place, ...]:
    by_place: dict[str, list[Upload]] = {}
    for line in lines:
        by_place.setdefault(line.destination, []).append(line)
    return tuple(
        Place(
            destination,
            len(found),
            len({id for line in found for id in line.record_ids}),
            sum(line.bytes for line in found),
            max(line.sent_at for line in found),
        )
        for destination, found in by_place.items()
    )


def brought(workspace: Workspace) -> Brought:
    """What was shared by the ledger, and what came of it."""
    with workspace.store() as store:
        lines = tuple(line for line in ledger.uploads(store) if line.outcome == SENT)
        adapter = training.active_adapter(store) or training.latest_adapter(store)
        set_id = adapter.training_set_id if adapter else None
        learned = () if set_id is None else training.get_training_set(store, set_id).pair_ids
    pairs = reviewed_pairs(workspace)
    kept = sum(item.kept for item in pairs)
    records = {id for line in lines for id in line.record_ids}
    total = sum(line.bytes for line in lines)
    return Brought(_places(lines), len(records), total, len(pairs), kept, len(learned), adapter)
