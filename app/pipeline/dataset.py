"""What an adapter learns from: the person's records of one task joined with the kept pairs, less what is held out.

All records of the task are learned from, shared or not: training happens on this computer. The newest are held out to
judge by, and so are the pairs that were made from them.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

from app.errors import NothingToTrain
from app.pipeline.review import reviewed_pairs
from app.pipeline.tasks import find_task
from app.pipeline.workspace import Workspace
from app.tasks import Task
from personal_store import records, training
from personal_store.nouns import Record, TrainingSet
from personal_store.store import Store

HELD_OUT_SHARE = 0.1
MOST_HELD_OUT = 20
LEAST_FOR_HOLDING_OUT = 5
"""Records; of fewer, none is held out."""


@dataclasses.dataclass(frozen=True)
class TrainingText:
    """One thing to learn, or to judge by."""

    input: str
    output: str
    record_id: int
    pair_id: int | None
    """None: the person's own record."""


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The texts of a training set."""

    task: Task
    texts: tuple[TrainingText, ...]
    held_out: tuple[TrainingText, ...]
    seed: int
    hash: str

    @property
    def record_ids(self) -> tuple[int, ...]:
        """The person's own records that are learned from."""
        return tuple(text.record_id for text in self.texts if text.pair_id is None)

    @property
    def pair_ids(self) -> tuple[int, ...]:
        """The synthetic pairs that are learned from."""
        return tuple(text.pair_id for text in self.texts if text.pair_id is not None)


def _held_out_count(count: int) -> int:
    if count < LEAST_FOR_HOLDING_OUT:
        return 0
    return max(1, min(MOST_HELD_OUT, round(count * HELD_OUT_SHARE)))


def held_out_ids(store: Store) -> frozenset[int]:
    """The records that a training would hold out now: sending them is of no use, nothing made from them is learned."""
    by_task = records.count_records(store).by_task
    return frozenset(
        id for task, count in by_task.items() for id in records.newest_ids(store, task, _held_out_count(count))
    )


def _own(record: Record) -> TrainingText:
    return TrainingText(record.input, record.output, record.id, None)


def _hash(task: Task, texts: Sequence[TrainingText], held_out: Sequence[TrainingText], seed: int) -> str:
    parts = [
        task.name,
        seed,
        [(text.input, text.output) for text in texts],
        [(text.input, text.output) for text in held_out],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _choose_task(workspace: Workspace, task: str | None) -> Task:
    with workspace.store() as store:
        by_task = records.count_records(store).by_task
    if not by_task:
        raise NothingToTrain(
            "There are no records to learn from; bring a history in under History, or with `cdcda import`."
        )
    if task is None:
        return find_task(workspace, min(by_task, key=lambda name: (-by_task[name], name)))
    found = find_task(workspace, task)
    if found.name not in by_task:
        raise NothingToTrain(
            f"There are no records of the task {found.name!r} to learn from;"
            f" the history has {', '.join(sorted(by_task))}."
        )
    return found


def gather(workspace: Workspace, task: str | None = None, seed: int = 0) -> TrainingData:
    """What a training would learn from now; of the task named, else the one with most records.

    Raises NothingToTrain and BadInput. Stores nothing.
    """
    chosen = _choose_task(workspace, task)
    with workspace.store() as store:
        own = records.all_records(store, chosen.name)
    cut = len(own) - _held_out_count(len(own))
    learned = {record.id for record in own[:cut]}
    # Two jobs with the same model and seed write the same pair; it is learned once.
    kept = [item for item in reviewed_pairs(workspace, record_ids=sorted(learned)) if item.kept]
    different = {(item.input, item.output): item for item in reversed(kept)}
    synthetic = [
        TrainingText(item.input, item.output, item.record.id, item.pair.id)
        for item in sorted(different.values(), key=lambda item: item.pair.id)
    ]
    texts = (*map(_own, own[:cut]), *synthetic)
    held_out = tuple(map(_own, own[cut:]))
    return TrainingData(chosen, texts, held_out, seed, _hash(chosen, texts, held_out, seed))


def build_training_set(
    workspace: Workspace, task: str | None = None, seed: int = 0
) -> tuple[TrainingSet, TrainingData]:
    """The same, with its snapshot stored."""
    data = gather(workspace, task, seed)
    held_out = [text.record_id for text in data.held_out]
    with workspace.store() as store:
        stored = training.save_training_set(store, data.record_ids, data.pair_ids, held_out, seed, data.hash)
    return stored, data
