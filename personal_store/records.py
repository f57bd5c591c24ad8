"""The person's records: adding, finding, sharing, forgetting. Every function takes an open Store first."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from personal_store.errors import AlreadyStored, NotFound
from personal_store.migrations import backups
from personal_store.nouns import (
    AddOutcome,
    Forgotten,
    NewRecord,
    Record,
    RecordCounts,
    RecordPage,
    RecordQuery,
    SharedBy,
)
from personal_store.store import Row, Store, ids_json, now

COLUMNS = "id, task, input, output, created_at, imported_at, source, content_hash, shared, shared_by"

MOST_WORDS = 64
"""Words of a search that count; a whole pasted page finds nothing more with the rest."""

ORDERS = {
    "newest": "written_at DESC, id DESC",
    "oldest": "written_at, id",
    "imported": "id",
}

LEARNED_FROM = """
SELECT adapters.id FROM adapters JOIN training_sets ON training_sets.id = training_set_id WHERE
    EXISTS (SELECT 1 FROM json_each(training_sets.record_ids) WHERE value = :id)
    OR EXISTS (SELECT 1 FROM json_each(training_sets.pair_ids) JOIN pairs ON pairs.id = value WHERE record_id = :id)
"""
"""Adapters whose training set holds the record or a pair made from it; being held out teaches nothing."""


def content_hash(task: str, input: str, output: str) -> str:
    """SHA-256 (hex) of the three as a JSON list, so that no text can pass for another by where it is cut."""
    return hashlib.sha256(json.dumps([task, input, output]).encode()).hexdigest()


def _record(row: Row) -> Record:
    return Record(**{**row, "shared": bool(row["shared"])})


def _where_task(task: str | None) -> str:
    return "" if task is None else "WHERE task = :task"


def add_records(store: Store, records: Sequence[NewRecord]) -> AddOutcome:
    """Store records in one transaction; exact repeats, of stored ones or among themselves, are left out and counted."""
    imported_at = now()
    values = (
        (r.task, r.input, r.output, r.created_at, imported_at, r.source, content_hash(r.task, r.input, r.output))
        for r in records
    )
    with store.change():
        last = store.value("SELECT coalesce(max(id), 0) FROM records")
        store.run_many(
            "INSERT INTO records (task, input, output, created_at, imported_at, source, content_hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (content_hash) DO NOTHING",
            values,
        )
        # The write lock is held, so what lies behind the last id is ours.
        added = tuple(row["id"] for row in store.rows("SELECT id FROM records WHERE id > ? ORDER BY id", [last]))
    return AddOutcome(added, len(records) - len(added))


def search_expression(text: str) -> str:
    """What a person typed as an FTS5 query: every word must be there, the last one may be unfinished; "" without words.

    Each word is quoted, so nothing in it is an operator. A word without letters or digits is ignored by FTS5.
    """
    # SQLite ends a query at a NUL, and cannot be given half a surrogate pair.
    typed = text.replace("\0", " ").encode("utf-8", "replace").decode()
    words = ['"' + word.replace('"', '""') + '"' for word in typed.split()[:MOST_WORDS]]
    return " ".join(words) + "*" if words else ""


def _conditions(query: RecordQuery, search: str) -> str:
    conditions = []
    if search:
        conditions.append("id IN (SELECT rowid FROM records_fts WHERE records_fts MATCH :search)")
    if query.task is not None:
        conditions.append("task = :task")
    if query.shared is not None:
        conditions.append("shared = :shared")
    return "WHERE " + " AND ".join(conditions) if conditions else ""


def find_records(store: Store, query: RecordQuery) -> RecordPage:
    """One page of the records that match, and how many match in all. Any text may be searched for."""
    search = search_expression(query.text)
    if query.text.strip() and not search:
        return RecordPage((), 0)
    where = _conditions(query, search)
    values = {
        "search": search,
        "task": query.task,
        "shared": query.shared,
        "limit": query.limit,
        "offset": query.offset,
    }
    order = ORDERS[query.order]
    # The inner query walks an index alone; whole records are read for the page only, also far down the list.
    rows = store.rows(
        f"SELECT {COLUMNS} FROM records WHERE id IN"
        f" (SELECT id FROM records {where} ORDER BY {order} LIMIT :limit OFFSET :offset) ORDER BY {order}",
        values,
    )
    return RecordPage(tuple(map(_record, rows)), store.value(f"SELECT count(*) FROM records {where}", values))


def get_records(store: Store, ids: Sequence[int]) -> tuple[Record, ...]:
    """The records with those ids, in that order; raises NotFound."""
    rows = store.rows(f"SELECT {COLUMNS} FROM records WHERE id IN (SELECT value FROM json_each(?))", [ids_json(ids)])
    found = {row["id"]: _record(row) for row in rows}
    missing = [id for id in ids if id not in found]
    if missing:
        raise NotFound(f"There is no record {missing[0]}; `cdcda import` and the list of records show which there are.")
    return tuple(found[id] for id in ids)


def update_record(
    store: Store, id: int, *, task: str | None = None, input: str | None = None, output: str | None = None
) -> Record:
    """Change a record's task or texts, None leaving as it is; raises NotFound, AlreadyStored for another's content."""
    with store.change():
        (old,) = get_records(store, [id])
        values = {
            "task": old.task if task is None else task,
            "input": old.input if input is None else input,
            "output": old.output if output is None else output,
        }
        hash = content_hash(**values)
        other = store.value("SELECT id FROM records WHERE content_hash = ? AND id <> ?", [hash, id])
        if other is not None:
            raise AlreadyStored(f"Record {other} has exactly this content already; change it, or delete record {id}.")
        row = store.rows(
            "UPDATE records SET task = :task, input = :input, output = :output, content_hash = :hash WHERE id = :id"
            f" RETURNING {COLUMNS}",
            {**values, "hash": hash, "id": id},
        )[0]
    return _record(row)


def set_shared(store: Store, ids: Iterable[int], shared: bool, by: SharedBy) -> int:
    """Share records or stop sharing them, in one statement; how many rows changed.

    What a hand has set, the slider leaves as it is. Ids without a record are ignored.
    """
    return store.run(
        "UPDATE records SET shared = :shared, shared_by = :by WHERE id IN (SELECT value FROM json_each(:ids))"
        " AND (:by = 'hand' OR shared_by IS NOT 'hand') AND (shared <> :shared OR shared_by IS NOT :by)",
        {"shared": shared, "by": by, "ids": ids_json(ids)},
    )


def shared_records(store: Store, task: str | None = None) -> tuple[Record, ...]:
    """Every shared record, oldest first."""
    and_task = "" if task is None else "AND task = :task"
    rows = store.rows(
        f"SELECT {COLUMNS} FROM records WHERE shared = 1 {and_task} ORDER BY {ORDERS['oldest']}", {"task": task}
    )
    return tuple(map(_record, rows))


def all_records(store: Store, task: str | None = None) -> tuple[Record, ...]:
    """Every record, oldest first."""
    rows = store.rows(f"SELECT {COLUMNS} FROM records {_where_task(task)} ORDER BY {ORDERS['oldest']}", {"task": task})
    return tuple(map(_record, rows))


def count_records(store: Store) -> RecordCounts:
    """How many records there are, are shared, and belong to each task."""
    by_task = {row["task"]: row["n"] for row in store.rows("SELECT task, count(*) AS n FROM records GROUP BY task")}
    shared = store.value("SELECT count(*) FROM records WHERE shared = 1")
    return RecordCounts(sum(by_task.values()), shared, by_task)


def _mark_stale(store: Store, id: int) -> tuple[int, ...]:
    rows = store.rows(f"UPDATE adapters SET stale = 1 WHERE id IN ({LEARNED_FROM}) RETURNING id", {"id": id})
    return tuple(sorted(row["id"] for row in rows))


def _erase(store: Store) -> bool:
    """Empty the write-ahead log, where the deleted text stands; False while another process reads from it."""
    for copy in backups(store.path):
        copy.unlink(missing_ok=True)
    checkpoint = store.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    return bool(checkpoint["busy"] == 0)


def forget_record(store: Store, id: int) -> Forgotten:
    """Delete a record, its pairs and the decisions on them; mark adapters that learned from it stale. Raises NotFound.

    The text is overwritten in the database, its search index and its log, and copies made by migrations are deleted.
    Answers that adapters wrote stay, and the ledger keeps the id.
    """
    with store.change():
        get_records(store, [id])
        pairs = store.value("SELECT count(*) FROM pairs WHERE record_id = ?", [id])
        adapters = _mark_stale(store, id)
        store.run("DELETE FROM records WHERE id = ?", [id])
        # FTS5 only marks words as deleted; merging all its segments drops them. (Its secure-delete option would make
        # the file unreadable for SQLite before 3.42.)
        store.run("INSERT INTO records_fts (records_fts) VALUES ('optimize')")
    return Forgotten(id, pairs, adapters, _erase(store))
