"""Every row of every table, out of the store and into an empty one. Knows no file format.

The search index is not among the rows: it is made anew from the records.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from personal_store.errors import NotEmpty, StoreNotReadable
from personal_store.migrations import MIGRATIONS
from personal_store.store import Row, Store

TABLES = (
    "jobs", "job_events", "tasks", "records", "pairs", "finished_records", "decisions", "uploads", "training_sets",
    "adapters", "generations", "comparisons", "changes", "changed_records", "preferences", "sqlite_sequence",
)  # fmt: skip
"""Each behind those that its foreign keys point to."""

SCHEMA = len(MIGRATIONS)
"""The schema that rows are written in; rows of an earlier one can be brought in, those of a later one cannot."""

BATCH = 1_000


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
    for table in ("records", "uploads", "jobs", "changes", "tasks", "generations"):
        if store.row(f"SELECT 1 FROM {table} LIMIT 1"):
            raise NotEmpty(
                "An archive comes back into an empty data folder and this one holds something; name a new folder with"
                " --data-dir."
            )


def _known(names: Iterable[str], present: tuple[str, ...], table: str) -> list[str]:
    names = list(names)
    if unknown := [name for name in names if name not in present]:
        raise StoreNotReadable(
            f"The archive's table {table} has a column {unknown[0]!r} that this version does not know; install the"
            " version that wrote the archive, or a newer one."
        )
    return names


def put_rows(store: Store, table: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Insert rows as they are, ids included; how many. Raises StoreNotReadable for a column that is not known here."""
    if table not in TABLES:
        raise StoreNotReadable(
            f"The archive has a table {table!r} that this version does not know; install a newer one."
        )
    present = columns(store, table)
    count = 0
    if table in ("preferences", "sqlite_sequence"):
        store.run(f"DELETE FROM {table}")
    for row in rows:
        store.insert(table, {name: row[name] for name in _known(row, present, table)})
        count += 1
    return count
