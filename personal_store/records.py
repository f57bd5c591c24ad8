"""The person's records: adding, finding, sharing. Every function takes an open Store first."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from personal_store.errors import AlreadyStored, NotFound
from personal_store.finding import ORDERS, find
from personal_store.nouns import (
    AddOutcome,
    Boxes,
    Examined,
    NewRecord,
    Record,
    RecordCounts,
    RecordPage,
    RecordQuery,
    SharedAs,
    SharedBy,
)
from personal_store.store import Store, ids_json, now

COLUMNS = (
    "id, task, input, output, created_at, imported_at, source, content_hash, coalesce(shared, 0) AS shared, shared_by,"
    " findings, shared_as"
)
WITH_BOX = "records LEFT JOIN shares ON record_id = id"
"""What COLUMNS are columns of."""

TOLD_EVERY = 1_000
"""Records between two words to the listener of an import, while they are stored and while they are indexed."""

MANY = 200
"""New records that are indexed together."""

SORTED_LATER = ("records_by_time", "records_by_task", "records_by_head", "records_by_tail")
"""Indices that a large import makes anew at its end."""


def content_hash(task: str, input: str, output: str) -> str:
    """SHA-256 (hex) of the three as a JSON list, so that no text can pass for another by where it is cut."""
    # As json.dumps writes it, in a third of the time.
    quoted = ", ".join(map(json.encoder.encode_basestring_ascii, (task, input, output)))
    return hashlib.sha256(f"[{quoted}]".encode()).hexdigest()


def record_of(row: Sequence[Any]) -> Record:
    """A row of COLUMNS as a Record, whose fields stand in the same order."""
    id, task, input, output, created, imported, source, hash, shared, by, findings, shared_as = row
    found = None if findings is None else tuple(findings.split("\n")) if findings else ()
    return Record(id, task, input, output, created, imported, source, hash, bool(shared), by, found, shared_as)


def _where_task(task: str | None) -> str:
    return "" if task is None else "WHERE task = :task"


def _values(record: NewRecord, imported_at: str) -> tuple[object, ...]:
    text = (record.task, record.input, record.output)
    findings = None if record.findings is None else "\n".join(record.findings)
    head, tail = record.ends or (None, None)
    return (*text, record.created_at, imported_at, record.source, content_hash(*text), findings, head, tail)


def _counted(
    records: Sequence[NewRecord], imported_at: str, listen: Callable[[int], object]
) -> Iterator[tuple[object, ...]]:
    for number, record in enumerate(records):
        if number % TOLD_EVERY == 0:
            # The search index is half of the work.
            listen(number // 2)
        yield _values(record, imported_at)


def _put_aside(store: Store, kind: str, names: Iterable[str]) -> list[str]:
    """Drop triggers or indices; the statements that make them again."""
    made = [store.value("SELECT sql FROM sqlite_master WHERE type = ? AND name = ?", [kind, name]) for name in names]
    for name in names:
        store.run(f"DROP {kind} {name}")
    return made


def _index_words(store: Store, last: int, count: int, listen: Callable[[int], object]) -> None:
    """Enter the records behind that id into the search index."""
    added = store.row("SELECT min(id) - 1 AS before, max(id) AS newest FROM records WHERE id > ?", [last])
    assert added is not None
    # Ids of deleted records are not given again, so the first new one may lie far behind the last.
    before, newest = added["before"] or 0, added["newest"] or 0
    for first in range(before, newest, TOLD_EVERY):
        listen((count + first - before) // 2)
        store.run(
            "INSERT INTO records_fts (rowid, input, output) SELECT id, input, output FROM records"
            " WHERE id > ? AND id <= ?",
            [first, first + TOLD_EVERY],
        )


@contextmanager
def _indexed_together(store: Store, last: int, count: int, listen: Callable[[int], object]) -> Iterator[None]:
    """Index many new records after they are stored: in order, and not row by row, which takes far longer."""
    if count < MANY:
        yield
        return
    again = _put_aside(store, "trigger", ["records_inserted"])
    # Indices over old and new rows are worth making anew where most rows are new.
    if count >= store.value("SELECT count(*) FROM records"):
        again += _put_aside(store, "index", SORTED_LATER)
    yield
    for statement in again:
        store.run(statement)
    _index_words(store, last, count, listen)


def add_records(
    store: Store, records: Sequence[NewRecord], listen: Callable[[int], object] = lambda done: None
) -> AddOutcome:
    """Store records in one transaction; exact repeats, of stored ones or among themselves, are left out and counted.

    `listen` is told every TOLD_EVERY records how many are done, one that is stored and not yet indexed counting half;
    of the last of them it is not told, because the transaction is yet to be ended.
    """
    with store.change():
        last = store.value("SELECT coalesce(max(id), 0) FROM records")
        with _indexed_together(store, last, len(records), listen):
            store.run_many(
                "INSERT INTO records (task, input, output, created_at, imported_at, source, content_hash, findings,"
                " head, tail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (content_hash) DO NOTHING",
                _counted(records, now(), listen),
            )
        # The write lock is held, so what lies behind the last id is ours.
        added = store.column("SELECT id FROM records WHERE id > ? ORDER BY id", [last])
    return AddOutcome(tuple(added), len(records) - len(added))


def find_records(store: Store, query: RecordQuery) -> RecordPage:
    """One page of the records that match, and how many match in all. Any text may be searched for."""
    found = find(store, query)
    if found is None:
        return RecordPage((), 0)
    # Whole records are read for the page only, also far down the list.
    rows = store.tuples(
        f"SELECT {COLUMNS} FROM {WITH_BOX} WHERE id IN ({found.page}) ORDER BY {ORDERS[query.order]}", found.values
    )
    return RecordPage(tuple(map(record_of, rows)), found.total)


def get_records(store: Store, ids: Sequence[int]) -> tuple[Record, ...]:
    """The records with those ids, in that order; raises NotFound."""
    rows = store.tuples(
        f"SELECT {COLUMNS} FROM {WITH_BOX} WHERE id IN (SELECT value FROM json_each(?))", [ids_json(ids)]
    )
    found = {row[0]: record_of(row) for row in rows}
    missing = [id for id in ids if id not in found]
    if missing:
        raise NotFound(f"There is no record {missing[0]}; `cdcda import` and the list of records show which there are.")
    return tuple(found[id] for id in ids)


def present_ids(store: Store, ids: Sequence[int]) -> frozenset[int]:
    """Those of the ids of which there is a record."""
    return store.present("records", ids)


def update_record(
    store: Store, id: int, *, task: str | None = None, input: str | None = None, output: str | None = None
) -> Record:
    """Change a record's task or texts, None leaving as it is; raises NotFound, AlreadyStored for another's content.

    The changed record counts as not looked at, and what the person agreed to share of the old one does not hold.
    """
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
        store.run(
            "UPDATE records SET task = :task, input = :input, output = :output, content_hash = :hash,"
            " findings = NULL, head = NULL, tail = NULL WHERE id = :id",
            {**values, "hash": hash, "id": id},
        )
        store.run("UPDATE shares SET shared_as = NULL WHERE record_id = ?", [id])
        return get_records(store, [id])[0]


def set_shared(store: Store, ids: Iterable[int], shared: bool, by: SharedBy, shared_as: SharedAs | None = None) -> int:
    """Share records or stop sharing them, in one statement; how many rows changed.

    What a hand has set, the slider leaves as it is, and it shares nothing in which something personal was found or in
    which nobody has looked. Ids without a record are ignored.
    """
    return store.run(
        "INSERT INTO shares (record_id, shared, shared_by, shared_as) SELECT records.id, :shared, :by, :as"
        " FROM json_each(:ids) JOIN records ON records.id = value"
        " WHERE (:by = 'hand' OR NOT :shared OR findings = '') ON CONFLICT (record_id) DO UPDATE"
        " SET shared = :shared, shared_by = :by, shared_as = :as WHERE (:by = 'hand' OR shared_by IS NOT 'hand')"
        " AND (shared <> :shared OR shared_by IS NOT :by OR shared_as IS NOT :as)",
        {"shared": shared, "by": by, "as": shared_as, "ids": ids_json(sorted(ids))},
    )


def unexamined(store: Store, limit: int) -> tuple[Record, ...]:
    """Records that nobody has looked at yet, at most so many."""
    rows = store.tuples(f"SELECT {COLUMNS} FROM {WITH_BOX} WHERE findings IS NULL ORDER BY id LIMIT ?", [limit])
    return tuple(map(record_of, rows))


def forget_findings(store: Store) -> None:
    """Let every record count as not looked at; what the person agreed to when less could be found does not hold."""
    with store.change():
        store.run("UPDATE records SET findings = NULL WHERE findings IS NOT NULL")
        store.run("UPDATE shares SET shared_as = NULL WHERE shared_as = 'confirmed'")


def note_findings(store: Store, found: Sequence[Examined]) -> None:
    """Keep what was found; a shared record with findings that the person has not agreed to is shared no more.

    A record that was changed or looked at meanwhile keeps what it has.
    """
    with store.change():
        store.run_many(
            "UPDATE records SET findings = ?, head = ?, tail = ?"
            " WHERE id = ? AND content_hash = ? AND findings IS NULL",
            [("\n".join(item.findings), *item.ends, item.record_id, item.content_hash) for item in found],
        )
        store.run(
            "UPDATE shares SET shared = 0, shared_by = NULL WHERE shared = 1 AND shared_as IS NULL AND record_id IN"
            " (SELECT records.id FROM records JOIN json_each(?) ON records.id = value WHERE findings <> '')",
            [ids_json(item.record_id for item in found)],
        )


def with_ends(store: Store, ends: Iterable[int]) -> tuple[tuple[Record, int, int], ...]:
    """Records that begin or end with words of one of those hashes, and their own two."""
    rows = store.tuples(
        f"SELECT {COLUMNS}, head, tail FROM {WITH_BOX} WHERE id IN ("
        "SELECT id FROM records WHERE head IN (SELECT value FROM json_each(:ends))"
        " UNION SELECT id FROM records WHERE tail IN (SELECT value FROM json_each(:ends)))",
        {"ends": ids_json(ends)},
    )
    return tuple((record_of(row), head, tail) for *row, head, tail in rows)


def shared_ids(store: Store) -> tuple[int, ...]:
    """Ids of the shared records, in their order."""
    return tuple(store.column("SELECT record_id FROM shares WHERE shared = 1 ORDER BY record_id"))


def boxes(store: Store) -> Boxes:
    """Every record as the slider sees it."""
    # Small indices rather than a look at each record: texts stand in between its columns.
    marked = "SELECT id FROM records WHERE findings <> '' UNION ALL SELECT id FROM records WHERE findings IS NULL"
    by_hand = store.column("SELECT record_id FROM shares WHERE shared_by = 'hand'")
    return Boxes(
        tuple(store.column(f"SELECT id FROM records ORDER BY {ORDERS['oldest']}")),
        frozenset(shared_ids(store)),
        frozenset(by_hand),
        frozenset(store.column(marked)),
    )


def newest_ids(store: Store, task: str, count: int) -> tuple[int, ...]:
    """Ids of so many records of a task, the newest."""
    return tuple(
        store.column(f"SELECT id FROM records WHERE task = ? ORDER BY {ORDERS['newest']} LIMIT ?", [task, count])
    )


def shared_records(store: Store, task: str | None = None) -> tuple[Record, ...]:
    """Every shared record, oldest first."""
    and_task = "" if task is None else "AND task = :task"
    rows = store.tuples(
        f"SELECT {COLUMNS} FROM {WITH_BOX} WHERE shared = 1 {and_task} ORDER BY {ORDERS['oldest']}", {"task": task}
    )
    return tuple(map(record_of, rows))


def all_records(store: Store, task: str | None = None) -> tuple[Record, ...]:
    """Every record, oldest first."""
    rows = store.tuples(
        f"SELECT {COLUMNS} FROM {WITH_BOX} {_where_task(task)} ORDER BY {ORDERS['oldest']}", {"task": task}
    )
    return tuple(map(record_of, rows))


def count_records(store: Store) -> RecordCounts:
    """How many records there are, are shared, and belong to each task."""
    by_task = {row["task"]: row["n"] for row in store.rows("SELECT task, count(*) AS n FROM records GROUP BY task")}
    shared = store.value("SELECT count(*) FROM shares WHERE shared = 1")
    return RecordCounts(sum(by_task.values()), shared, by_task)
