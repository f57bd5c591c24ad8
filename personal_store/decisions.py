"""What the person said of pairs: a log that only grows, in which the last step can be undone.

The latest entry of a pair that is not undone is in force; undoing it puts the one before in force again. The entries of
one step, which may concern many pairs, bear the same moment, and no other entry does.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from personal_store.nouns import Decision, DecisionKind
from personal_store.pairs import check_pairs
from personal_store.store import Store, now

COLUMNS = "id, pair_id, kind, input, output, made_at"


def _decision(row: tuple[Any, ...]) -> Decision:
    return Decision(*row)


def _moment(store: Store) -> str:
    """Now, or just after the last entry where the clock has not gone on since."""
    last = store.row("SELECT max(made_at) AS made_at FROM decisions")
    present = now()
    if not last or not last["made_at"] or last["made_at"] < present:
        return present
    later = datetime.datetime.fromisoformat(last["made_at"]) + datetime.timedelta(milliseconds=1)
    return later.isoformat(timespec="milliseconds")


def _add(
    store: Store, pair_ids: Iterable[int], kind: DecisionKind, texts: Sequence[str | None]
) -> tuple[Decision, ...]:
    """One step: the same entry for each of the pairs."""
    made_at = _moment(store)
    store.run_many(
        "INSERT INTO decisions (pair_id, kind, input, output, made_at) VALUES (?, ?, ?, ?, ?)",
        [(pair_id, kind, *texts, made_at) for pair_id in pair_ids],
    )
    return tuple(
        map(_decision, store.tuples(f"SELECT {COLUMNS} FROM decisions WHERE made_at = ? ORDER BY id", [made_at]))
    )


def decide_all(store: Store, pair_ids: Sequence[int], kind: DecisionKind) -> tuple[Decision, ...]:
    """Accept or reject pairs in one step; raises NotFound before anything is changed, and ValueError for an edit."""
    if kind == "edited":
        raise ValueError("an edit is of one pair; use decide")
    with store.change():
        check_pairs(store, pair_ids)
        return _add(store, pair_ids, kind, (None, None))


def decide(
    store: Store, pair_id: int, kind: DecisionKind, input: str | None = None, output: str | None = None
) -> Decision:
    """Accept, edit or reject a pair; `input` and `output` are the person's own texts of an edited one.

    Raises NotFound, and ValueError for texts that the kind does not have or an edit without any.
    """
    if (kind == "edited") != (input is not None or output is not None):
        raise ValueError(f"a decision has texts of its own exactly when it is an edit, not when {kind}")
    with store.change():
        check_pairs(store, [pair_id])
        return _add(store, [pair_id], kind, (input, output))[0]


def decisions(store: Store) -> Mapping[int, Decision]:
    """The decision in force of each pair that has one, by pair id."""
    rows = store.tuples(
        f"SELECT {COLUMNS} FROM decisions WHERE id IN (SELECT max(id) FROM decisions WHERE undone = 0 GROUP BY pair_id)"
    )
    return {decision.pair_id: decision for decision in map(_decision, rows)}


def undo(store: Store) -> tuple[Decision, ...]:
    """Take the last step back; the decisions that were undone, none when there is no step left."""
    rows = store.tuples(
        "UPDATE decisions SET undone = 1 WHERE undone = 0 AND made_at ="
        f" (SELECT made_at FROM decisions WHERE undone = 0 ORDER BY id DESC LIMIT 1) RETURNING {COLUMNS}"
    )
    return tuple(sorted(map(_decision, rows), key=lambda decision: decision.id))
