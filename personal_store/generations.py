"""Answers that were written, and comparisons of two. Every function takes an open Store first."""

import dataclasses
import json
from typing import Literal

from personal_store.errors import NotFound
from personal_store.nouns import Comparison, Generation, NewGeneration
from personal_store.store import Row, Store, now


def _generation(row: Row) -> Generation:
    return Generation(**{**row, "settings": json.loads(row["settings"])})


def add_generation(store: Store, generation: NewGeneration) -> Generation:
    """Keep an answer."""
    fields = {field.name: getattr(generation, field.name) for field in dataclasses.fields(generation)}
    settings = json.dumps(dict(generation.settings))
    return _generation(store.insert("generations", {**fields, "settings": settings, "created_at": now()}))


def get_generation(store: Store, id: int) -> Generation:
    """The answer with that id; raises NotFound."""
    row = store.row("SELECT * FROM generations WHERE id = ?", [id])
    if row is None:
        raise NotFound(f"There is no answer {id}; `cdcda generate` writes a new one.")
    return _generation(row)


def add_comparison(store: Store, before_id: int, after_id: int) -> Comparison:
    """Put two answers side by side, the one without the adapter first; raises NotFound."""
    with store.change():
        get_generation(store, before_id)
        get_generation(store, after_id)
        values = {"before_id": before_id, "after_id": after_id, "created_at": now()}
        return Comparison(**store.insert("comparisons", values))


def vote(store: Store, comparison_id: int, vote: Literal["before", "after", "same"] | None) -> Comparison:
    """Say which answer is better, None taking the vote back; raises NotFound."""
    row = store.row("UPDATE comparisons SET vote = ? WHERE id = ? RETURNING *", [vote, comparison_id])
    if row is None:
        raise NotFound(f"There is no comparison {comparison_id}; `cdcda compare` makes a new one.")
    return Comparison(**row)


def comparisons(store: Store, limit: int = 50) -> tuple[Comparison, ...]:
    """The latest comparisons, the newest first."""
    rows = store.rows("SELECT * FROM comparisons ORDER BY id DESC LIMIT ?", [limit])
    return tuple(Comparison(**row) for row in rows)
