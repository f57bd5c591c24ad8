"""How far an import is, over all its steps, so that a bar neither stands still nor is full too early.

Knows rows and steps; knows no file, no store and no screen.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

T = TypeVar("T")
Step = Literal["reading", "checking", "looking", "comparing", "storing"]
PARTS: dict[Step, float] = {"reading": 0.1, "checking": 0.04, "looking": 0.34, "comparing": 0.02, "storing": 0.5}
"""The steps in their order, and about which part of the time each takes at 100,000 short records."""
WORDS: dict[Step, str] = {
    "reading": "Reading",
    "checking": "Checking rows",
    "looking": "Looking for what is personal",
    "comparing": "Comparing with what is there",
    "storing": "Storing",
}
TOLD_EVERY = 1_000
"""Rows between two words to whoever listens."""

Told = Callable[[int, int], object]
"""Is told how many of how many rows one step has done."""


@dataclasses.dataclass(frozen=True)
class Advance:
    """How far an import is."""

    step: Step
    done: int
    """Rows that this step has done."""
    rows: int
    """Rows that it has to do; of a table that is being read, its lines."""
    share: float
    """Of the whole import, 0 to 1; it never falls, and is 1 once: when everything is stored."""

    @property
    def words(self) -> str:
        """What is being done, and how far that is."""
        return f"{WORDS[self.step]}: {self.done:,} of {self.rows:,}"


Listener = Callable[[Advance], object]


def quiet(*_: object) -> None:
    """Listens to nothing."""


def told(items: Iterable[T], rows: int, tell: Told) -> Iterator[T]:
    """The items as they are, `tell` being told now and then how many of so many rows are done."""
    for number, item in enumerate(items):
        if number % TOLD_EVERY == 0:
            tell(number, rows)
        yield item


def teller(step: Step, listen: Listener) -> Told:
    """What a step tells its rows to, so that the listener hears how far the whole import is."""
    steps = list(PARTS)
    before = sum(PARTS[earlier] for earlier in steps[: steps.index(step)])

    def tell(done: int, rows: int) -> None:
        listen(Advance(step, done, rows, before + PARTS[step] * done / max(rows, done, 1)))

    return tell


def finished(rows: int, listen: Listener) -> None:
    """Say that everything is stored."""
    listen(Advance("storing", rows, rows, 1.0))
