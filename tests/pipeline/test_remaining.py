"""How far an augmentation is and how long it still takes, from what it has reported."""

from typing import Any

import pytest

from app.pipeline.remaining import advance_of, seconds_a_record
from personal_store.nouns import Job, JobEvent

K = 5


class Log:
    """Events of one job, told at moments that the test chooses."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []

    def tell(self, at: float, kind: str, **data: Any) -> None:
        self.events.append(JobEvent(len(self.events) + 1, 1, kind, data, at))

    def start(self, at: float, records: int, done: int = 0) -> None:
        self.tell(at, "started", records=records, done=done, k=K)

    def pairs(self, at: float, record_id: int, count: int) -> None:
        for number in range(count):
            self.tell(at, "pair", record_id=record_id, pair_id=100 * record_id + number, number=number, kept=number < 2)

    def finish(self, at: float, record_id: int) -> None:
        self.tell(at, "record", record_id=record_id)


@pytest.fixture
def log() -> Log:
    return Log()


def left(log: Log, now: float, before: float | None = None) -> float | None:
    advance = advance_of(log.events, now, before)
    assert advance is not None
    return advance.seconds_left


def test_before_it_begins_nothing_is_known(log: Log) -> None:
    log.tell(0, "preparing", message="Starting")
    assert advance_of(log.events, 1.0) is None


def test_before_the_first_pair_an_earlier_one_is_gone_by(log: Log) -> None:
    log.start(0, records=4)
    assert left(log, 5.0) is None
    assert left(log, 5.0, before=10.0) == pytest.approx(35.0)
    assert left(log, 90.0, before=10.0) == 0.0


def test_a_record_half_written_counts_half(log: Log) -> None:
    log.start(0, records=4)
    log.pairs(8, record_id=1, count=K)
    log.finish(8, record_id=1)
    log.pairs(12, record_id=2, count=2)
    advance = advance_of(log.events, 12.0)
    assert advance is not None
    assert (advance.finished, advance.pairs, advance.kept) == (1, 7, 4)
    assert advance.share == pytest.approx(1.4 / 4)
    assert advance.seconds_left == pytest.approx(2.6 * 12 / 1.4)


def test_once_records_are_finished_their_own_pace_counts_and_not_the_loading_of_the_model(log: Log) -> None:
    log.start(0, records=10)
    for number in range(1, 5):
        log.finish(60 + 10 * number, record_id=number)
    assert left(log, 100.0) == pytest.approx(60.0)
    assert left(log, 104.0) == pytest.approx(56.0)


def test_what_is_overdue_is_nothing_and_not_less(log: Log) -> None:
    log.start(0, records=2)
    log.finish(10, record_id=1)
    assert left(log, 500.0) == 0.0


def test_a_resumed_one_goes_by_its_own_run(log: Log) -> None:
    log.start(0, records=4)
    log.pairs(5, record_id=1, count=K)
    log.finish(5, record_id=1)
    log.pairs(6, record_id=2, count=1)
    log.start(1000, records=4, done=1)
    advance = advance_of(log.events, 1000.0)
    assert advance is not None
    assert (advance.finished, advance.pairs, advance.seconds_left) == (1, 6, None)
    assert advance.share == pytest.approx(1 / 4)
    log.finish(1020, record_id=2)
    assert left(log, 1020.0) == pytest.approx(40.0)


def test_failures_count_as_done(log: Log) -> None:
    log.start(0, records=1)
    for number in range(3):
        log.tell(6, "failure", record_id=1, number=number, reason="empty")
    assert left(log, 6.0) == pytest.approx(4.0)


def job(id: int, state: Any, destination: str, result: Any) -> Job:
    return Job(id, "augment", state, {"destination": destination}, result, None, None, None, "2026-01-01T00:00:00")


def test_the_newest_finished_one_at_the_same_service_says_what_a_record_takes() -> None:
    jobs = [
        job(3, "failed", "here", None),
        job(2, "done", "elsewhere", {"records": 2, "seconds": 2.0}),
        job(1, "done", "here", {"records": 4, "seconds": 30.0}),
    ]
    assert seconds_a_record(jobs, "here") == 7.5
    assert seconds_a_record(jobs, "nowhere") is None
