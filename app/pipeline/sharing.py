"""Which records may leave. The one place that decides it.

The slider proposes among records that no hand has touched and in which nothing personal was found; what a person set by
hand stays as it is. Records that training holds out come last: nothing made from them is learned.
"""

import dataclasses
import random
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, get_args

from app.errors import BadInput, NeedsConsent
from app.pipeline.dataset import held_out_ids
from app.pipeline.encoding import encode
from app.pipeline.looking import change_looked_at, look
from app.pipeline.sensitivity import Pieces, exposure, pieces
from app.pipeline.workspace import Workspace
from personal_store import records
from personal_store.nouns import Boxes, Record, SharedAs
from personal_store.store import Store

Strategy = Literal["random", "newest", "representative", "careful"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
MOST_COMPARED = 4000
"""Records that are compared with one another for "representative"; of more, as many are drawn at random."""
NAMED = 5
"""Records that a refusal names one by one."""

Texts = Callable[[Sequence[int]], Sequence[str]]
"""The texts of records, by id."""


@dataclasses.dataclass(frozen=True)
class Shared:
    """What is shared now."""

    shared: tuple[int, ...]
    """Ids, in their order."""
    total: int


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found in a record that is about to be shared."""

    record_id: int
    input: Pieces
    output: Pieces

    @property
    def things(self) -> tuple[tuple[str, str], ...]:
        """Kind and the text itself."""
        return tuple((kind, text) for text, kind in (*self.input, *self.output) if kind)


def _at_random(free: Sequence[int], seed: int) -> list[int]:
    ids = sorted(free)
    random.Random(seed).shuffle(ids)
    return ids


def _careful(free: Sequence[int], seed: int, texts: Texts) -> list[int]:
    """The least telling first."""
    shuffled = _at_random(free, seed)
    telling = dict(zip(shuffled, map(exposure, texts(shuffled)), strict=True))
    return sorted(shuffled, key=telling.__getitem__)


def _representative(
    free: Sequence[int], wanted: int, seed: int, texts: Texts, encode: Callable[[Sequence[str]], Any]
) -> list[int]:
    """Greedy facility location: each choice is the record that brings the whole history nearest to what is chosen.

    Qin et al. (2024, "Enabling On-Device Large Language Model Personalization with Self-Supervised Data Selection and
    Synthesis") choose from a stream by the entropy of an embedding, its domain and its distance to what is kept; here
    the whole history is at hand, and covering it is what their third measure is for. `docs/experiments.md` has both.
    """
    import numpy as np

    every = _at_random(free, seed)
    ids, rest = every[:MOST_COMPARED], every[MOST_COMPARED:]
    if wanted <= 0 or not ids:
        return []
    vectors = np.asarray(encode(texts(ids)))
    alike = vectors @ vectors.T
    nearest = np.zeros(len(ids))
    chosen: list[int] = []
    for _ in range(min(wanted, len(ids))):
        gains = np.maximum(alike - nearest, 0.0).sum(axis=1)
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        nearest = np.maximum(nearest, alike[best])
    return [*(ids[place] for place in chosen), *rest]


def propose(
    boxes: Boxes,
    ratio: float,
    strategy: Strategy,
    seed: int,
    texts: Texts,
    held_out: Collection[int] = (),
    encode: Callable[[Sequence[str]], Any] = encode,
) -> tuple[int, ...]:
    """Ids that would be shared at this ratio: those shared by hand, and as many free ones as reach the ratio.

    Fewer where hands and findings leave too few; raises BadInput where the ratio is not between 0 and 1.
    """
    if not 0 <= ratio <= 1:
        raise BadInput(f"The share ratio lies between 0 and 1, got {ratio}; choose for example 0.5.")
    if strategy not in STRATEGIES:
        raise BadInput(f"There is no strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}.")
    by_hand = boxes.by_hand & boxes.shared
    left = boxes.by_hand | boxes.marked
    free = [id for id in boxes.ids if id not in left]
    wanted = max(0, round(ratio * len(boxes.ids)) - len(by_hand))
    learned = [id for id in free if id not in held_out]
    last = [id for id in free if id in held_out]
    first = {
        "random": lambda: _at_random(learned, seed),
        "newest": lambda: learned[::-1],
        "careful": lambda: _careful(learned, seed, texts),
        "representative": lambda: _representative(learned, wanted, seed, texts, encode),
    }[strategy]()
    return tuple(sorted([*by_hand, *[*first, *_at_random(last, seed)][:wanted]]))


def _now(store: Store) -> Shared:
    return Shared(records.shared_ids(store), records.count_records(store).total)


def shared_now(workspace: Workspace) -> Shared:
    """What is shared at this moment."""
    with workspace.store() as store:
        return _now(store)


def _texts_of(store: Store) -> Texts:
    return lambda ids: [f"{record.input}\n{record.output}" for record in records.get_records(store, ids)]


def share_ratio(workspace: Workspace, ratio: float, strategy: Strategy = "random", seed: int = 0) -> Shared:
    """Move the slider: share what `propose` says, and stop sharing the rest, hands' choices left alone."""
    with workspace.store() as store:
        look(store)
        boxes = records.boxes(store)
        chosen = set(propose(boxes, ratio, strategy, seed, _texts_of(store), held_out_ids(store)))
        # What happens meanwhile counts: the store looks once more who set a box and what was found in its record.
        with store.change():
            records.set_shared(store, boxes.shared - chosen, False, "slider")
            records.set_shared(store, chosen - boxes.by_hand, True, "slider")
            return _now(store)


def found_in(workspace: Workspace, ids: Sequence[int]) -> tuple[Found, ...]:
    """What is personal or secret in those of the records that have something of it; raises NotFound."""
    with workspace.store() as store:
        look(store)
        return _found(records.get_records(store, ids))


def _found(chosen: Sequence[Record]) -> tuple[Found, ...]:
    return tuple(Found(item.id, *pieces(item.input, item.output)) for item in chosen if item.findings)


def _refuse(found: Sequence[Found]) -> NeedsConsent:
    named = "; ".join(
        f"record {item.record_id}: {', '.join(f'{kind} {text!r}' for kind, text in item.things)}"
        for item in found[:NAMED]
    )
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return NeedsConsent(
        f"These look personal ({named}{more}); tick them on the Share page, which asks how, or give --redacted for"
        " placeholders or --confirm for all as it is."
    )


def _check_consent(consent: str | None) -> None:
    if consent not in (None, *get_args(SharedAs)):
        raise BadInput(f"Consent is one of {', '.join(get_args(SharedAs))}, got {consent!r}; choose one of these.")


def _named_all(found: Sequence[Found], shown: Sequence[Found]) -> bool:
    """Whether everything that is found was shown to the person."""
    named = {(item.record_id, *thing) for item in shown for thing in item.things}
    return all((item.record_id, *thing) in named for item in found for thing in item.things)


def share_ids(
    workspace: Workspace,
    ids: Sequence[int],
    shared: bool = True,
    consent: SharedAs | None = None,
    shown: Sequence[Found] | None = None,
) -> Shared:
    """Set these records' boxes by hand; raises NotFound before anything is changed.

    Records with findings are shared only with the person's consent, "confirmed" or "redacted"; without it NeedsConsent
    says what was found, and nothing is changed. `shown` is what the person had before them when they confirmed: where
    by now something else is found, the confirmation does not hold. None: the surface did not keep it.
    """
    _check_consent(consent)
    with workspace.store() as store, change_looked_at(store):
        look(store)
        chosen = records.get_records(store, list(ids))
        sensitive = {record.id for record in chosen if record.findings}
        agreed = {record.id for record in chosen if record.shared and record.shared_as is not None}
        if shared and consent is None and sensitive - agreed:
            raise _refuse(_found([record for record in chosen if record.id in sensitive - agreed]))
        if shared and consent == "confirmed" and shown is not None and not _named_all(found := _found(chosen), shown):
            raise _refuse(found)
        records.set_shared(store, [id for id in ids if id not in sensitive], shared, "hand")
        if not shared or consent is not None:
            records.set_shared(store, sensitive, shared, "hand", consent if shared else None)
        return _now(store)


def share_none(workspace: Workspace) -> Shared:
    """Stop sharing everything; boxes that a hand had ticked count as unticked by hand."""
    with workspace.store() as store, store.change():
        boxes = records.boxes(store)
        records.set_shared(store, boxes.shared & boxes.by_hand, False, "hand")
        records.set_shared(store, boxes.shared - boxes.by_hand, False, "slider")
        return _now(store)
