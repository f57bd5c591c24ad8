"""Files that appear whole or not at all, and one sentence where the system will not have them.

Knows no model, no training and no store.
"""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from app.device.tidying import is_abandoned
from app.errors import AppError, DiskFull, NotWritten

_NEXT = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or have the quota raised",
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`), or use another disk",
    errno.EIO: "look after the disk, which may be failing, or use another one",
    errno.EROFS: "make the disk writable again, or use another one",
    errno.EACCES: "see that you may read and write there",
    errno.EPERM: "see that you may read and write there",
    errno.ENOENT: "see that the folder is there",
    errno.ENOTDIR: "see that no file stands where a folder should be",
    errno.EEXIST: "see that no file stands where a folder should be",
    errno.EISDIR: "see that no folder stands where a file should be",
}
"""What a person can do about an error of the system."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OF_THE_DISK = (*_NO_ROOM, errno.EIO, errno.EROFS)
"""Errors of the system that are the disk's wherever they come up, and no defect of the program."""
_OS_ERROR = re.compile(r"os error (\d+)")
"""How the safetensors library says which error of the system it met."""
_PART = re.compile(r"\.\d+-[0-9a-f]{8}\.part$")
"""Ends the name of a file that is being written; the number of the process that does it comes first."""


def _number(error: Exception) -> int | None:
    """The system's number of an error of Python or of the safetensors library."""
    if isinstance(error, OSError):
        return error.errno
    found = _OS_ERROR.search(str(error))
    return int(found[1]) if found else None


def _said(error: Exception, folder: Path | None) -> str:
    """What the system said, and of which file where that does not lie in the folder."""
    number, name = _number(error), getattr(error, "filename", None)
    words = os.strerror(number) if number else " ".join(str(error).split()) or type(error).__name__
    elsewhere = isinstance(name, str) and folder not in (Path(name), Path(name).parent)
    return f"{words}: {name}" if elsewhere else words


NOTHING_STAYS = "start again or resume, nothing half-written stays"


def explain(
    what: str, folder: Path | None, error: Exception, done: str = "written", then: str = NOTHING_STAYS
) -> AppError:
    """One sentence about an error of the system: what cannot be done, where, what the system said, what to do next."""
    number = _number(error)
    todo = _NEXT.get(number or 0, "check the disk and the folder")
    where = f" in {folder.absolute()}" if folder else ""
    sentence = f"{what} cannot be {done}{where} ({_said(error, folder)}); {todo}, and {then}."
    return DiskFull(sentence) if number in _NO_ROOM else NotWritten(sentence)


@contextlib.contextmanager
def writing(what: str, folder: Path, done: str = "written", then: str = NOTHING_STAYS) -> Iterator[None]:
    """Turns each error of the system inside into `explain`'s sentence: raises DiskFull where there is no room, else
    NotWritten."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, SafetensorError) and _number(error) is None:
            raise
        raise explain(what, folder, error, done, then) from error


def remove_abandoned(folder: Path) -> None:
    """Removes what killed processes left in a folder of files that they were about to put there."""
    for left in folder.glob("*.part"):
        with contextlib.suppress(OSError):
            if (ending := _PART.search(left.name)) and is_abandoned(left, left.name[: ending.start() + 1]):
                left.unlink()


@contextlib.contextmanager
def replacing(path: Path, what: str) -> Iterator[Path]:
    """A name beside `path`: what is written there takes its place once the block ends well, and else goes.

    Until then what stood at `path` stays whole. Of several that write the same file at once the last one's stays.
    Raises DiskFull and NotWritten.
    """
    # Of each call alone: two processes may make the same file at the same time.
    temporary = path.parent / f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    remove_abandoned(path.parent)
    try:
        with writing(what, path.parent):
            yield temporary
            os.replace(temporary, path)
    finally:
        # A disk that took no file may not let go of one either; the reason why it was not written is the one to tell.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def settle(temporary: Path, folder: Path) -> None:
    """Gives a folder that was made beside its final name, unless another process was first with the same."""
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
