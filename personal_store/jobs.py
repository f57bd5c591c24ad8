"""Jobs: their states, signs of life and events. Every function takes an open Store first.

Settings, results and event data hold ids and numbers, never a record's text: deleting a record does not look here.
"""

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

from personal_store.errors import NotFound
from personal_store.nouns import Job, JobEvent, JobKind, JobState
from personal_store.store import Row, Store, now


def _job(row: Row) -> Job:
    result = None if row["result"] is None else json.loads(row["result"])
    return Job(**{**row, "settings": json.loads(row["settings"]), "result": result})


def _no_job(id: int) -> NotFound:
    return NotFound(f"There is no job {id}; `cdcda jobs` shows which there are.")


def create_job(store: Store, kind: JobKind, settings: Mapping[str, Any]) -> Job:
    """Enter a job in state "queued"."""
    values = {"kind": kind, "state": "queued", "settings": json.dumps(dict(settings)), "created_at": now()}
    return _job(store.insert("jobs", values))


def get_job(store: Store, id: int) -> Job:
    """The job with that id; raises NotFound."""
    row = store.row("SELECT * FROM jobs WHERE id = ?", [id])
    if row is None:
        raise _no_job(id)
    return _job(row)


def list_jobs(store: Store, kind: JobKind | None = None, limit: int = 50) -> tuple[Job, ...]:
    """The latest jobs, the newest first."""
    rows = store.rows(
        "SELECT * FROM jobs WHERE :kind IS NULL OR kind = :kind ORDER BY id DESC LIMIT :limit",
        {"kind": kind, "limit": limit},
    )
    return tuple(map(_job, rows))


def _enter(store: Store, id: int, state: JobState, condition: str, values: Mapping[str, Any]) -> int:
    """Write a state where the condition holds. A result and an error belong to one state and go with it."""
    return store.run(
        "UPDATE jobs SET state = :state, result = :result, error = :error,"
        " process_id = coalesce(:process_id, process_id),"
        # Running begins with a sign of life, so that nobody takes the job for dead before its first heartbeat.
        " heartbeat = CASE WHEN :state = 'running' THEN :at ELSE heartbeat END"
        f" WHERE id = :id AND {condition}",
        {"result": None, "error": None, "process_id": None, **values, "id": id, "state": state, "at": time.time()},
    )


def set_state(
    store: Store,
    id: int,
    state: JobState,
    *,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
    process_id: int | None = None,
) -> None:
    """Put a job into a state, whatever it was in; None leaves the process id and clears result and error.

    Raises NotFound.
    """
    written = None if result is None else json.dumps(dict(result))
    if not _enter(store, id, state, "1", {"result": written, "error": error, "process_id": process_id}):
        raise _no_job(id)


def move(store: Store, id: int, from_states: Collection[JobState], to: JobState) -> bool:
    """Put a job into a state only if it is in one of `from_states`; whether it was. Of two at once, one succeeds.

    Raises NotFound.
    """
    moved = _enter(
        store, id, to, "state IN (SELECT value FROM json_each(:states))", {"states": json.dumps(list(from_states))}
    )
    if not moved:
        get_job(store, id)
    return bool(moved)


def heartbeat(store: Store, id: int) -> None:
    """Note a sign of life; raises NotFound."""
    # The time of when it is written: the store may have been locked for long before.
    with store.change():
        if not store.run("UPDATE jobs SET heartbeat = ? WHERE id = ?", [time.time(), id]):
            raise _no_job(id)


def add_event(store: Store, job_id: int, kind: str, data: Mapping[str, Any]) -> int:
    """Report one thing that the job did; the event's id, which grows. Raises NotFound."""
    with store.change():
        get_job(store, job_id)
        values = {"job_id": job_id, "kind": kind, "data": json.dumps(dict(data)), "at": time.time()}
        return int(store.insert("job_events", values)["id"])


def has_event(store: Store, job_id: int, kind: str) -> bool:
    """Whether anything of that kind was reported."""
    return bool(store.rows("SELECT 1 FROM job_events WHERE job_id = ? AND kind = ? LIMIT 1", [job_id, kind]))


def events(store: Store, job_id: int, after: int = 0) -> tuple[JobEvent, ...]:
    """The job's events with an id above `after`, in order."""
    rows = store.rows("SELECT * FROM job_events WHERE job_id = ? AND id > ? ORDER BY id", [job_id, after])
    return tuple(JobEvent(**{**row, "data": json.loads(row["data"])}) for row in rows)
