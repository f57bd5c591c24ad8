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
ARRIVED = 2.0
"""Seconds after which a picture has reached the page, or its window is closed."""


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


class Writing:
    """Something that is being written, until somebody stops it or nobody wants it any more."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        """Set once somebody pressed Stop."""
        self._unwanted = False
        self._drawing = threading.Lock()

    def drawn(self, picture: T) -> Iterator[T]:
        """The picture, unless nobody wants it any more; to be yielded from by whoever draws."""
        with self._drawing:
            if not self._unwanted:
                yield picture

    def drop(self) -> None:
        """End it, and let nothing of it be drawn from now on."""
        self.stop.set()
        self._unwanted = True
        # A picture that is on its way arrives before this returns, so that it covers nothing that is drawn afterwards.
        if self._drawing.acquire(timeout=ARRIVED):
            self._drawing.release()


class Going:
    """What is being written, in every window of the page."""

    def __init__(self) -> None:
        self._all: dict[Writing, str | None] = {}

    @contextlib.contextmanager
    def begin(self, name: str | None = None) -> Iterator[Writing]:
        """Something that is being written under that name; without one nothing but Stop ends it."""
        writing = Writing()
        self._all[writing] = name
        try:
            yield writing
        finally:
            del self._all[writing]

    def stop(self) -> None:
        """End what is being written; what is there stays."""
        for writing in tuple(self._all):
            writing.stop.set()

    def drop(self, name: str) -> None:
        """End what is being written under that name, and let nothing more of it be drawn."""
        for writing, other in tuple(self._all.items()):
            if other == name:
                writing.drop()
