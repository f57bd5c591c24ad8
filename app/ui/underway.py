"""The import that runs now, for every window of the page: how far it is, and a way to stop it.

An import is one transaction on a thread of this program. A reload does not end it, and where it is stopped nothing of
it is kept. Knows no file and no store.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

from app.errors import JobRefused
from app.pipeline.advancing import Advance

SURE = 3.0
"""Seconds after which what an import took tells how long it still takes."""


class Stopped(Exception):
    """Somebody pressed Stop; raised where the import tells how far it is, which rolls it back."""


@dataclasses.dataclass(frozen=True)
class Standing:
    """How far something is that takes its time."""

    share: float | None
    """0 to 1, where that is known."""
    words: str
    """What it does now."""
    seconds_left: float | None = None
    """None while nothing can be said of it."""


def _standing(advance: Advance, taken: float) -> Standing:
    left = taken * (1 - advance.share) / advance.share if advance.share else 0.0
    return Standing(advance.share, advance.words, left if taken >= SURE and left >= 1 else None)


class Imports:
    """The one import that may run at a time, and how many have ended."""

    def __init__(self) -> None:
        self._one = threading.Lock()
        self._stop = threading.Event()
        self.now: Standing | None = None
        """Of the import that runs; None without one."""
        self.ended = 0
        """Imports that came to an end since the program started, whatever it was."""

    @contextlib.contextmanager
    def begin(self) -> Iterator[Callable[[Advance], Standing]]:
        """What is to be told how far the import is; it raises Stopped. Raises JobRefused while another one runs."""
        if not self._one.acquire(blocking=False):
            raise JobRefused("Another import is running; wait until it has ended, or stop it under History.")
        started, self.now = time.monotonic(), Standing(None, "")
        self._stop.clear()

        def tell(advance: Advance) -> Standing:
            if self._stop.is_set():
                raise Stopped
            self.now = _standing(advance, time.monotonic() - started)
            return self.now

        try:
            yield tell
        finally:
            self.now = None
            self.ended += 1
            self._one.release()

    def stop(self) -> None:
        """End the import that runs, if there is one; nothing of it is kept."""
        self._stop.set()
