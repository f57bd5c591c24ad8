"""Every row of every table, out of the store and into an empty one. Knows no file format.

The search index is not among the rows: it is made anew from the records.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from personal_store.errors import NotEmpty, StoreNotReadable
from personal_store.migrations import MIGRATIONS
from personal_store.store import Row, Store

TABLES = (
    "jobs", "job_events", "tasks", "records", "shares", "pairs", "finished_records", "decisions", "uploads",
    "training_sets", "adapters", "generations", "comparisons", "changes", "changed_records", "preferences",
    "sqlite_sequence",
)  # fmt: skip
"""Each behind those that its foreign keys point to."""

SCHEMA = len(MIGRATIONS)
"""The schema that rows are written in; rows of an earlier one can be brought in, those of a later one cannot."""

BATCH = 1_000

BOX = ("shared", "shared_by", "shared_as")

JSON_COLUMNS = frozenset(
    {"settings", "result", "data", "labels", "record_ids", "pair_ids", "held_out_ids", "manifest", "before", "value"}
)
"""Columns, of whatever table, that hold JSON or nothing."""

IMPOSSIBLE = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)
"""What a row raises that no store of this program can hold."""


def columns(store: Store, table: str) -> tuple[str, ...]:
    """Names of a table's columns, computed ones left out."""
    return tuple(row["name"] for row in store.rows("SELECT name FROM pragma_table_info(?)", [table]))


def rows_of(store: Store, table: str) -> Iterator[Row]:
    """Every row of a table, in the order of its ids; a batch at a time."""
    names = columns(store, table)
    offset = 0
    while batch := store.rows(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1 LIMIT {BATCH} OFFSET {offset}"):
        yield from batch
        offset += BATCH


def check_empty(store: Store) -> None:
    """Raise NotEmpty unless nothing of a person is in the store."""
    for table in ("records", "uploads", "jobs", "changes", "tasks", "generations", "training_sets", "adapters"):
        if store.row(f"SELECT 1 FROM {table} LIMIT 1"):
            raise NotEmpty(
                "An archive comes back into an empty data folder and this one holds something; name a new folder with"
                " --data-dir, or delete everything first."
            )


def _known(names: Iterable[str], present: tuple[str, ...], table: str) -> list[str]:
    names = list(names)
    if unknown := [name for name in names if name not in present]:
        raise StoreNotReadable(
            f"The archive's table {table} has a column {unknown[0]!r} that this version does not know; install the"
            " version that wrote the archive, or a newer one."
        )
    return names


def _apart(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A record's own columns and its box, which stood among them in earlier schemas."""
    own = {name: value for name, value in row.items() if name not in BOX}
    box = {name: row[name] for name in BOX if name in row}
    touched = box.get("shared") or box.get("shared_by")
    return own, {"record_id": row.get("id"), **box} if touched else None


def _put_row(store: Store, table: str, row: Any, present: tuple[str, ...]) -> None:
    if not isinstance(row, Mapping) or not row:
        raise ValueError("it is no object with named fields")
    for name in JSON_COLUMNS.intersection(row):
        if row[name] is not None:
            json.loads(row[name])
    if table == "sqlite_sequence" and (row.get("name") not in TABLES or type(row.get("seq")) is not int):
        raise ValueError("it counts the ids of no table")
    box = None
    if table == "records":
        row, box = _apart(row)
    store.insert(table, {name: row[name] for name in _known(row, present, table)})
    if box:
        store.insert("shares", box)


def put_rows(store: Store, table: str, rows: Iterable[Any]) -> int:
    """Insert rows as they are, ids included; how many.

    Raises StoreNotReadable for a table or a column that is not known here, and for a row that cannot be.
    """
    if table not in TABLES:
        raise StoreNotReadable(
            f"The archive has a table {table!r} that this version does not know; install a newer one."
        )
    present = columns(store, table)
    number = 0
    if table in ("preferences", "sqlite_sequence"):
        store.run(f"DELETE FROM {table}")
    for number, row in enumerate(rows, 1):
        try:
            _put_row(store, table, row, present)
        except IMPOSSIBLE as error:
            raise StoreNotReadable(
                f"Row {number} of the archive's table {table} cannot be ({error}); use another copy of the archive."
            ) from None
    return number
