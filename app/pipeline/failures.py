"""What to tell the person of an error in a job, and where it is written down. Knows no state of the job."""

import contextlib
import os
import traceback

from app.device.writing import OF_THE_DISK, explain
from app.errors import SHOWN
from app.pipeline.workspace import Workspace


def _sentence(error: BaseException) -> str | None:
    """What to tell the person, where the error is one that has a sentence."""
    if isinstance(error, SHOWN):
        return str(error)
    if isinstance(error, OSError) and error.errno in OF_THE_DISK:
        return str(explain("A file of this job", None, error, "read or written"))
    if isinstance(error, MemoryError):
        return (
            "There is not enough memory for this job; close other programs, or choose a smaller model, and try again."
        )
    return None


def _write_trace(workspace: Workspace, job_id: int, error: BaseException) -> str:
    """Keep where it happened, without messages and values: they may hold the person's texts."""
    path = workspace.logs / f"job-{job_id}.log"
    lines = [
        f"{frame.filename}:{frame.lineno} in {frame.name}\n" for frame in traceback.extract_tb(error.__traceback__)
    ]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "a", encoding="utf-8") as file:
        file.writelines([f"{type(error).__name__}\n", *lines])
    return str(path)


def explained(workspace: Workspace, job_id: int, error: BaseException) -> str:
    """The sentence to tell; of an error that has none, where it happened is written to the job's log."""
    message = _sentence(error)
    if message is None:
        with contextlib.suppress(OSError):
            path = _write_trace(workspace, job_id, error)
            message = f"Something unexpected happened ({type(error).__name__}); where is written in {path}, try again."
    return message or f"Something unexpected happened ({type(error).__name__}); try again."
