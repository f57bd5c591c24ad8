"""Synthetic pairs, and which records a job has finished. Every function takes an open Store first."""

from collections.abc import Iterable
from typing import Any

from personal_store import earlier
from personal_store.errors import NotFound
from personal_store.nouns import NewPair, Pair, Scores
from personal_store.store import Store, ids_json, now

SCORES = ("entails", "entailed", "rouge_l", "length_ratio")


COLUMNS = ", ".join(("id", "record_id", "job_id", "number", "input", "output", "model", "seed", *SCORES, "created_at"))


def _pair(row: tuple[Any, ...]) -> Pair:
    """A pair of COLUMNS, by place: a list of thousands is drawn at every look at Review."""
    *said, entails, entailed, rouge_l, length_ratio, created_at = row
    values = (*said, Scores(entails, entailed, rouge_l, length_ratio), created_at)
    return Pair(*values)


def _check_source(store: Store, job_id: int, record_id: int) -> None:
    """A record may have been forgotten while a job was at work on it: nothing of it may come back."""
    if store.row("SELECT 1 FROM records WHERE id = ?", [record_id]) is None:
        raise NotFound(f"There is no record {record_id} any more; leave what was made from it out.")
    if store.row("SELECT 1 FROM jobs WHERE id = ?", [job_id]) is None:
        raise NotFound(f"There is no job {job_id}; `cdcda jobs` shows which there are.")


def add_pair(store: Store, pair: NewPair) -> int:
    """Store a pair; its id. A repeat of (job, record, number) is ignored and gives the id of the pair that is there.

    Raises NotFound when the record, or the text that it had when the job began, was forgotten in the meantime.
    """
    key = {"job_id": pair.job_id, "record_id": pair.record_id, "number": pair.number}
    with store.change():
        _check_source(store, pair.job_id, pair.record_id)
        if earlier.is_forgotten(store, pair.record_id, pair.job_id):
            raise NotFound(f"The text that record {pair.record_id} had when job {pair.job_id} began was forgotten.")
        there = store.value(
            "SELECT id FROM pairs WHERE job_id = :job_id AND record_id = :record_id AND number = :number", key
        )
        if there is not None:
            return int(there)
        texts = {"input": pair.input, "output": pair.output, "model": pair.model, "seed": pair.seed}
        scores = {name: getattr(pair.scores, name) for name in SCORES}
        return int(store.insert("pairs", {**key, **texts, **scores, "created_at": now()})["id"])


def find_pairs(
    store: Store, record_ids: Iterable[int] | None = None, job_id: int | None = None, newest: int | None = None
) -> tuple[Pair, ...]:
    """Pairs of those records and that job, None meaning any, in the order they came; with `newest` the last so many."""
    conditions = ["1"]
    if record_ids is not None:
        conditions.append("record_id IN (SELECT value FROM json_each(:record_ids))")
    if job_id is not None:
        conditions.append("job_id = :job_id")
    values = {"record_ids": ids_json(record_ids or ()), "job_id": job_id, "newest": -1 if newest is None else newest}
    wanted = f"SELECT {COLUMNS} FROM pairs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :newest"
    return tuple(map(_pair, reversed(store.tuples(wanted, values))))


def check_pairs(store: Store, ids: Iterable[int]) -> None:
    """Whether there are all these pairs; raises NotFound, which names the first that is not there."""
    missing = store.column(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM pairs) LIMIT 1", [ids_json(ids)]
    )
    if missing:
        raise NotFound(f"There is no pair {missing[0]}; `cdcda review --list` shows which there are.")


def get_pair(store: Store, id: int) -> Pair:
    """The pair with that id; raises NotFound."""
    check_pairs(store, [id])
    return _pair(store.tuples(f"SELECT {COLUMNS} FROM pairs WHERE id = ?", [id])[0])


def finish_record(store: Store, job_id: int, record_id: int) -> None:
    """Note that all pairs of the record have come in that job; once or several times. Raises NotFound."""
    with store.change():
        _check_source(store, job_id, record_id)
        store.run("INSERT INTO finished_records VALUES (?, ?) ON CONFLICT DO NOTHING", [job_id, record_id])


def finished_records(store: Store, job_id: int) -> frozenset[int]:
    """Records whose augmentation is complete in that job."""
    rows = store.rows("SELECT record_id FROM finished_records WHERE job_id = ?", [job_id])
    return frozenset(row["record_id"] for row in rows)
