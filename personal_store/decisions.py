"""What the person said of pairs: a log that only grows, in which the last step can be undone.

The latest entry of a pair that is not undone is in force; undoing it puts the one before in force again. The entries of
one step, which may concern many pairs, bear the same moment, and no other entry does.
"""

import datetime
from collections.abc import Mapping, Sequence

from personal_store.nouns import Decision, DecisionKind
from personal_store.pairs import get_pair
from personal_store.store import Row, Store, now


def _decision(row: Row) -> Decision:
    return Decision(**{name: value for name, value in row.items() if name != "undone"})


def _moment(store: Store) -> str:
    """Now, or just after the last entry where the clock has not gone on since."""
    last = store.row("SELECT max(made_at) AS made_at FROM decisions")
    present = now()
    if not last or not last["made_at"] or last["made_at"] < present:
        return present
    later = datetime.datetime.fromisoformat(last["made_at"]) + datetime.timedelta(milliseconds=1)
    return later.isoformat(timespec="milliseconds")


def decide_all(store: Store, pair_ids: Sequence[int], kind: DecisionKind) -> tuple[Decision, ...]:
    """Accept or reject pairs in one step; raises NotFound before anything is changed, and ValueError for an edit."""
    if kind == "edited":
        raise ValueError("an edit is of one pair; use decide")
    with store.change():
        for pair_id in pair_ids:
            get_pair(store, pair_id)
        shared = {"kind": kind, "input": None, "output": None, "made_at": _moment(store)}
        return tuple(_decision(store.insert("decisions", {"pair_id": pair_id} | shared)) for pair_id in pair_ids)


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
        values = {"pair_id": pair_id, "kind": kind, "input": input, "output": output, "made_at": _moment(store)}
        return _decision(store.insert("decisions", values))


def decisions(store: Store) -> Mapping[int, Decision]:
    """The decision in force of each pair that has one, by pair id."""
    rows = store.rows(
        "SELECT * FROM decisions WHERE id IN (SELECT max(id) FROM decisions WHERE undone = 0 GROUP BY pair_id)"
    )
    return {row["pair_id"]: _decision(row) for row in rows}


def undo(store: Store) -> tuple[Decision, ...]:
    """Take the last step back; the decisions that were undone, none when there is no step left."""
    rows = store.rows(
        "UPDATE decisions SET undone = 1 WHERE undone = 0 AND made_at ="
        " (SELECT made_at FROM decisions WHERE undone = 0 ORDER BY id DESC LIMIT 1) RETURNING *"
    )
    return tuple(sorted(map(_decision, rows), key=lambda decision: decision.id))
