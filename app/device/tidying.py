"""Prepared weights are kept, but not for ever: those used longest ago make room for new ones.

A prepared folder weighs two bytes for each weight of its model and can be made again at any time. What was used within
a day stays in any case, so nothing is taken away from a process that trains on it.
"""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

KEPT = 4
"""Prepared folders that stay however long ago they were used."""
USED = 24 * 3600
"""Seconds in which a folder that was used may still be in use."""
TEMPORARY = ".preparing-"
"""Begins the name of a folder that is being made or thrown away; the number of the process that does it follows."""
_ABANDONED_AFTER = 6 * 3600
"""Seconds after which what is unfinished is taken for a killed process's, whoever has its number now."""


def prepared_folders(cache: Path) -> list[Path]:
    """The whole prepared folders below a cache, the one used last first."""
    folders = [path.parent for path in cache.glob("*/config.json") if not path.parent.name.startswith(".")]
    return sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)


def use(folder: Path) -> Path:
    """Note that a prepared folder is used now."""
    # Where that cannot be noted, on a disk that is only read, nothing is thrown away either.
    with contextlib.suppress(OSError):
        os.utime(folder)
    return folder


def make_temporary(cache: Path) -> Path:
    """A new folder for what this process makes or throws away; where it is killed, the next one removes it."""
    return Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=cache))


def _is_gone(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # It is somebody else's, and alive.
    return False


def is_abandoned(unfinished: Path, prefix: str) -> bool:
    """Whether the process whose number follows the prefix in a name is gone, or has long had time to finish."""
    maker = unfinished.name.removeprefix(prefix).partition("-")[0]
    try:
        old = time.time() - unfinished.stat().st_mtime > _ABANDONED_AFTER
    except FileNotFoundError:
        return False  # Its process has just finished.
    return old or (maker.isdecimal() and _is_gone(int(maker)))


def remove_abandoned(cache: Path) -> None:
    """Removes what processes that were killed while they made or threw away a folder left behind."""
    for folder in cache.glob(f"{TEMPORARY}*"):
        if is_abandoned(folder, TEMPORARY):
            shutil.rmtree(folder, ignore_errors=True)


def _throw_away(folder: Path) -> None:
    # Renamed first: nobody finds half a folder under the name of a whole one.
    there = make_temporary(folder.parent)
    try:
        folder.rename(there / folder.name)
    except FileNotFoundError:
        pass  # Another process was first.
    finally:
        shutil.rmtree(there, ignore_errors=True)


def tidy(cache: Path, kept: int = KEPT) -> None:
    """Throw away the prepared folders used longest ago, all but `kept` and those of the last day."""
    for folder in prepared_folders(cache)[kept:]:
        if time.time() - folder.stat().st_mtime > USED:
            _throw_away(folder)
