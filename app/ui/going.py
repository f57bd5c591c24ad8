"""The answers that are being written now; Gradio's own `cancels=` would leave them running unseen."""

import contextlib
import threading
from collections.abc import Iterator


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
