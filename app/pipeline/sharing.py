"""Which records may leave. The one place that decides it.

The slider proposes among records that no hand has touched; what a person set by hand stays as it is.
"""

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from app.errors import BadInput
from app.pipeline.encoding import encode
from app.pipeline.sensitivity import exposure, findings
from app.pipeline.workspace import Workspace
from personal_store import records
from personal_store.nouns import Record
from personal_store.store import Store

Strategy = Literal["random", "newest", "representative", "careful"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
MOST_COMPARED = 4000
"""Records that are compared with one another for "representative"; of more, as many are drawn at random."""


@dataclasses.dataclass(frozen=True)
class Shared:
    """What is shared now."""

    shared: tuple[int, ...]
    """Ids, oldest record first."""
    total: int


def _at_random(free: Sequence[Record], seed: int) -> list[int]:
    ids = sorted(record.id for record in free)
    random.Random(seed).shuffle(ids)
    return ids


def _newest(free: Sequence[Record]) -> list[int]:
    ordered = sorted(free, key=lambda record: (record.created_at or record.imported_at, record.id), reverse=True)
    return [record.id for record in ordered]


def _careful(free: Sequence[Record], seed: int) -> list[int]:
    """Without those in which something personal or secret is found; the least telling first."""
    shuffled = {id: place for place, id in enumerate(_at_random(free, seed))}
    texts = {record.id: f"{record.input}\n{record.output}" for record in free}
    harmless = [id for id in shuffled if not findings(texts[id])]
    return sorted(harmless, key=lambda id: (exposure(texts[id]), shuffled[id]))


def _representative(
    free: Sequence[Record], wanted: int, seed: int, encode: Callable[[Sequence[str]], Any]
) -> list[int]:
    """Greedy facility location: each choice is the record that brings the whole history nearest to what is chosen."""
    import numpy as np

    ids = _at_random(free, seed)[:MOST_COMPARED]
    if wanted <= 0 or not ids:
        return []
    texts = {record.id: record.input for record in free}
    vectors = np.asarray(encode([texts[id] for id in ids]))
    alike = vectors @ vectors.T
    nearest = np.zeros(len(ids))
    chosen: list[int] = []
    for _ in range(min(wanted, len(ids))):
        gains = np.maximum(alike - nearest, 0.0).sum(axis=1)
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        nearest = np.maximum(nearest, alike[best])
    return [ids[place] for place in chosen]


def propose(
    all_of_them: Sequence[Record],
    ratio: float,
    strategy: Strategy = "random",
    seed: int = 0,
    encode: Callable[[Sequence[str]], Any] = encode,
) -> tuple[int, ...]:
    """Ids that would be shared at this ratio: those shared by hand, and as many free ones as reach the ratio.

    Fewer where hands or the strategy leave too few; raises BadInput where the ratio is not between 0 and 1.
    """
    if not 0 <= ratio <= 1:
        raise BadInput(f"The share ratio lies between 0 and 1, got {ratio}; choose for example 0.5.")
    if strategy not in STRATEGIES:
        raise BadInput(f"There is no strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}.")
    by_hand = [record.id for record in all_of_them if record.shared and record.shared_by == "hand"]
    free = [record for record in all_of_them if record.shared_by != "hand"]
    wanted = max(0, round(ratio * len(all_of_them)) - len(by_hand))
    ordered = {
        "random": lambda: _at_random(free, seed),
        "newest": lambda: _newest(free),
        "careful": lambda: _careful(free, seed),
        "representative": lambda: _representative(free, wanted, seed, encode),
    }[strategy]()
    return tuple(sorted([*by_hand, *ordered[:wanted]]))


def _now(store: Store) -> Shared:
    return Shared(tuple(record.id for record in records.shared_records(store)), records.count_records(store).total)


def shared_now(workspace: Workspace) -> Shared:
    """What is shared at this moment."""
    with workspace.store() as store:
        return _now(store)


def share_ratio(workspace: Workspace, ratio: float, strategy: Strategy = "random", seed: int = 0) -> Shared:
    """Move the slider: share what `propose` says, and stop sharing the rest, hands' choices left alone."""
    with workspace.store() as store:
        everything = records.all_records(store)
    chosen = set(propose(everything, ratio, strategy, seed))
    free = [record for record in everything if record.shared_by != "hand"]
    with workspace.store() as store, store.change():
        records.set_shared(store, [record.id for record in free if record.id not in chosen], False, "slider")
        records.set_shared(store, [record.id for record in free if record.id in chosen], True, "slider")
        return _now(store)


def share_ids(workspace: Workspace, ids: Sequence[int], shared: bool = True) -> Shared:
    """Set these records' boxes by hand; raises NotFound before anything is changed."""
    with workspace.store() as store, store.change():
        records.get_records(store, list(ids))
        records.set_shared(store, ids, shared, "hand")
        return _now(store)


def share_none(workspace: Workspace) -> Shared:
    """Stop sharing everything; boxes that a hand had ticked count as unticked by hand."""
    with workspace.store() as store, store.change():
        shared = records.shared_records(store)
        for by in ("hand", "slider"):
            records.set_shared(store, [record.id for record in shared if record.shared_by == by], False, by)
        return _now(store)
