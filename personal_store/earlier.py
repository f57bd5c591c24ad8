"""Which texts records had before they were changed: as spans of time and a hash, the texts themselves stand elsewhere.

What was made of a record while it had an earlier text is found by them: pairs by the beginning of their job, which
settles what is sent, and training sets by their own. Every function takes an open Store first.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

from personal_store import preferences
from personal_store.store import Store, now

CHANGED = "spans of earlier texts"
"""The preference that holds the spans that can still be made final."""
FORGOTTEN = "spans of forgotten texts"
"""The preference that holds those of which everything was forgotten; a job may still bring more."""
WITHIN = "created_at > :after AND created_at <= :until"
"""Whether a row came into being in a span. What happens in the millisecond of a change counts as before."""


@dataclasses.dataclass(frozen=True)
class Span:
    """A time during which a record had another text."""

    record_id: int
    after: str
    """ISO 8601; empty: from the record's beginning."""
    until: str
    hash: str
    """SHA-256 (hex) of input and output then; empty once they are forgotten."""


def _hash(input: str, output: str) -> str:
    return hashlib.sha256(json.dumps([input, output]).encode()).hexdigest()


def _read(store: Store, name: str) -> list[Span]:
    return [Span(*values) for values in preferences.get(store, name, list[tuple[int, str, str, str]]())]


def _write(store: Store, name: str, spans: Sequence[Span]) -> None:
    preferences.put(store, name, [dataclasses.astuple(span) for span in spans])


def note_change(store: Store, id: int, input: str, output: str) -> None:
    """A record that had these texts has others from now on, by an edit or because one is undone."""
    spans = _read(store, CHANGED)
    since = max((span.until for span in spans if span.record_id == id), default="")
    _write(store, CHANGED, [*spans, Span(id, since, now(), _hash(input, output))])


def drop(store: Store, id: int) -> None:
    """Nothing of a record is left."""
    for name in (CHANGED, FORGOTTEN):
        spans = _read(store, name)
        if any(span.record_id == id for span in spans):
            _write(store, name, [span for span in spans if span.record_id != id])


def take(store: Store) -> tuple[Span, ...]:
    """The spans in which a record that is there had another text than now; from now on these texts are forgotten."""
    spans = _read(store, CHANGED)
    rows = store.rows(
        "SELECT id, input, output FROM records WHERE id IN (SELECT value FROM json_each(?))",
        [json.dumps([span.record_id for span in spans])],
    )
    present = {row["id"]: _hash(row["input"], row["output"]) for row in rows}
    earlier = [span for span in spans if present.get(span.record_id, span.hash) != span.hash]
    # Who guesses a short text could tell by its hash that it was there.
    taken = tuple(dataclasses.replace(span, hash="") for span in earlier)
    _write(store, FORGOTTEN, [*_read(store, FORGOTTEN), *taken])
    _write(store, CHANGED, [])
    return taken


def is_forgotten(store: Store, id: int, job_id: int) -> bool:
    """Whether a job began while the record had a text that was forgotten since."""
    began = store.value("SELECT created_at FROM jobs WHERE id = ?", [job_id]) or ""
    return any(span.record_id == id and span.after < began <= span.until for span in _read(store, FORGOTTEN))
