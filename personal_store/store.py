"""Opens the one file that holds everything of the person, and runs statements on it.

Knows transactions, the schema's version and SQLite's errors; knows nothing of records, pairs or jobs. A Store is used
in the thread that opened it; opening one is cheap, and any number of threads and processes may do so at once.
"""

import contextlib
import datetime
import errno
import json
import operator
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlite_utils

from personal_store.errors import StoreBusy, StoreError, StoreFull, StoreNotReadable
from personal_store.migrations import check_version, immediate, migrate

BUSY_SECONDS = 10.0
"""How long to wait for another process's change before giving up, unless whoever opens the store says otherwise."""

CACHE_KIB = 65_536
"""Most memory for pages of the file: a large import touches its indices all over."""

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
"""Length of the header of a SQLite file (file format, section 1.3)."""

Row = dict[str, Any]
Values = Sequence[Any] | dict[str, Any]


_looking = threading.Lock()
_looked_at: set[tuple[str, int, int]] = set()
"""Device and inode of the files that this process has checked."""


def now() -> str:
    """This moment in UTC, ISO 8601 to the millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def ids_json(ids: Iterable[int]) -> str:
    """Ids as the JSON list that `json_each` reads: one bound value, however many there are."""
    return json.dumps(list(ids))


def _explain(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The store's own error for what SQLite says, or None where it is a defect of the program."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return StoreFull(
            f"{path} needs room to grow but the disk is full; make room and do it again, nothing was changed."
        )
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"{path} was locked by another process for too long; do it again when that is done.")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreNotReadable(
                f"{path} should be this program's store but is damaged or something else ({error}); restore a backup"
                " of it, or choose another data folder."
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
            return StoreNotReadable(
                f"{path} should be a file that can be read and written but cannot ({error}); check its permissions"
                " and its disk, or choose another data folder."
            )
    return None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise the store's own errors in place of SQLite's."""
    try:
        yield
    except sqlite3.Error as error:
        explained = _explain(error, path)
        if explained is None:
            raise
        raise explained from error


@contextmanager
def _files_explained(path: Path) -> Iterator[None]:
    """Raise the store's own errors in place of the file system's."""
    try:
        yield
    except OSError as error:
        name = error.filename2 or error.filename or path
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreFull(f"{name} cannot be made ({error.strerror}); make room and do it again.") from error
        raise StoreNotReadable(
            f"{name} should be a file that can be opened but cannot ({error.strerror}); check the folder and its"
            " permissions, or choose another data folder."
        ) from error


class Store:
    """An open store. Every statement runs through it, so that SQLite's errors are explained in one place."""

    def __init__(self, path: Path, database: sqlite_utils.Database) -> None:
        self.path = path
        self._database = database

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Every row of a query, or of a change with RETURNING, by column name."""
        with _explained(self.path):
            cursor = self._database.execute(sql, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def tuples(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Every row of a query by place, for many rows."""
        with _explained(self.path):
            found: list[tuple[Any, ...]] = self._database.execute(sql, values).fetchall()
            return found

    def column(self, sql: str, values: Values = ()) -> list[Any]:
        """The first value of every row."""
        with _explained(self.path):
            # As they come: a list of 100,000 rows would set the garbage collector going.
            return list(map(operator.itemgetter(0), self._database.execute(sql, values)))

    def present(self, table: str, ids: Iterable[int]) -> frozenset[int]:
        """Those of the ids of which a table has a row."""
        found = self.column(f"SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(?))", [ids_json(ids)])
        return frozenset(found)

    def row(self, sql: str, values: Values = ()) -> Row | None:
        """The first row, or None."""
        return next(iter(self.rows(sql, values)), None)

    def value(self, sql: str, values: Values = ()) -> Any:
        """The first value of the first row, or None."""
        row = self.row(sql, values)
        return next(iter(row.values())) if row else None

    def run(self, sql: str, values: Values = ()) -> int:
        """Run a change; how many rows it changed."""
        with _explained(self.path):
            return self._database.execute(sql, values).rowcount

    def run_many(self, sql: str, values: Iterable[Values]) -> None:
        """Run a change once for each of the values; call it inside `change`, or each is a transaction of its own."""
        with _explained(self.path):
            self._database.conn.executemany(sql, values)

    def insert(self, table: str, values: Mapping[str, Any]) -> Row:
        """Insert one row; the row as it is stored, with its id."""
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        rows = self.rows(f"INSERT INTO {table} ({names}) VALUES ({places}) RETURNING *", dict(values))
        return rows[0]

    @contextmanager
    def change(self) -> Iterator[None]:
        """A transaction: everything in the block is kept, or nothing. Holds the write lock from its start.

        Inside another one it is a part of that one.
        """
        if self._database.conn.in_transaction:
            yield
            return
        with _explained(self.path), immediate(self._database.conn):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A transaction that only reads: the store as it is now, and other processes may change it meanwhile."""
        self.run("BEGIN")
        try:
            # SQLite takes the snapshot with the first statement that reads.
            self.value("SELECT count(*) FROM sqlite_master")
            yield
        finally:
            # SQLite has rolled back by itself after some errors.
            if self._database.conn.in_transaction:
                self.run("ROLLBACK")

    def close(self) -> None:
        """Close the file; the store cannot be used after."""
        self._database.close()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


def _check_header(path: Path) -> None:
    """Look at the first bytes before SQLite does: a file that is not ours, or too new, is not touched at all."""
    if not path.exists():
        return
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if header and not (header.startswith(MAGIC) and len(header) == HEADER_BYTES):
        raise StoreNotReadable(
            f"{path} should be this program's store but is no SQLite database; move it away, or choose another data"
            " folder."
        )
    check_version(path, int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big"))


def _look_once(path: Path) -> None:
    """Check the file's header and make the file where it is missing, once in a process.

    Closing any descriptor of a file gives up all POSIX locks that the process holds on it, those of its other SQLite
    connections too (sqlite.org/howtocorrupt.html, 2.2): a second look would break a store that another thread has open.
    """
    with _looking:
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            if (os.path.realpath(path), status.st_dev, status.st_ino) in _looked_at:
                return
        _check_header(path)
        # Made here rather than by SQLite, so that it is never readable by others, not even for a moment.
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        status = os.fstat(descriptor)
        os.close(descriptor)
        # The number alone is given to another file once this one is deleted.
        _looked_at.add((os.path.realpath(path), status.st_dev, status.st_ino))


def _enable_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to write-ahead logging, once; several processes may find the same new file."""
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite does not wait here as it does elsewhere: it answers "locked" at once.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _set_up(connection: sqlite3.Connection, path: Path) -> sqlite_utils.Database:
    """Bring a connection's settings and the file's schema to what the store relies on."""
    # Deleted text is overwritten with zeros; sorting never spills text into a temporary file.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    # Plugins of sqlite-utils would run other people's code on the connection.
    database = sqlite_utils.Database(connection, execute_plugins=False)
    _enable_wal(connection)
    migrate(database, path)
    connection.execute("PRAGMA foreign_keys = ON")
    return database


def open_store(path: Path, busy_seconds: float = BUSY_SECONDS) -> Store:
    """Open the store in that file, making it (mode 0600) or bringing it to the newest schema first.

    A change waits `busy_seconds` for another process's. Raises StoreNotReadable, StoreTooNew (the file stays as it is),
    StoreFull, StoreBusy.
    """
    with _explained(path), _files_explained(path):
        _look_once(path)
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
        try:
            database = _set_up(connection, path)
            path.chmod(0o600)
        except BaseException:
            connection.close()
            raise
    return Store(path, database)
