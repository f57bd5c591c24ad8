"""Long work as processes of their own, their state in the store: started, followed, stopped, resumed.

Whoever asks reads the same state, so a page that is reloaded sees the job where it is. A worker gives a sign of life
every second and holds a pipe of the process that started it: when that one dies, the worker saves and ends.
"""

import contextlib
import dataclasses
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.device.presets import DEFAULT, find_preset
from app.device.training import FineTuning
from app.errors import JobRefused
from app.pipeline.bases import require_choice
from app.pipeline.dataset import gather
from app.pipeline.local_service import TOKEN_VARIABLE, URL_VARIABLE, CloudAddress, child_environment
from app.pipeline.models import device_model
from app.pipeline.payload import Payload, require_approved, require_destination
from app.pipeline.unfinished import DISCARDED, remove_unfinished
from app.pipeline.workspace import Workspace
from personal_store import jobs, records, training
from personal_store.errors import NotFound, StoreBusy
from personal_store.nouns import ALIVE, ENDED, RESUMABLE, Job, JobEvent, JobKind
from personal_store.processes import is_gone
from personal_store.store import Store

SILENT_SECONDS = 20.0
"""Without a sign of life for this long, a job is dead."""
BEATING_SECONDS = 2.5
"""A worker whom a locked store, or the computer's sleep, kept from it gives a sign of life within this time after."""
FREE_SECONDS = 0.2
"""How long a look at the jobs waits for a store that is locked: the next look is never far."""
STARTING_SECONDS = 60.0
"""A worker gives its first sign of life within this time."""
KEEP = "keep"
"""The event that asks a training to end and keep what it has learned."""
INSTEAD = {
    "augment": "preview and approve what is shared now",
    "train": "start a new training",
    "curve": "start a new measuring",
}
"""What to do where a job of a kind cannot go on."""

_children: dict[tuple[Path, int], subprocess.Popen[bytes]] = {}
"""Workers of this process, by store and job; each ends when its pipe closes."""


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """What a person can choose of a training."""

    task: str | None = None
    """None: the task with most records."""
    epochs: int | None = None
    """None: as many as the preset says."""
    rank: int = 16
    """r of the LoRA."""
    alpha: int = 8
    """Scale of the LoRA is alpha / r."""
    seed: int = 0
    model: str | None = None
    """None: the person's device model."""
    base: str | None = None
    """Task base to train on top of: its name, "automatic" or "none"; None: the person's choice for the task."""
    preset: str = DEFAULT
    """Name of the settings for everything that is not chosen here."""
    micro_tokens: int | None = None
    """Tokens in the network at once, which decide the memory; None: the preset's."""

    def resolved(self) -> FineTuning:
        """Everything that the training will use; raises BadInput for a preset that is not there."""
        preset = find_preset(self.preset).settings
        return dataclasses.replace(
            preset,
            rank=self.rank,
            alpha=self.alpha,
            epochs=preset.epochs if self.epochs is None else self.epochs,
            seed=self.seed,
            micro_tokens=self.micro_tokens or preset.micro_tokens,
        )


WORKERS: Mapping[JobKind, str] = {
    "augment": "app.pipeline.worker",
    "train": "app.evaluation.worker",
    "curve": "app.evaluation.worker",
}
"""The module that is run for a job of each kind: what measures knows more than this room does."""


def _spawn(workspace: Workspace, job_id: int, kind: JobKind, address: CloudAddress | None) -> None:
    environment = child_environment()
    for name in (URL_VARIABLE, TOKEN_VARIABLE):
        environment.pop(name, None)
    if address is not None:
        environment |= {URL_VARIABLE: address.url, TOKEN_VARIABLE: address.token}
    _children[workspace.store_path, job_id] = subprocess.Popen(
        [sys.executable, "-m", WORKERS[kind], str(job_id), "--data-dir", str(workspace.data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        # A group of its own: Ctrl-C in the terminal is for this process, which then asks the worker to stop.
        process_group=0,
    )


def _close_pipe(child: subprocess.Popen[bytes]) -> None:
    if child.stdin:
        with contextlib.suppress(OSError):
            child.stdin.close()


def _reap(workspace: Workspace) -> bool:
    """Let go of workers that ended; a job that has not even begun to beat then never will. Whether there was one."""
    marked = False
    for key, child in list(_children.items()):
        if key[0] == workspace.store_path and child.poll() is not None:
            _close_pipe(child)
            del _children[key]
            # A job may have been deleted since, with everything.
            with workspace.store() as store, contextlib.suppress(NotFound):
                if jobs.get_job(store, key[1]).process_id in (None, os.getpid()):
                    marked |= jobs.move(store, key[1], ["queued", "stopping"], "interrupted")
    return marked


def _is_dead(workspace: Workspace, job: Job) -> bool:
    now = time.time()
    if job.heartbeat is None or job.process_id is None:
        return (workspace.store_path, job.id) not in _children and now - _created(job) > STARTING_SECONDS
    return is_gone(job.process_id) or now - job.heartbeat > SILENT_SECONDS


def _created(job: Job) -> float:
    return datetime.datetime.fromisoformat(job.created_at).timestamp()


def _mark_dead(workspace: Workspace, store: Store, silent: Sequence[Job]) -> bool:
    """Mark those of the jobs that give no sign of life although they can; whether there were any."""
    if any(job.process_id is None or not is_gone(job.process_id) for job in silent):
        # While the store was locked none could: wait until it is free, and for the workers, who wait for that too.
        with store.change():
            pass
        time.sleep(BEATING_SECONDS)
    with store.change():
        now = [jobs.get_job(store, job.id) for job in silent]
        dead = [job for job in now if job.state in ALIVE and _is_dead(workspace, job)]
        for job in dead:
            jobs.set_state(store, job.id, "stopped" if job.state == "stopping" else "interrupted")
    return bool(dead)


def refresh(workspace: Workspace) -> None:
    """Mark jobs whose worker died as interrupted (as stopped, when it had been asked to stop).

    What such a one should have removed at its end is removed here.
    """
    marked = _reap(workspace)
    # Where the store is still locked, the next look at the jobs will tell.
    with (
        contextlib.suppress(NotFound, StoreBusy),
        dataclasses.replace(workspace, busy_seconds=FREE_SECONDS).store() as store,
    ):
        silent = [job for job in jobs.list_jobs(store) if job.state in ALIVE and _is_dead(workspace, job)]
        marked |= bool(silent) and _mark_dead(workspace, store, silent)
    if marked:
        remove_unfinished(workspace)


def get(workspace: Workspace, job_id: int) -> Job:
    """The job as it is now; raises NotFound."""
    refresh(workspace)
    with workspace.store() as store:
        return jobs.get_job(store, job_id)


def listing(workspace: Workspace, kind: JobKind | None = None, limit: int = 50) -> tuple[Job, ...]:
    """Jobs as they are now, the newest first."""
    refresh(workspace)
    with workspace.store() as store:
        return jobs.list_jobs(store, kind, limit)


def events(workspace: Workspace, job_id: int, after: int = 0) -> tuple[JobEvent, ...]:
    """What the job reported after the event of that id."""
    with workspace.store() as store:
        return jobs.events(store, job_id, after)


def _create(workspace: Workspace, kind: JobKind, settings: Mapping[str, Any], address: CloudAddress | None) -> Job:
    with workspace.store() as store:
        job = jobs.create_job(store, kind, settings)
    _spawn(workspace, job.id, kind, address)
    return job


def start_augment(workspace: Workspace, payload: Payload, approved: str, address: CloudAddress | None = None) -> Job:
    """Send an approved payload in a job; without an address the job starts a service of its own on this computer.

    Raises ApprovalMismatch before anything is started.
    """
    require_approved(payload, approved)
    require_destination(payload.destination.url, address)
    settings = {
        "task": payload.task,
        "destination": payload.destination.url,
        "passes_on_to": payload.destination.passes_on_to,
        "local": address is None or address.local,
        "sha256": payload.sha256,
        "record_ids": list(payload.record_ids),
        "uploads": payload.uploads,
        **dataclasses.asdict(payload.settings),
    }
    return _create(workspace, "augment", settings, address)


def start_train(workspace: Workspace, settings: TrainSettings | None = None) -> Job:
    """Train an adapter in a job; raised before it is started: NothingToTrain, BadInput, ModelMissing, ModelDamaged."""
    settings = settings or TrainSettings()
    find_preset(settings.preset)
    device_model(workspace, settings.model)
    if settings.base is not None:
        require_choice(workspace, settings.base)
    gather(workspace, settings.task, settings.seed)
    return _create(workspace, "train", dataclasses.asdict(settings), None)


def start_measuring(workspace: Workspace, settings: Mapping[str, Any]) -> Job:
    """Measure in a job what sharing brought; `app.evaluation.curve.start` says whether that can be done."""
    return _create(workspace, "curve", settings, None)


def stop_job(workspace: Workspace, job_id: int) -> Job:
    """Ask a job to stop; what it made is kept. Raises JobRefused where it has ended."""
    refresh(workspace)
    with workspace.store() as store:
        if not jobs.move(store, job_id, ["queued", "running"], "stopping"):
            job = jobs.get_job(store, job_id)
            if job.state != "stopping":
                raise JobRefused(f"Job {job_id} is {job.state}, so there is nothing to stop; see `cdcda jobs`.")
        return jobs.get_job(store, job_id)


def keep_job(workspace: Workspace, job_id: int) -> Job:
    """Ask a training to end after its next step and to keep the best adapter that it has by then.

    Raises JobRefused where there is no training under way.
    """
    refresh(workspace)
    with workspace.store() as store, store.change():
        job = jobs.get_job(store, job_id)
        if job.kind != "train" or job.state != "running":
            raise JobRefused(
                f"Only a training that runs can be ended with what it has learned, but job {job_id} ({job.kind}) is"
                f" {job.state}; see `cdcda jobs`."
            )
        jobs.add_event(store, job_id, KEEP, {})
        return job


def should_keep(workspace: Workspace, job_id: int) -> bool:
    """Whether a training was asked to end with what it has."""
    with workspace.store() as store:
        return jobs.has_event(store, job_id, KEEP)


def _began_with(store: Store, job: Job, events: Sequence[JobEvent]) -> set[int]:
    """Ids of the records that a job must find again to go on, as far as it says which."""
    gathered = next((event.data for event in events if event.kind == "gathered"), {})
    if job.kind == "train" and gathered:
        made_of = training.get_training_set(store, gathered["training_set"])
        return {*made_of.record_ids, *made_of.held_out_ids}
    return {*job.settings.get("record_ids", ()), *gathered.get("record_ids", ())}


def _why_not(store: Store, job: Job) -> str:
    events = jobs.events(store, job.id)
    for event in events:
        if event.kind == DISCARDED:
            return f"What job {job.id} had learned was removed, because {event.data['why']}; start a new training."
    began_with = _began_with(store, job, events)
    if records.present_ids(store, list(began_with)) != began_with:
        return f"Job {job.id} cannot go on, because a record that it began with is gone; {INSTEAD[job.kind]}."
    return ""


def why_not_resumed(workspace: Workspace, job: Job) -> str:
    """Why a job that was stopped, was interrupted or failed cannot go on, in a sentence; empty where nothing is known
    against it."""
    if job.state not in RESUMABLE:
        return ""
    with workspace.store() as store:
        return _why_not(store, job)


def resume_job(workspace: Workspace, job_id: int, address: CloudAddress | None = None) -> Job:
    """Go on with a job that was stopped, was interrupted or failed; finished work is not done again.

    Raises JobRefused, and ApprovalMismatch where the service is another than the one approved.
    """
    job = get(workspace, job_id)
    if job.state not in RESUMABLE:
        raise JobRefused(f"Job {job_id} is {job.state}, so it cannot be resumed; see `cdcda jobs`.")
    if job.kind == "augment":
        if not job.settings["local"] and address is None:
            raise JobRefused(
                f"Job {job_id} was approved for {job.settings['destination']}; name that service with --cloud-url."
            )
        require_destination(job.settings["destination"], address)
    _end_child(workspace, job_id)
    with workspace.store() as store, store.change():
        if why := _why_not(store, job):
            raise JobRefused(why)
        # Without the old worker's id and heartbeat the job would count as dead until the new one has started.
        if not jobs.move(store, job_id, RESUMABLE, "queued"):
            raise JobRefused(f"Job {job_id} was resumed elsewhere just now; see `cdcda jobs`.")
        jobs.heartbeat(store, job_id)
        jobs.set_state(store, job_id, "queued", process_id=os.getpid())
    _spawn(workspace, job_id, job.kind, address)
    return get(workspace, job_id)


def _end_child(workspace: Workspace, job_id: int) -> None:
    """Wait for the job's earlier worker, which may still be closing."""
    child = _children.pop((workspace.store_path, job_id), None)
    if child is None:
        return
    _close_pipe(child)
    try:
        child.wait(SILENT_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def follow(workspace: Workspace, job_id: int, after: int = 0, poll: float = 0.3) -> Iterator[JobEvent]:
    """The job's events after that id as they come, until the job has ended."""
    while True:
        job = get(workspace, job_id)
        for event in events(workspace, job_id, after):
            after = event.id
            yield event
        if job.state in ENDED:
            return
        time.sleep(poll)


def end_workers(seconds: float = 30.0) -> None:
    """Close the pipes of this process's workers, so that they save and end, and wait for them."""
    for child in _children.values():
        _close_pipe(child)
    until = time.monotonic() + seconds
    for child in _children.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, until - time.monotonic()))
    _children.clear()
