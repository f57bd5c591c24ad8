"""Answers that were written, and comparisons of two. Every function takes an open Store first."""

import dataclasses
import json

from personal_store.errors import NotFound
from personal_store.nouns import Choice, Comparison, Generation, NewGeneration, Votes
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


def _comparison(row: Row) -> Comparison:
    return Comparison(**{**row, "blind": bool(row["blind"]), "after_first": bool(row["after_first"])})


def _no_comparison(id: int) -> NotFound:
    return NotFound(f"There is no comparison {id}; `cdcda compare` makes a new one.")


def add_comparison(
    store: Store, before_id: int, after_id: int, blind: bool = False, after_first: bool = False
) -> Comparison:
    """Keep two answers side by side, the one without the adapter named first; raises NotFound."""
    with store.change():
        get_generation(store, before_id)
        get_generation(store, after_id)
        sides = {"before_id": before_id, "after_id": after_id, "blind": blind, "after_first": after_first}
        return _comparison(store.insert("comparisons", {**sides, "created_at": now()}))


def get_comparison(store: Store, id: int) -> Comparison:
    """The comparison with that id; raises NotFound."""
    row = store.row("SELECT * FROM comparisons WHERE id = ?", [id])
    if row is None:
        raise _no_comparison(id)
    return _comparison(row)


def vote(store: Store, comparison_id: int, vote: Choice | None) -> Comparison:
    """Say which answer is better, None taking the vote back; raises NotFound."""
    row = store.row("UPDATE comparisons SET vote = ? WHERE id = ? RETURNING *", [vote, comparison_id])
    if row is None:
        raise _no_comparison(comparison_id)
    return _comparison(row)


def comparisons(store: Store, limit: int = 50) -> tuple[Comparison, ...]:
    """The latest comparisons, the newest first."""
    rows = store.rows("SELECT * FROM comparisons ORDER BY id DESC LIMIT ?", [limit])
    return tuple(map(_comparison, rows))


def count_votes(store: Store) -> tuple[Votes, ...]:
    """Votes by adapter, those of blind comparisons apart; an adapter that is gone is still counted."""
    rows = store.rows(
        "SELECT adapter_id, blind, sum(vote = 'before') AS before, sum(vote = 'same') AS same,"
        " sum(vote = 'after') AS after FROM comparisons JOIN generations ON generations.id = after_id"
        " WHERE vote IS NOT NULL AND adapter_id IS NOT NULL GROUP BY adapter_id, blind ORDER BY adapter_id, blind"
    )
    return tuple(Votes(**{**row, "blind": bool(row["blind"])}) for row in rows)
