"""A growing answer is drawn as often as a page can follow, and its end always is."""

import time
from collections.abc import Iterator

import pytest

from app.ui.going import PACE, paced


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def every(self, seconds: float, count: int) -> Iterator[int]:
        """Numbers from 0, each after so long."""
        for number in range(count):
            self.now += seconds
            yield number


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_first_and_last_are_drawn_and_few_between(clock: Clock) -> None:
    drawn = list(paced(clock.every(PACE / 8, 81)))
    assert drawn[0] == 0
    assert drawn[-1] == 80
    assert len(drawn) == 11


def test_slow_writer_is_drawn_token_by_token(clock: Clock) -> None:
    assert list(paced(clock.every(2 * PACE, 5))) == [0, 1, 2, 3, 4]


def test_end_that_came_at_once_is_drawn(clock: Clock) -> None:
    assert list(paced(clock.every(0.0, 3))) == [0, 2]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_drawn_twice(clock: Clock, count: int) -> None:
    assert list(paced(clock.every(1.0, count))) == list(range(count))
