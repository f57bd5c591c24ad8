"""Files that the browser sent: copies that lie in a private folder, and go as soon as nobody at the page needs them.

A file that is looked at and chosen twice, in two windows, is one copy: it goes with the last of them.
"""

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

DIRECT = ""
"""Stands for the session of a call that comes from no page."""


def session_of(request: gr.Request | None) -> str:
    """The window that asks."""
    return (request and request.session_hash) or DIRECT


def _delete(files: Iterable[Path]) -> None:
    """Delete the copies; a file that lies elsewhere is the person's own and stays."""
    folder = Path(get_upload_folder()).resolve()
    for file in files:
        if file.is_relative_to(folder):
            with contextlib.suppress(OSError):
                os.unlink(file)


class Uploads:
    """Who holds which copies: each part of a window those that were chosen there last."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], frozenset[Path]] = {}
        self._lock = threading.Lock()

    def _hold(self, holder: tuple[str, str], files: frozenset[Path]) -> None:
        let_go = self._held.pop(holder, frozenset()) - files
        if files:
            self._held[holder] = files
        _delete(let_go.difference(*self._held.values()))

    def hold(self, session: str, part: str, files: Iterable[str | Path]) -> None:
        """That part of the page needs just these from now on; what it held before is deleted."""
        with self._lock:
            self._hold((session, part), frozenset(Path(file).resolve() for file in files))

    def end(self, session: str) -> None:
        """The window is closed: nothing that was chosen there is needed any more."""
        with self._lock:
            for holder in [holder for holder in self._held if holder[0] == session]:
                self._hold(holder, frozenset())
