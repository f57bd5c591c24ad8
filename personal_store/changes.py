"""Adding, editing and deleting by hand, each of which can be undone. Every function takes an open Store first.

Undoing never shares anything: a record or a text that comes back is not shared, whatever it was before.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from personal_store import earlier
from personal_store.errors import AlreadyStored
from personal_store.forgetting import forget_answers_of_changes, mark_stale
from personal_store.nouns import Change, ChangeKind, NewRecord, Record
from personal_store.records import add_records, get_records, update_record
from personal_store.store import Row, Store, ids_json, now
from personal_store.training import freshen

KEPT = 200
"""Changes that can be undone; older ones become final."""

COLUMNS = ("id", "task", "input", "output", "created_at", "imported_at", "source", "content_hash")
"""What comes back of a deleted record; sharing does not."""


def _log(store: Store, kind: ChangeKind, before: Mapping[int, Any]) -> None:
    change = store.insert("changes", {"kind": kind, "made_at": now()})["id"]
    store.run_many(
        "INSERT INTO changed_records VALUES (?, ?, ?)",
        [(change, id, None if value is None else json.dumps(value)) for id, value in before.items()],
    )
    forget_answers_of_changes(store, change - KEPT)
    store.run("DELETE FROM changes WHERE id <= ?", [change - KEPT])


def add_record(store: Store, record: NewRecord) -> Record:
    """Add one record that was written by hand; raises AlreadyStored."""
    with store.change():
        added = add_records(store, [record]).added
        if not added:
            raise AlreadyStored("A record has exactly this content already; change the new one.")
        _log(store, "added", dict.fromkeys(added))
        return get_records(store, added)[0]


def edit_records(
    store: Store,
    ids: Sequence[int],
    *,
    task: str | None = None,
    input: str | None = None,
    output: str | None = None,
) -> tuple[Record, ...]:
    """Change the task or the texts of records, None leaving as it is, as one change.

    Raises NotFound and AlreadyStored, and then nothing is changed.
    """
    with store.change():
        old = get_records(store, ids)
        new = tuple(update_record(store, id, task=task, input=input, output=output) for id in ids)
        for one, other in zip(old, new, strict=True):
            if (one.input, one.output) != (other.input, other.output):
                earlier.note_change(store, one.id, one.input, one.output)
        _log(store, "edited", {r.id: {"task": r.task, "input": r.input, "output": r.output} for r in old})
    return new


def _with_all(store: Store, id: int) -> dict[str, Any]:
    """A record with what a deletion takes along."""
    record = store.rows(f"SELECT {', '.join(COLUMNS)} FROM records WHERE id = ?", [id])[0]
    pairs = store.rows("SELECT * FROM pairs WHERE record_id = ?", [id])
    decisions = store.rows("SELECT * FROM decisions WHERE pair_id IN (SELECT id FROM pairs WHERE record_id = ?)", [id])
    finished = store.rows("SELECT * FROM finished_records WHERE record_id = ?", [id])
    return {"records": [record], "pairs": pairs, "decisions": decisions, "finished_records": finished}


def delete_records(store: Store, ids: Sequence[int]) -> tuple[int, ...]:
    """Delete records and their pairs as one change that can be undone; adapters that are stale now. Raises NotFound.

    The texts stay in the file until the change is final: `forget_records` is what leaves no trace.
    """
    with store.change():
        get_records(store, ids)
        _log(store, "deleted", {id: _with_all(store, id) for id in ids})
        stale = {adapter for id in ids for adapter in mark_stale(store, id)}
        store.run("DELETE FROM records WHERE id IN (SELECT value FROM json_each(?))", [ids_json(ids)])
    return tuple(sorted(stale))


def _bring_back(store: Store, id: int, before: Mapping[str, Sequence[Row]]) -> None:
    record = before["records"][0]
    other = store.value("SELECT id FROM records WHERE content_hash = ?", [record["content_hash"]])
    if other is not None:
        raise AlreadyStored(
            f"Record {id} cannot come back because record {other} has exactly its content; delete that."
        )
    for table, rows in before.items():
        for row in rows:
            store.insert(table, row)


def _undo_one(store: Store, kind: ChangeKind, id: int, before: Any) -> None:
    match kind:
        case "added":
            mark_stale(store, id)
            store.run("DELETE FROM records WHERE id = ?", [id])
        case "edited":
            (undone,) = get_records(store, [id])
            update_record(store, id, **before)
            if (undone.input, undone.output) != (before["input"], before["output"]):
                earlier.note_change(store, id, undone.input, undone.output)
            store.run("UPDATE shares SET shared = 0, shared_by = NULL WHERE record_id = ? AND shared = 1", [id])
        case "deleted":
            _bring_back(store, id, before)


def undo_change(store: Store) -> Change | None:
    """Take the last change back; the change, or None when there is none left. Raises AlreadyStored.

    Adapters that learned from an added record are stale; those that were stale because of a deletion are no longer,
    unless something else that they learned from is gone.
    """
    with store.change():
        change = store.row("SELECT * FROM changes ORDER BY id DESC LIMIT 1")
        if change is None:
            return None
        rows = store.rows("SELECT record_id, before FROM changed_records WHERE change_id = ?", [change["id"]])
        for row in rows:
            _undo_one(store, change["kind"], row["record_id"], row["before"] and json.loads(row["before"]))
        store.run("DELETE FROM changes WHERE id = ?", [change["id"]])
        freshen(store)
    return Change(change["id"], change["kind"], tuple(row["record_id"] for row in rows), change["made_at"])


def last_change(store: Store) -> Change | None:
    """What `undo_change` would take back."""
    change = store.row("SELECT * FROM changes ORDER BY id DESC LIMIT 1")
    if change is None:
        return None
    ids = store.column("SELECT record_id FROM changed_records WHERE change_id = ?", [change["id"]])
    return Change(change["id"], change["kind"], tuple(ids), change["made_at"])
