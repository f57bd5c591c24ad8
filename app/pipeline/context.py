"""What a job's work is given: its job, a way to report, and whether it should stop. Knows no process and no signal."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from app.pipeline.workspace import Workspace
from personal_store import jobs
from personal_store.nouns import Job


class Stopped(BaseException):
    """The job was asked to stop. No Exception: no handler of errors may take it for one."""


@dataclasses.dataclass(frozen=True)
class JobContext:
    """A job on its way."""

    workspace: Workspace
    job: Job
    should_stop: Callable[[], bool]
    interruptible: Callable[[], contextlib.AbstractContextManager[None]]
    """A block in which a request to stop raises Stopped at once."""

    def report(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell whoever follows the job; numbers and ids, never a record's text."""
        with self.workspace.store() as store:
            jobs.add_event(store, self.job.id, kind, data)

    def check_stop(self) -> None:
        """Raise Stopped when the job should stop."""
        if self.should_stop():
            raise Stopped
