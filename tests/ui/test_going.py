"""A growing answer is drawn as often as a page can follow, its end always is, and it is ended alone."""

import time
from collections.abc import Iterator

import pytest

from app.ui.going import PACE, Going, paced
from app.ui.uploads import DIRECT


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


def test_a_conversation_ends_its_own_answer_alone() -> None:
    going = Going()
    with going.begin() as comparison, going.begin(DIRECT) as answer, going.begin("a window") as another:
        going.drop(DIRECT)
        assert [list(writing.drawn("text")) for writing in (comparison, answer, another)] == [["text"], [], ["text"]]
        assert [writing.stop.is_set() for writing in (comparison, answer, another)] == [False, True, False]
        going.stop()
        assert comparison.stop.is_set()
        assert another.stop.is_set()
