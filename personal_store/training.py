"""Training sets and the adapters that came of them. Every function takes an open Store first."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from personal_store import preferences
from personal_store.errors import NotFound
from personal_store.nouns import Adapter, TrainingSet
from personal_store.store import Row, Store, ids_json, now

FORGOTTEN_TEXTS = "training sets with texts that were forgotten"
"""The preference that holds the ids of sets whose records are there, but with other texts."""


def _training_set(row: Row) -> TrainingSet:
    lists = {name: tuple(json.loads(row[name])) for name in ("record_ids", "pair_ids", "held_out_ids")}
    return TrainingSet(**{**row, **lists})


def _adapter(row: Row) -> Adapter:
    flags = {"active": bool(row["active"]), "stale": bool(row["stale"])}
    return Adapter(**{**row, **flags, "manifest": json.loads(row["manifest"])})


def _no_adapter(id: int) -> NotFound:
    return NotFound(f"There is no adapter {id}; `cdcda adapters` shows which there are.")


def save_training_set(
    store: Store, record_ids: Sequence[int], pair_ids: Sequence[int], held_out_ids: Sequence[int], seed: int, hash: str
) -> TrainingSet:
    """Keep a snapshot of what an adapter will learn from: ids in their order, no text."""
    values = {
        "record_ids": ids_json(record_ids),
        "pair_ids": ids_json(pair_ids),
        "held_out_ids": ids_json(held_out_ids),
        "seed": seed,
        "hash": hash,
        "created_at": now(),
    }
    return _training_set(store.insert("training_sets", values))


def get_training_set(store: Store, id: int) -> TrainingSet:
    """The training set with that id; raises NotFound."""
    row = store.row("SELECT * FROM training_sets WHERE id = ?", [id])
    if row is None:
        raise NotFound(f"There is no training set {id}; `cdcda adapters` shows the set of each adapter.")
    return _training_set(row)


@dataclasses.dataclass(frozen=True)
class Present:
    """Of what a training set learns from, the ids that are still in the store."""

    record_ids: frozenset[int]
    pair_ids: frozenset[int]


def present(store: Store, training_set: TrainingSet) -> Present:
    """What of a training set was not forgotten since."""
    return Present(store.present("records", training_set.record_ids), store.present("pairs", training_set.pair_ids))


def note_forgotten(store: Store, ids: Sequence[int]) -> None:
    """Remember of training sets that they hold texts which were forgotten; adapters that learned them are stale."""
    known = preferences.get(store, FORGOTTEN_TEXTS, list[int]())
    preferences.put(store, FORGOTTEN_TEXTS, sorted({*known, *ids}))
    listed = "SELECT value FROM json_each(?)"
    store.run(f"UPDATE adapters SET stale = 1 WHERE training_set_id IN ({listed})", [ids_json(ids)])


def holds_forgotten(store: Store, training_set: TrainingSet) -> bool:
    """Whether a text of the set was forgotten although its record is there, with another one."""
    return training_set.id in preferences.get(store, FORGOTTEN_TEXTS, list[int]())


def _lacks_a_source(store: Store, training_set: TrainingSet) -> bool:
    """Whether something that the set learns from was forgotten, perhaps while the training ran."""
    return holds_forgotten(store, training_set) or bool(
        store.value(
            "SELECT EXISTS (SELECT 1 FROM json_each(:records) WHERE value NOT IN (SELECT id FROM records))"
            " OR EXISTS (SELECT 1 FROM json_each(:pairs) WHERE value NOT IN (SELECT id FROM pairs))",
            {"records": ids_json(training_set.record_ids), "pairs": ids_json(training_set.pair_ids)},
        )
    )


def find_training_set(store: Store, hash: str) -> TrainingSet | None:
    """The newest training set of these texts."""
    row = store.row("SELECT * FROM training_sets WHERE hash = ? ORDER BY id DESC", [hash])
    return _training_set(row) if row else None


def add_adapter(
    store: Store,
    name: str,
    folder: str,
    base: str,
    training_set_id: int | None,
    job_id: int | None,
    manifest: Mapping[str, Any],
) -> Adapter:
    """Enter a finished adapter, not active; stale already where a source was deleted since. Raises NotFound.

    One that was imported has no job, and a training set only where it was learned here.
    """
    with store.change():
        training_set = None if training_set_id is None else get_training_set(store, training_set_id)
        if job_id is not None and store.row("SELECT 1 FROM jobs WHERE id = ?", [job_id]) is None:
            raise NotFound(f"There is no job {job_id}; `cdcda jobs` shows which there are.")
        values = {
            "name": name,
            "folder": folder,
            "base": base,
            "training_set_id": training_set_id,
            "job_id": job_id,
            "manifest": json.dumps(dict(manifest)),
            "stale": training_set is not None and _lacks_a_source(store, training_set),
            "created_at": now(),
        }
        return _adapter(store.insert("adapters", values))


def adapter_of_job(store: Store, job_id: int) -> Adapter | None:
    """The adapter that a job entered, if it got so far."""
    row = store.row("SELECT * FROM adapters WHERE job_id = ?", [job_id])
    return None if row is None else _adapter(row)


def freshen(store: Store) -> None:
    """Take the mark "stale" from adapters of which every source is there again."""
    for row in store.rows("SELECT id, training_set_id FROM adapters WHERE stale = 1"):
        if not _lacks_a_source(store, get_training_set(store, row["training_set_id"])):
            store.run("UPDATE adapters SET stale = 0 WHERE id = ?", [row["id"]])


def adapters(store: Store) -> tuple[Adapter, ...]:
    """Every adapter, the newest first."""
    return tuple(map(_adapter, store.rows("SELECT * FROM adapters ORDER BY id DESC")))


def get_adapter(store: Store, id: int) -> Adapter:
    """The adapter with that id; raises NotFound."""
    row = store.row("SELECT * FROM adapters WHERE id = ?", [id])
    if row is None:
        raise _no_adapter(id)
    return _adapter(row)


def latest_adapter(store: Store) -> Adapter | None:
    """The adapter that was made last."""
    return next(iter(adapters(store)), None)


def activate(store: Store, id: int | None) -> None:
    """Switch one adapter on and every other off; None switches all off. Raises NotFound."""
    with store.change():
        store.run("UPDATE adapters SET active = 0 WHERE active = 1 AND id IS NOT ?", [id])
        if id is not None and not store.run("UPDATE adapters SET active = 1 WHERE id = ?", [id]):
            raise _no_adapter(id)


def active_adapter(store: Store) -> Adapter | None:
    """The adapter that is switched on."""
    row = store.row("SELECT * FROM adapters WHERE active = 1")
    return _adapter(row) if row else None


def rename_adapter(store: Store, id: int, name: str) -> Adapter:
    """Give an adapter another name; its folder keeps its own. Raises NotFound."""
    row = store.row("UPDATE adapters SET name = ? WHERE id = ? RETURNING *", [name, id])
    if row is None:
        raise _no_adapter(id)
    return _adapter(row)


def note_adapter(store: Store, id: int, note: str) -> Adapter:
    """Write something down about an adapter; an empty text takes the note away. Raises NotFound."""
    row = store.row("UPDATE adapters SET note = ? WHERE id = ? RETURNING *", [note, id])
    if row is None:
        raise _no_adapter(id)
    return _adapter(row)


def delete_adapter(store: Store, id: int) -> None:
    """Take an adapter out of the store, not its folder; what it wrote stays. Raises NotFound."""
    if not store.run("DELETE FROM adapters WHERE id = ?", [id]):
        raise _no_adapter(id)
