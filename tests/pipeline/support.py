"""Small histories and workspaces for these tests."""

from collections.abc import Sequence
from pathlib import Path

from app.pipeline.workspace import Workspace, open_workspace
from personal_store import jobs, pairs, records
from personal_store.nouns import NewPair, NewRecord, Scores

GOOD = Scores(entails=0.9, entailed=0.9, rouge_l=0.3, length_ratio=1.0)
BAD = Scores(entails=0.1, entailed=0.9, rouge_l=0.95, length_ratio=3.0)


def new_record(number: int, task: str = "title", text: str | None = None) -> NewRecord:
    """A record that is written a minute after the one before."""
    when = f"2024-05-01T{number // 60:02}:{number % 60:02}:00+00:00"
    return NewRecord(task, text or f"Input number {number} of this history.", f"Title {number}", when, "test")


def workspace_with(folder: Path, count: int, task: str = "title") -> tuple[Workspace, tuple[int, ...]]:
    """A workspace with so many records, and their ids."""
    workspace = open_workspace(folder)
    with workspace.store() as store:
        added = records.add_records(store, [new_record(number, task) for number in range(count)]).added
    return workspace, added


def add_pairs(workspace: Workspace, record_ids: Sequence[int], scores: Scores = GOOD) -> tuple[int, ...]:
    """One pair for each record, as an augment job would store them; their ids."""
    with workspace.store() as store:
        job = jobs.create_job(store, "augment", {})
        jobs.set_state(store, job.id, "done")
        return tuple(
            pairs.add_pair(store, NewPair(id, job.id, 1, f"Like {id}.", f"Synthetic {id}", "test", 0, scores))
            for id in record_ids
        )
