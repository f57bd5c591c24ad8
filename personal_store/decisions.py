"""What the person said of pairs: a log that only grows, in which the last entry can be undone.

The latest entry of a pair that is not undone is in force; undoing it puts the one before in force again.
"""

from collections.abc import Mapping

from personal_store.nouns import Decision, DecisionKind
from personal_store.pairs import get_pair
from personal_store.store import Row, Store, now


def _decision(row: Row) -> Decision:
    return Decision(**{name: value for name, value in row.items() if name != "undone"})


def decide(
    store: Store, pair_id: int, kind: DecisionKind, input: str | None = None, output: str | None = None
) -> Decision:
    """Accept, edit or reject a pair; `input` and `output` are the person's own texts of an edited one.

    Raises NotFound, and ValueError for texts that the kind does not have or an edit without any.
    """
    if (kind == "edited") != (input is not None or output is not None):
        raise ValueError(f"a decision has texts of its own exactly when it is an edit, not when {kind}")
    with store.change():
        get_pair(store, pair_id)
        values = {"pair_id": pair_id, "kind": kind, "input": input, "output": output, "made_at": now()}
        return _decision(store.insert("decisions", values))


def decisions(store: Store) -> Mapping[int, Decision]:
    """The decision in force of each pair that has one, by pair id."""
    rows = store.rows(
        "SELECT * FROM decisions WHERE id IN (SELECT max(id) FROM decisions WHERE undone = 0 GROUP BY pair_id)"
    )
    return {row["pair_id"]: _decision(row) for row in rows}


def undo(store: Store) -> Decision | None:
    """Take the last decision back; the decision that was undone, or None when there is none left."""
    row = store.row(
        "UPDATE decisions SET undone = 1 WHERE id = (SELECT max(id) FROM decisions WHERE undone = 0) RETURNING *"
    )
    return _decision(row) if row else None
