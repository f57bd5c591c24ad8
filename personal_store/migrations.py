"""The schema, as the ordered steps that lead to it. A step that was ever released is never edited: add another.

The number of steps that a file has been through stands in its `user_version`; `application_id` says that it is ours.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlite_utils

from personal_store.errors import StoreNotReadable, StoreTooNew
from personal_store.processes import is_gone

APPLICATION_ID = 0x43444344
"""Marks a SQLite file as ours ("CDCD")."""

FIRST = """
-- AUTOINCREMENT throughout: the id of a forgotten record or a deleted adapter must never come back, because the ledger,
-- training sets and generations keep such ids.
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task TEXT NOT NULL,
    input TEXT NOT NULL,
    output TEXT NOT NULL,
    created_at TEXT,
    imported_at TEXT NOT NULL,
    source TEXT NOT NULL,
    content_hash TEXT NOT NULL UNIQUE,
    shared INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
    shared_by TEXT CHECK (shared_by IN ('hand', 'slider')),
    written_at TEXT NOT NULL AS (coalesce(created_at, imported_at)) VIRTUAL
) STRICT;
CREATE INDEX records_by_time ON records (written_at);
CREATE INDEX records_by_task ON records (task, written_at);
CREATE INDEX records_by_shared ON records (shared, written_at, task);

CREATE VIRTUAL TABLE records_fts USING fts5 (
    input, output, content = 'records', content_rowid = 'id', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER records_inserted AFTER INSERT ON records BEGIN
    INSERT INTO records_fts (rowid, input, output) VALUES (new.id, new.input, new.output);
END;
CREATE TRIGGER records_deleted AFTER DELETE ON records BEGIN
    INSERT INTO records_fts (records_fts, rowid, input, output) VALUES ('delete', old.id, old.input, old.output);
END;
-- Only for these columns: sharing 50,000 records must not index their texts again.
CREATE TRIGGER records_rewritten AFTER UPDATE OF input, output ON records BEGIN
    INSERT INTO records_fts (records_fts, rowid, input, output) VALUES ('delete', old.id, old.input, old.output);
    INSERT INTO records_fts (rowid, input, output) VALUES (new.id, new.input, new.output);
END;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('augment', 'train')),
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'stopping', 'stopped', 'failed', 'interrupted', 'done')),
    settings TEXT NOT NULL,
    result TEXT,
    error TEXT,
    process_id INTEGER,
    heartbeat REAL,
    created_at TEXT NOT NULL
) STRICT;
CREATE TABLE job_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX job_events_by_job ON job_events (job_id, id);

CREATE TABLE pairs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    record_id INTEGER NOT NULL REFERENCES records (id) ON DELETE CASCADE,
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    number INTEGER NOT NULL CHECK (number >= 1),
    input TEXT NOT NULL,
    output TEXT NOT NULL,
    model TEXT NOT NULL,
    seed INTEGER NOT NULL,
    entails REAL NOT NULL,
    entailed REAL NOT NULL,
    rouge_l REAL NOT NULL,
    length_ratio REAL NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (job_id, record_id, number)
) STRICT;
CREATE INDEX pairs_by_record ON pairs (record_id);
-- Records whose augmentation is complete in a job: a resumed job leaves them out.
CREATE TABLE finished_records (
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    record_id INTEGER NOT NULL REFERENCES records (id) ON DELETE CASCADE,
    PRIMARY KEY (job_id, record_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX finished_records_by_record ON finished_records (record_id);

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pair_id INTEGER NOT NULL REFERENCES pairs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('accepted', 'edited', 'rejected')),
    input TEXT,
    output TEXT,
    made_at TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1))
) STRICT;
CREATE INDEX decisions_by_pair ON decisions (pair_id, undone);

-- The ledger. Ids have no gaps, so that a missing line shows.
CREATE TABLE uploads (
    id INTEGER PRIMARY KEY,
    sent_at TEXT NOT NULL,
    destination TEXT NOT NULL,
    record_ids TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    outcome TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    line_hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER uploads_only_at_the_end BEFORE INSERT ON uploads
WHEN new.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM uploads) BEGIN
    SELECT RAISE(ABORT, 'the ledger only grows at its end');
END;
CREATE TRIGGER uploads_never_change BEFORE UPDATE ON uploads BEGIN
    SELECT RAISE(ABORT, 'a line of the ledger cannot be changed');
END;
CREATE TRIGGER uploads_never_go BEFORE DELETE ON uploads BEGIN
    SELECT RAISE(ABORT, 'a line of the ledger cannot be deleted');
END;

-- Ids alone, no text: a forgotten record must not live on in a snapshot.
CREATE TABLE training_sets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    record_ids TEXT NOT NULL,
    pair_ids TEXT NOT NULL,
    held_out_ids TEXT NOT NULL,
    seed INTEGER NOT NULL,
    hash TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE TABLE adapters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    folder TEXT NOT NULL UNIQUE,
    base TEXT NOT NULL,
    training_set_id INTEGER NOT NULL REFERENCES training_sets (id),
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    manifest TEXT NOT NULL,
    active INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1)),
    stale INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1)),
    created_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX adapters_at_most_one_active ON adapters (active) WHERE active = 1;

CREATE TABLE generations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task TEXT NOT NULL,
    prompt TEXT NOT NULL,
    -- No foreign key: a generation goes on saying which adapter wrote it when that adapter is gone.
    adapter_id INTEGER,
    settings TEXT NOT NULL,
    seed INTEGER NOT NULL,
    text TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE TABLE comparisons (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    before_id INTEGER NOT NULL REFERENCES generations (id),
    after_id INTEGER NOT NULL REFERENCES generations (id),
    vote TEXT CHECK (vote IN ('before', 'after', 'same')),
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE preferences (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

FINDINGS = """
-- What looks personal or secret in a record: kinds, one a line; empty: nothing; NULL: not looked at yet.
ALTER TABLE records ADD COLUMN findings TEXT;
-- How the person agreed to share a record with findings. NULL: not at all.
ALTER TABLE records ADD COLUMN shared_as TEXT CHECK (shared_as IN ('confirmed', 'redacted'));
CREATE INDEX records_not_looked_at ON records (id) WHERE findings IS NULL;
"""

ENDS = """
-- Hashes of a record's first and last words, by which almost equal records are found.
ALTER TABLE records ADD COLUMN head INTEGER;
ALTER TABLE records ADD COLUMN tail INTEGER;
CREATE INDEX records_by_head ON records (head);
CREATE INDEX records_by_tail ON records (tail);
"""

CHANGES = """
-- What can be undone. `before` is the record (with its pairs and decisions, where it was deleted) as JSON; NULL: it was
-- added. Forgetting a record deletes its rows here too.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('added', 'edited', 'deleted')),
    made_at TEXT NOT NULL
) STRICT;
CREATE TABLE changed_records (
    change_id INTEGER NOT NULL REFERENCES changes (id) ON DELETE CASCADE,
    record_id INTEGER NOT NULL,
    before TEXT,
    PRIMARY KEY (change_id, record_id)
) STRICT;
CREATE INDEX changed_records_by_record ON changed_records (record_id);
"""

TASKS = """
-- Tasks that the person made; those that come with the program are not in here.
CREATE TABLE tasks (
    name TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    template TEXT NOT NULL,
    answer TEXT NOT NULL CHECK (answer IN ('text', 'label', 'rating')),
    labels TEXT NOT NULL,
    metric TEXT NOT NULL CHECK (metric IN ('rouge', 'accuracy', 'mae'))
) STRICT, WITHOUT ROWID;
"""

ADAPTERS = """
-- An imported adapter has no job, and a training set only where it was learned here. `note` is the person's own.
CREATE TABLE rebuilt_adapters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    folder TEXT NOT NULL UNIQUE,
    base TEXT NOT NULL,
    training_set_id INTEGER REFERENCES training_sets (id),
    job_id INTEGER REFERENCES jobs (id),
    manifest TEXT NOT NULL,
    active INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1)),
    stale INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1)),
    created_at TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO rebuilt_adapters SELECT *, '' FROM adapters;
-- The highest id ever given goes along: that of a deleted adapter must not come back.
DELETE FROM sqlite_sequence WHERE name = 'rebuilt_adapters';
INSERT INTO sqlite_sequence SELECT 'rebuilt_adapters', seq FROM sqlite_sequence WHERE name = 'adapters';
DROP TABLE adapters;
ALTER TABLE rebuilt_adapters RENAME TO adapters;
CREATE UNIQUE INDEX adapters_at_most_one_active ON adapters (active) WHERE active = 1;
"""

BLIND = """
-- Whether the names of the two sides were hidden until the vote, and whether the one with the adapter stood first.
ALTER TABLE comparisons ADD COLUMN blind INTEGER NOT NULL DEFAULT 0 CHECK (blind IN (0, 1));
ALTER TABLE comparisons ADD COLUMN after_first INTEGER NOT NULL DEFAULT 0 CHECK (after_first IN (0, 1));
"""

CURVE = """
-- A third kind of job, which measures. A check cannot be changed in place: the table is made anew, with the same ids.
CREATE TABLE new_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('augment', 'train', 'curve')),
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'stopping', 'stopped', 'failed', 'interrupted', 'done')),
    settings TEXT NOT NULL,
    result TEXT,
    error TEXT,
    process_id INTEGER,
    heartbeat REAL,
    created_at TEXT NOT NULL
) STRICT;
INSERT INTO new_jobs SELECT id, kind, state, settings, result, error, process_id, heartbeat, created_at FROM jobs;
DELETE FROM sqlite_sequence WHERE name = 'new_jobs';
INSERT INTO sqlite_sequence SELECT 'new_jobs', seq FROM sqlite_sequence WHERE name = 'jobs';
DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;
"""

SHARES = """
-- The boxes, apart from the texts: ticking half of a long history must not write every page of its texts anew. A record
-- without a line here was never touched and is not shared.
CREATE TABLE shares (
    record_id INTEGER PRIMARY KEY REFERENCES records (id) ON DELETE CASCADE,
    shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
    shared_by TEXT CHECK (shared_by IN ('hand', 'slider')),
    shared_as TEXT CHECK (shared_as IN ('confirmed', 'redacted'))
) STRICT;
INSERT INTO shares SELECT id, shared, shared_by, shared_as FROM records WHERE shared = 1 OR shared_by IS NOT NULL;
DROP INDEX records_by_shared;
ALTER TABLE records DROP COLUMN shared;
ALTER TABLE records DROP COLUMN shared_by;
ALTER TABLE records DROP COLUMN shared_as;
CREATE INDEX records_with_findings ON records (written_at) WHERE findings <> '';
"""

MIGRATIONS: tuple[str, ...] = (FIRST, FINDINGS, ENDS, CHANGES, TASKS, ADAPTERS, BLIND, CURVE, SHARES)
"""Step n leads from `user_version` n to n + 1."""


def check_version(path: Path, application_id: int, version: int) -> None:
    """Raise StoreNotReadable for a database of another program, StoreTooNew for one of a later version of this one."""
    if application_id not in (0, APPLICATION_ID) or (application_id == 0 and version > 0):
        raise StoreNotReadable(
            f"{path} should be this program's store but is the database of another program; choose another data folder."
        )
    if version > len(MIGRATIONS):
        raise StoreTooNew(
            f"{path} has schema {version} and this version of the program knows schemas up to {len(MIGRATIONS)};"
            " install the newer version that wrote it, or choose another data folder."
        )


def version_of(database: sqlite_utils.Database, path: Path) -> int:
    """How many steps the open file has been through; raises as `check_version` does."""
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    check_version(path, int(database.execute("PRAGMA application_id").fetchone()[0]), version)
    return version


@contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that holds the write lock from its start: kept as a whole, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors, a full disk for one.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def backup_path(path: Path, version: int) -> Path:
    """Where the file is kept as it was at schema `version`."""
    return path.with_name(f"{path.name}.schema-{version}.backup")


def _unfinished(path: Path, process: str) -> Path:
    """Where a process makes its copy."""
    return path.with_name(f"{path.name}.backup-{process}")


def _abandoned(path: Path) -> Iterator[Path]:
    """Copies, and SQLite's journals of them, that processes were killed over."""
    beginning = _unfinished(path, "").name
    for copy in path.parent.glob(f"{beginning}*"):
        maker = copy.name.removeprefix(beginning).partition("-")[0]
        if maker.isdecimal() and is_gone(int(maker)):
            yield copy


def backups(path: Path) -> list[Path]:
    """The copies that migrations left beside the store, whole or not."""
    return sorted([*path.parent.glob(f"{path.name}.schema-*.backup"), *_abandoned(path)])


def _back_up(path: Path, version: int) -> None:
    """Copy the store, readable by its owner alone; the copy appears whole or not at all."""
    unfinished = _unfinished(path, str(os.getpid()))
    os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as copy:
            source.backup(copy)
        os.replace(unfinished, backup_path(path, version))
    finally:
        unfinished.unlink(missing_ok=True)


def _check_integrity(database: sqlite_utils.Database, path: Path) -> None:
    finding = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if finding != "ok" or database.execute("PRAGMA foreign_key_check").fetchone():
        raise StoreNotReadable(
            f"{path} should be a sound database but is damaged ({finding}); restore a backup of it, or choose another"
            " data folder."
        )


def _check_new(database: sqlite_utils.Database, path: Path) -> None:
    """A file that no step has touched must be empty: anything else belongs to another program."""
    if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        check_version(path, 0, 1)


def _step(database: sqlite_utils.Database, path: Path, number: int, first: bool) -> None:
    """Apply one step in a transaction of its own, unless another process has just done it."""
    with immediate(database.conn):
        if version_of(database, path) != number:
            return
        if number == 0:
            _check_new(database, path)
        elif first:
            _check_integrity(database, path)
            # The write lock is held, so the copy is of exactly this schema.
            _back_up(path, number)
        database.executescript(MIGRATIONS[number])
        _check_integrity(database, path)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {number + 1}")


def migrate(database: sqlite_utils.Database, path: Path) -> None:
    """Bring the open file to the newest schema, after copying an existing one; safe when several processes try at once.

    Foreign keys must be off, as SQLite wants it for steps that rebuild a table; they are checked before each commit.
    """
    version = version_of(database, path)
    for number in range(version, len(MIGRATIONS)):
        _step(database, path, number, first=number == version)
