"""Models that are being fetched, each in a thread of its own; the page asks for the whole state every second."""

import dataclasses
import threading

from app.errors import SHOWN
from app.pipeline import pulling
from app.pipeline.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class Download:
    """How far one model is."""

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

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._states: dict[str, Download] = {}
        self._lock = threading.Lock()

    def _fetch(self, name: str) -> None:
        def listen(progress: pulling.PullProgress) -> None:
            self._states[name] = Download(progress.done, progress.total, progress.note)

        try:
            pulling.pull(self._workspace, name, listen)
            self._states[name] = dataclasses.replace(self._states[name], finished=True)
        except SHOWN as error:
            self._states[name] = dataclasses.replace(self._states[name], error=str(error))

    def start(self, name: str) -> None:
        """Fetch the model of that name, unless it is being fetched already."""
        with self._lock:
            present = self._states.get(name)
            if present is not None and present.running:
                return
            self._states[name] = Download(0, 0, "starting")
        threading.Thread(target=self._fetch, args=(name,), daemon=True, name=f"fetch {name}").start()

    def state(self, name: str) -> Download | None:
        """How far that model is; None when nobody asked for it."""
        return self._states.get(name)
