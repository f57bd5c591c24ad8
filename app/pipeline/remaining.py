"""How far an augmentation is and how long it still takes, told from what it has reported.

Knows events and a clock's reading; knows no store, no service and no screen.
"""

import collections
import dataclasses
from collections.abc import Sequence

from personal_store.nouns import Job, JobEvent

RATED = 2
"""Records that must be finished before their pace alone is gone by: loading the model is in the first one's time."""


@dataclasses.dataclass(frozen=True)
class Advance:
    """Where an augmentation stands."""

    records: int
    """Records that were sent."""
    finished: int
    """Records whose pairs are all there, those of earlier runs included."""
    share: float
    """Of the work, 0 to 1; a record that is half written counts half."""
    pairs: int
    """Pairs that arrived, those of earlier runs included."""
    kept: int
    """Those of them that the filters kept when they arrived."""
    seconds_left: float | None
    """None: nothing is known to go by."""


def seconds_a_record(jobs: Sequence[Job], destination: str) -> float | None:
    """What a record took in the newest finished augmentation at that service; None where there is none."""
    for job in jobs:
        result = job.result or {}
        if job.state == "done" and result.get("records") and job.settings.get("destination") == destination:
            return float(result["seconds"]) / float(result["records"])
    return None


def _begun(events: Sequence[JobEvent]) -> JobEvent | None:
    """The beginning of the newest run."""
    return next((event for event in reversed(events) if event.kind == "started"), None)


def _half_written(events: Sequence[JobEvent], k: int) -> float:
    """The parts of records that are being written, added up."""
    done = {event.data.get("record_id") for event in events if event.kind == "record"}
    samples = collections.Counter(
        event.data["record_id"]
        for event in events
        if event.kind in ("pair", "failure") and event.data["record_id"] not in done
    )
    return sum(min(1.0, count / k) for count in samples.values())


def _pace(run: Sequence[JobEvent], begun: JobEvent, done: float) -> float | None:
    """Seconds for each record in this run; None before anything is made."""
    finished = [event.at for event in run if event.kind == "record"]
    if len(finished) > RATED:
        return (finished[-1] - finished[0]) / (len(finished) - 1)
    made = [event.at for event in run if event.kind in ("pair", "failure", "record")]
    return (made[-1] - begun.at) / done if made and done else None


def _left(undone: float, pace: float | None, passed: float) -> float | None:
    """Seconds for what was undone at the last report, less those that passed since."""
    return None if pace is None else max(0.0, undone * pace - passed)


def advance_of(events: Sequence[JobEvent], now: float, before: float | None = None) -> Advance | None:
    """Where the augmentation with those events stands at `now` (seconds since the epoch); None before it begins.

    `before` are the seconds that a record took in an earlier one, gone by until this one has a pace of its own.
    """
    begun = _begun(events)
    if begun is None:
        return None
    run = [event for event in events if event.id >= begun.id]
    records, already = int(begun.data["records"]), int(begun.data.get("done", 0))
    finished = len({event.data.get("record_id") for event in run if event.kind == "record"})
    done = finished + _half_written(run, int(begun.data.get("k") or 1))
    undone, pace = max(0.0, records - already - done), _pace(run, begun, done)
    arrived = {event.data["pair_id"]: bool(event.data["kept"]) for event in events if event.kind == "pair"}
    return Advance(
        records=records,
        finished=already + finished,
        share=min(1.0, (already + done) / records) if records else 1.0,
        pairs=len(arrived),
        kept=sum(arrived.values()),
        seconds_left=_left(undone, before if pace is None else pace, now - run[-1].at),
    )
