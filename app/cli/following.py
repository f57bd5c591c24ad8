"""Stays with a job until it has ended, with a bar and the latest figures; Ctrl-C stops the job and keeps its work."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from app.errors import AppError, JobRefused
from app.pipeline import jobs
from app.pipeline.workspace import Workspace
from app.wording import counted
from personal_store.nouns import ENDED, Job, JobEvent


class JobStopped(AppError):
    """The job ended before it was done; what it made is kept."""


class _Screen(Protocol):
    def show(self, event: JobEvent) -> None:
        """Show what the job reported."""


class _Quiet:
    def show(self, event: JobEvent) -> None:
        """Show nothing."""


class _Bar:
    """A progress bar on standard error, and the latest figures beside it."""

    def __init__(self, bar: Any, title: str) -> None:
        self._bar = bar
        self._line = bar.add_task(title, total=None, note="")
        self._kept = 0
        self._pairs = 0

    def show(self, event: JobEvent) -> None:
        """Move the bar."""
        show = getattr(self, f"_show_{event.kind}", None)
        if show is not None:
            show(event.data)

    def _show_waiting(self, data: Mapping[str, Any]) -> None:
        self._bar.update(self._line, note=f"waiting for job {data['for_job']}")

    def _show_preparing(self, data: Mapping[str, Any]) -> None:
        self._bar.update(self._line, note=data["message"])

    def _show_started(self, data: Mapping[str, Any]) -> None:
        self._bar.update(
            self._line, total=data.get("steps") or data.get("records"), completed=data.get("done", 0), note=""
        )

    def _show_pair(self, data: Mapping[str, Any]) -> None:
        self._pairs += 1
        self._kept += bool(data["kept"])
        self._bar.update(self._line, note=f"{counted(self._pairs, 'pair')}, {self._kept} kept")

    def _show_record(self, data: Mapping[str, Any]) -> None:
        self._bar.update(self._line, completed=data["done"])

    def _show_progress(self, data: Mapping[str, Any]) -> None:
        # Measuring counts steps and answers, and has no loss of its own.
        figures = "epoch {epoch}, loss {loss:.3f}, {tokens_per_second:.0f} tokens/s"
        note = {"note": figures.format(**data)} if "loss" in data else {}
        self._bar.update(self._line, total=data["steps"], completed=data["step"], **note)

    def _show_point(self, data: Mapping[str, Any]) -> None:
        share = f"{data['share']:.0%} shared" if "share" in data else data["name"]
        self._bar.update(self._line, note=f"{share}: {data['score']:.2f}")

    def _show_saving(self, data: Mapping[str, Any]) -> None:
        self._bar.update(self._line, note="saving and checking the adapter")

    def _show_scoring(self, data: Mapping[str, Any]) -> None:
        note = f"scoring on {counted(data['records'], 'held-out record')}"
        self._bar.update(self._line, total=data["answers"], completed=data["done"], note=note)


@contextlib.contextmanager
def _screen(job: Job, quiet: bool) -> Iterator[_Screen]:
    if quiet:
        yield _Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, {"augment": "Augmenting", "train": "Training", "curve": "Measuring"}[job.kind])


def _result(job: Job) -> Mapping[str, Any]:
    if job.state == "done":
        return {**(job.result or {}), "job": job.id}
    if job.state == "failed":
        raise JobRefused(job.error or f"Job {job.id} failed; resume it with `cdcda jobs --resume {job.id}`.")
    raise JobStopped(
        f"Job {job.id} was {job.state} before it was done; what it made is kept,"
        f" go on with `cdcda jobs --resume {job.id}`."
    )


def _stop(workspace: Workspace, job: Job) -> None:
    """Ask the job to stop and wait until it has; a second Ctrl-C leaves at once, and the job ends by itself."""
    if jobs.get(workspace, job.id).state not in ENDED:
        with contextlib.suppress(JobRefused):
            jobs.stop_job(workspace, job.id)
    for _ in jobs.follow(workspace, job.id):
        pass


def follow_to_end(workspace: Workspace, job: Job, quiet: bool) -> Mapping[str, Any]:
    """What the job came to; raises JobRefused with its sentence where it failed, JobStopped where it was stopped."""
    with _screen(job, quiet) as screen:
        try:
            for event in jobs.follow(workspace, job.id):
                screen.show(event)
        except KeyboardInterrupt:
            _stop(workspace, job)
            raise
    return _result(jobs.get(workspace, job.id))
