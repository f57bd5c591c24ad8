"""What is being fetched, each in a thread of its own; the page asks for the whole state every second."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

from app.errors import SHOWN
from app.pipeline import pulling
from app.ui import strings

Pull = Callable[[pulling.Listener], object]
"""Fetches something and tells the listener how far it is; raises an AppError."""


@dataclasses.dataclass(frozen=True)
class Download:
    """How far one fetch is."""

    done: int
    total: int
    note: str
    error: str | None = None
    finished: bool = False

    @property
    def running(self) -> bool:
        """Neither finished nor failed."""
        return not self.finished and self.error is None


class Downloads:
    """Starts fetches and remembers how far they are."""

    def __init__(self) -> None:
        self._states: dict[str, Download] = {}
        self._lock = threading.Lock()

    def _fetch(self, name: str, pull: Pull) -> None:
        def listen(progress: pulling.PullProgress) -> None:
            self._states[name] = Download(progress.done, progress.total, progress.note)

        def end(**how: Any) -> None:
            self._states[name] = dataclasses.replace(self._states[name], **how)

        try:
            pull(listen)
        except SHOWN as error:
            end(error=str(error))
        except Exception:
            end(error=strings.FETCH_BROKE_OFF)
            raise
        else:
            end(finished=True)

    def start(self, name: str, pull: Pull) -> None:
        """Run a fetch under that name, unless one is running under it already."""
        with self._lock:
            present = self._states.get(name)
            if present is not None and present.running:
                return
            self._states[name] = Download(0, 0, "starting")
        threading.Thread(target=self._fetch, args=(name, pull), daemon=True, name=f"fetch {name}").start()

    def state(self, name: str) -> Download | None:
        """How far the fetch of that name is; None when nobody asked for it."""
        return self._states.get(name)
