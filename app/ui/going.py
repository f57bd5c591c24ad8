"""The answers that are being written now; Gradio's own `cancels=` would leave them running unseen."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")

PACE = 0.08
"""Seconds between two pictures of a growing answer: as quick as an eye follows, and slow enough for any browser.

Gradio's page works off what it is sent one by one. Sent every token, it falls seconds behind on a busy computer, and
then draws the old answer over the vote that was cast meanwhile.
"""


def paced(states: Iterator[T], seconds: float = PACE) -> Iterator[T]:
    """The first state, the last, and between them at most one in `seconds`: the newest there is."""
    held: list[T] = []
    drawn = float("-inf")
    for state in states:
        if time.monotonic() - drawn < seconds:
            held = [state]
            continue
        held = []
        yield state
        drawn = time.monotonic()
    yield from held


class Going:
    """What is being written, in every window of the page."""

    def __init__(self) -> None:
        self._stops: set[threading.Event] = set()

    @contextlib.contextmanager
    def begin(self) -> Iterator[threading.Event]:
        """An event that is set once somebody presses Stop."""
        stop = threading.Event()
        self._stops.add(stop)
        try:
            yield stop
        finally:
            self._stops.discard(stop)

    def stop(self) -> None:
        """End what is being written; what is there stays."""
        for stop in tuple(self._stops):
            stop.set()
