"""Deleting without a trace: records, and everything. Every function takes an open Store first."""

from collections.abc import Sequence

from personal_store.errors import NotFound
from personal_store.migrations import backups
from personal_store.nouns import Forgotten
from personal_store.store import Store

LEARNED_FROM = """
SELECT adapters.id FROM adapters JOIN training_sets ON training_sets.id = training_set_id WHERE
    EXISTS (SELECT 1 FROM json_each(training_sets.record_ids) WHERE value = :id)
    OR EXISTS (SELECT 1 FROM json_each(training_sets.pair_ids) JOIN pairs ON pairs.id = value WHERE record_id = :id)
"""
"""Adapters whose training set holds the record or a pair made from it; being held out teaches nothing."""


def mark_stale(store: Store, id: int) -> tuple[int, ...]:
    """Mark the adapters that learned from a record; their ids."""
    rows = store.rows(f"UPDATE adapters SET stale = 1 WHERE id IN ({LEARNED_FROM}) RETURNING id", {"id": id})
    return tuple(sorted(row["id"] for row in rows))


def erase(store: Store) -> bool:
    """Empty the write-ahead log, where deleted text stands, and delete copies that migrations made.

    False while another process reads from the log: the last to close the store empties it.
    """
    for copy in backups(store.path):
        copy.unlink(missing_ok=True)
    checkpoint = store.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    return bool(checkpoint["busy"] == 0)


def _drop_words(store: Store) -> None:
    """Drop deleted words from the search index: FTS5 only marks them, and merging all its segments drops them.

    Its secure-delete option would make the file unreadable for SQLite before 3.42.
    """
    store.run("INSERT INTO records_fts (records_fts) VALUES ('optimize')")


def _take_out(store: Store, id: int) -> tuple[int, tuple[int, ...]]:
    """Delete a record wherever it stands, a deleted one that could still be undone too; its pairs and adapters."""
    pairs = store.value("SELECT count(*) FROM pairs WHERE record_id = ?", [id])
    adapters = mark_stale(store, id)
    there = store.run("DELETE FROM records WHERE id = ?", [id])
    undoable = store.run("DELETE FROM changed_records WHERE record_id = ?", [id])
    if not there + undoable:
        raise NotFound(f"There is no record {id}; `cdcda records` shows which there are.")
    return int(pairs), adapters


def forget_records(store: Store, ids: Sequence[int]) -> tuple[Forgotten, ...]:
    """Delete records, their pairs and the decisions on them; mark adapters that learned from them stale.

    The texts are overwritten in the database, its search index and its log, and copies made by migrations are deleted;
    what could be undone of them cannot be any more. Answers that adapters wrote stay, and the ledger keeps the ids.
    Raises NotFound, and then nothing is changed.
    """
    with store.change():
        taken = {id: _take_out(store, id) for id in dict.fromkeys(ids)}
        store.run("DELETE FROM changes WHERE id NOT IN (SELECT change_id FROM changed_records)")
        _drop_words(store)
    erased = erase(store)
    return tuple(Forgotten(id, pairs, adapters, erased) for id, (pairs, adapters) in taken.items())


def forget_record(store: Store, id: int) -> Forgotten:
    """The same for one record."""
    return forget_records(store, [id])[0]


def deleted_ids(store: Store) -> tuple[int, ...]:
    """Records that were deleted and could still be brought back by undoing."""
    return tuple(
        store.column(
            "SELECT DISTINCT record_id FROM changed_records WHERE before IS NOT NULL"
            " AND record_id NOT IN (SELECT id FROM records) ORDER BY record_id"
        )
    )


def forget_changes(store: Store) -> bool:
    """Make everything final that could be undone: deleted records and earlier texts go without a trace."""
    with store.change():
        store.run("DELETE FROM changes")
        _drop_words(store)
    return erase(store)


def forget_everything(store: Store) -> bool:
    """Empty every table, the ledger and the preferences too, and leave no trace of them in the files.

    True as `erase` is. The file stays, empty, so that other programs that have it open go on with it.
    """
    tables = store.column("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%STRICT%'")
    ledger_lock = store.value("SELECT sql FROM sqlite_master WHERE name = 'uploads_never_go'")
    with store.change():
        store.run("PRAGMA defer_foreign_keys = ON")
        store.run("DROP TRIGGER uploads_never_go")
        for table in tables:
            store.run(f"DELETE FROM {table}")
        store.run(ledger_lock)
        store.run("DELETE FROM sqlite_sequence")
        store.run("INSERT INTO records_fts (records_fts) VALUES ('delete-all')")
    store.run("VACUUM")
    return erase(store)
