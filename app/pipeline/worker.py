"""The process of one job: `python -m app.pipeline.worker JOB --data-dir DIR`.

Waits for its turn (one job computes at a time), does the job's work, and writes the last state only after the work
was checked. It stops when it is asked to, and when its standard input ends because the process that started it died.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.errors import SHOWN
from app.pipeline import augment
from app.pipeline.context import JobContext, Stopped
from app.pipeline.failures import explained
from app.pipeline.jobs import refresh
from app.pipeline.unfinished import remove_unfinished
from app.pipeline.workspace import Workspace, open_workspace
from personal_store import jobs
from personal_store.nouns import ALIVE, Job

BEAT_SECONDS = 1.0
TURN_SECONDS = 0.5
LOCKED_SECONDS = 600.0
"""How long a job waits for a store that is locked: what it has made is worth more than its time."""
Bodies = Mapping[str, Callable[[JobContext], Mapping[str, Any]]]
BODIES: Bodies = {"augment": augment.run}


class _Watch:
    """Why this worker should stop, gathered by its two watching threads."""

    def __init__(self, workspace: Workspace, job_id: int) -> None:
        self._workspace = workspace
        self._job_id = job_id
        self._main = threading.main_thread()
        self._interruptible = False
        self.stop = threading.Event()
        self.orphaned = False
        signal.signal(signal.SIGUSR1, self._on_signal)
        signal.signal(signal.SIGTERM, lambda *_: self.ask_to_stop())

    def _on_signal(self, *_: object) -> None:
        if self._interruptible:
            self._interruptible = False
            raise Stopped

    def ask_to_stop(self) -> None:
        """Set the flag, and wake the main thread where it waits for an answer."""
        self.stop.set()
        if self._interruptible and self._main.ident is not None:
            signal.pthread_kill(self._main.ident, signal.SIGUSR1)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise Stopped inside the block as soon as the job should stop, also out of a wait for the network."""
        if self.stop.is_set():
            raise Stopped
        self._interruptible = True
        try:
            # The request to stop may have come between the check above and the line before.
            if self.stop.is_set():
                raise Stopped
            yield
        finally:
            self._interruptible = False

    def _beat(self) -> None:
        while True:
            with contextlib.suppress(*SHOWN), self._workspace.store() as store:
                jobs.heartbeat(store, self._job_id)
                if jobs.get_job(store, self._job_id).state not in ("queued", "running"):
                    self.ask_to_stop()
            time.sleep(BEAT_SECONDS)

    def _listen(self) -> None:
        while os.read(0, 1024):
            pass
        self.orphaned = True
        self.ask_to_stop()

    def start(self) -> None:
        """Begin to watch the store and the pipe."""
        threading.Thread(target=self._beat, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()


def _others_first(workspace: Workspace, job_id: int) -> int | None:
    """The job that computes now or was there earlier; None once this job has moved to running."""
    refresh(workspace)
    with workspace.store() as store, store.change():
        others = [job for job in jobs.list_jobs(store, limit=1000) if job.state in ALIVE and job.id != job_id]
        first = [job.id for job in others if job.state != "queued" or job.id < job_id]
        if not first:
            jobs.move(store, job_id, ["queued"], "running")
    return min(first, default=None)


def _wait_for_turn(context: JobContext) -> None:
    said: int | None = None
    while True:
        context.check_stop()
        first = _others_first(context.workspace, context.job.id)
        if first is None:
            return
        if first != said:
            said = first
            context.report("waiting", {"for_job": first})
        time.sleep(TURN_SECONDS)


def _fail(context: JobContext, error: BaseException) -> None:
    message = explained(context.workspace, context.job.id, error)
    with contextlib.suppress(*SHOWN):
        context.report("error", {"message": message})
    with context.workspace.store() as store, store.change():
        if jobs.get_job(store, context.job.id).state in ALIVE:
            jobs.set_state(store, context.job.id, "failed", error=message)


def _finish(context: JobContext, result: Mapping[str, Any]) -> None:
    with context.workspace.store() as store, store.change():
        # A worker that was declared dead in its sleep does not overrule that.
        if jobs.get_job(store, context.job.id).state in ALIVE:
            jobs.set_state(store, context.job.id, "done", result=result)


def _stopped(context: JobContext, orphaned: bool) -> None:
    with context.workspace.store() as store:
        jobs.move(store, context.job.id, ["stopping"], "stopped")
        jobs.move(store, context.job.id, ["queued", "running"], "interrupted" if orphaned else "stopped")


def _work(context: JobContext, watch: _Watch, bodies: Bodies) -> None:
    try:
        _wait_for_turn(context)
        _finish(context, bodies[context.job.kind](context))
    except Stopped:
        _stopped(context, watch.orphaned)
    except Exception as error:
        _fail(context, error)


def _take(workspace: Workspace, job_id: int) -> Job:
    """Put this process's name to the job."""
    with workspace.store() as store, store.change():
        job = jobs.get_job(store, job_id)
        if job.state in ALIVE:
            jobs.heartbeat(store, job_id)
            jobs.set_state(store, job_id, job.state, process_id=os.getpid())
        return job


def main(arguments: list[str] | None = None, bodies: Bodies = BODIES) -> int:
    """Do one job; its outcome is in the store. `bodies` is the work of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=int)
    parser.add_argument("--data-dir", required=True)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    workspace = dataclasses.replace(open_workspace(options.data_dir), busy_seconds=LOCKED_SECONDS)
    job = _take(workspace, options.job)
    if job.state not in ALIVE:
        return 1
    watch = _Watch(workspace, job.id)
    watch.start()
    _work(JobContext(workspace, job, watch.stop.is_set, watch.interruptible), watch, bodies)
    # A record may have been forgotten while this training was under way, and an adapter makes older trainings needless.
    with contextlib.suppress(*SHOWN):
        remove_unfinished(workspace)
    # The listening thread sits in a read that only ends with the parent.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
