"""Deleting without a trace: records, and everything. Every function takes an open Store first."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from personal_store import earlier
from personal_store.earlier import WITHIN, Span
from personal_store.errors import NotFound
from personal_store.migrations import backups
from personal_store.nouns import Forgotten
from personal_store.store import Store, ids_json
from personal_store.training import note_forgotten

LEARNED_FROM = """
SELECT id FROM training_sets WHERE
    EXISTS (SELECT 1 FROM json_each(training_sets.record_ids) WHERE value = :id)
    OR EXISTS (SELECT 1 FROM json_each(training_sets.pair_ids) JOIN pairs ON pairs.id = value WHERE record_id = :id)
"""
"""Training sets that hold the record or a pair made from it; being held out teaches nothing."""

TELLING = 16
"""Characters from which on a text tells something by itself, wherever it stands."""

BLANKS = "char(9) || char(10) || char(13) || ' '"
"""What may stand around an instruction that was piped in; texts of records have none of it."""


def mark_stale(store: Store, id: int) -> tuple[int, ...]:
    """Mark the adapters that learned from a record; their ids."""
    learned = f"training_set_id IN ({LEARNED_FROM})"
    rows = store.rows(f"UPDATE adapters SET stale = 1 WHERE {learned} RETURNING id", {"id": id})
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


def _texts_in(before: Mapping[str, Any]) -> Iterator[str]:
    """The record's texts in what a change keeps of it."""
    for row in before.get("records") or [before]:
        yield from (row[name] for name in ("input", "output"))


def _texts(store: Store, id: int) -> set[str]:
    """Input and output of a record, as they are and as they were before edits that could be undone."""
    found: set[str] = set()
    for row in store.rows("SELECT input, output FROM records WHERE id = ?", [id]):
        found.update(row.values())
    for before in store.column("SELECT before FROM changed_records WHERE record_id = ? AND before IS NOT NULL", [id]):
        found.update(_texts_in(json.loads(before)))
    return found


def _answers_to(store: Store, texts: set[str]) -> list[int]:
    """Answers that were asked for with one of these texts, or that hold one.

    A short text is looked for only as the whole of what was asked: a label stands in many answers by itself.
    """
    long = json.dumps([text for text in texts if len(text) >= TELLING])
    return store.column(
        f"SELECT id FROM generations WHERE trim(prompt, {BLANKS}) IN (SELECT value FROM json_each(:texts)) OR EXISTS"
        " (SELECT 1 FROM json_each(:long) WHERE instr(prompt, value) OR instr(text, value))",
        {"texts": json.dumps(list(texts)), "long": long},
    )


def _forget_answers(store: Store, texts: set[str]) -> int:
    """Delete answers that were asked for with one of these texts, or that hold one; how many."""
    gone = ids_json(_answers_to(store, texts))
    store.run(
        "DELETE FROM comparisons WHERE before_id IN (SELECT value FROM json_each(:gone))"
        " OR after_id IN (SELECT value FROM json_each(:gone))",
        {"gone": gone},
    )
    return store.run("DELETE FROM generations WHERE id IN (SELECT value FROM json_each(?))", [gone])


def _take_out(store: Store, id: int) -> tuple[int, tuple[int, ...], int]:
    """Delete a record, a deleted one that could still be undone too; how many pairs, its adapters, how many answers."""
    answers = _forget_answers(store, _texts(store, id))
    pairs = store.value("SELECT count(*) FROM pairs WHERE record_id = ?", [id])
    adapters = mark_stale(store, id)
    there = store.run("DELETE FROM records WHERE id = ?", [id])
    undoable = store.run("DELETE FROM changed_records WHERE record_id = ?", [id])
    earlier.drop(store, id)
    if not there + undoable:
        raise NotFound(f"There is no record {id}; `cdcda records` shows which there are.")
    return int(pairs), adapters, answers


def forget_records(store: Store, ids: Sequence[int]) -> tuple[Forgotten, ...]:
    """Delete records, their pairs and the decisions on them; mark adapters that learned from them stale.

    Answers that were asked for with their texts or that hold one of them go too, with their votes. The texts are
    overwritten in the database, its search index and its log, and copies made by migrations are deleted; what could be
    undone of them cannot be any more. Other answers stay, and the ledger keeps the ids. Raises NotFound, and then
    nothing is changed.
    """
    with store.change():
        taken = {id: _take_out(store, id) for id in dict.fromkeys(ids)}
        store.run("DELETE FROM changes WHERE id NOT IN (SELECT change_id FROM changed_records)")
        _drop_words(store)
    erased = erase(store)
    return tuple(Forgotten(id, pairs, adapters, erased, answers) for id, (pairs, adapters, answers) in taken.items())


def forget_record(store: Store, id: int) -> Forgotten:
    """The same for one record."""
    return forget_records(store, [id])[0]


def deleted_ids(store: Store) -> tuple[int, ...]:
    """Records that were deleted and could still be brought back by undoing."""
    undoable = "SELECT DISTINCT record_id FROM changed_records WHERE before IS NOT NULL"
    return tuple(store.column(f"{undoable} AND record_id NOT IN (SELECT id FROM records) ORDER BY record_id"))


def _texts_of_changes(store: Store, condition: str, last: int) -> set[str]:
    """Texts in what is kept of the changes whose id fulfils a condition on `last`."""
    kept = store.column(
        f"SELECT before FROM changed_records WHERE before IS NOT NULL AND change_id {condition}", [last]
    )
    return {text for before in kept for text in _texts_in(json.loads(before))}


def forget_answers_of_changes(store: Store, last: int) -> None:
    """Delete answers to texts that nothing holds once the changes up to that one are final."""
    texts = _texts_of_changes(store, "<= ?", last)
    # Most often there are none, and the search through all records is spared.
    if not _answers_to(store, texts):
        return
    texts -= _texts_of_changes(store, "> ?", last)
    still_there = "EXCEPT SELECT input FROM records EXCEPT SELECT output FROM records"
    _forget_answers(store, set(store.column(f"SELECT value FROM json_each(?) {still_there}", [json.dumps([*texts])])))


def _forget_made_of(store: Store, span: Span) -> None:
    """Delete the pairs that were written from an earlier text of a record, and mark what learned it or them stale."""
    within = {"id": span.record_id, "after": span.after, "until": span.until}
    jobs = f"SELECT id FROM jobs WHERE {WITHIN}"
    pairs = store.column(f"SELECT id FROM pairs WHERE record_id = :id AND job_id IN ({jobs})", within)
    written = "value IN (SELECT value FROM json_each(:pairs))"
    learned = store.column(
        "SELECT id FROM training_sets WHERE"
        f" ({WITHIN} AND EXISTS (SELECT 1 FROM json_each(training_sets.record_ids) WHERE value = :id))"
        f" OR EXISTS (SELECT 1 FROM json_each(training_sets.pair_ids) WHERE {written})",
        {**within, "pairs": ids_json(pairs)},
    )
    note_forgotten(store, learned)
    store.run("DELETE FROM pairs WHERE id IN (SELECT value FROM json_each(?))", [ids_json(pairs)])


def forget_changes(store: Store) -> bool:
    """Make everything final that could be undone: deleted records and earlier texts go without a trace.

    So do the answers to them and the pairs that were written from them; adapters that learned from them are stale.
    """
    with store.change():
        for span in earlier.take(store):
            _forget_made_of(store, span)
        forget_answers_of_changes(store, store.value("SELECT coalesce(max(id), 0) FROM changes"))
        store.run("DELETE FROM changes")
        _drop_words(store)
    return erase(store)


def forget_everything(store: Store, kept: Iterable[str] = ()) -> bool:
    """Empty every table, the ledger too, and leave no trace of them in the files.

    Of the preferences those whose names are `kept` stay. True as `erase` is. The file stays, empty, so that other
    programs that have it open go on with it.
    """
    tables = store.column("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%STRICT%'")
    ledger_lock = store.value("SELECT sql FROM sqlite_master WHERE name = 'uploads_never_go'")
    with store.change():
        store.run("PRAGMA defer_foreign_keys = ON")
        store.run("DROP TRIGGER uploads_never_go")
        names = json.dumps(list(kept))
        staying = store.rows("SELECT * FROM preferences WHERE name IN (SELECT value FROM json_each(?))", [names])
        for table in tables:
            store.run(f"DELETE FROM {table}")
        for row in staying:
            store.insert("preferences", row)
        store.run(ledger_lock)
        store.run("DELETE FROM sqlite_sequence")
        store.run("INSERT INTO records_fts (records_fts) VALUES ('delete-all')")
    store.run("VACUUM")
    return erase(store)
