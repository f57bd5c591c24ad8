"""What trainings and measurings left behind that did not end.

Trainings leave folders with a checkpoint, from which they could go on. They go once a record that was learned from is
forgotten, and once a newer adapter of the same task is there. Measurings that were killed leave answers, which nobody
goes on with.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from app.device.merged import throw_away
from app.pipeline.workspace import Workspace
from personal_store import forgetting, jobs, training
from personal_store.errors import NotFound
from personal_store.nouns import ALIVE, RESUMABLE, TrainingSet
from personal_store.store import Store

DISCARDED = "discarded"
"""The event that says why what a training had learned is gone."""
MEASURING = "curve-{job}"
"""Name of a measuring's folder among the prepared ones: the answers, and the adapter that it learns."""
FORGOTTEN = "a record that it learned from was forgotten"
NEWER = "a newer adapter of its task was made"


def _folders(workspace: Workspace, store: Store) -> Iterator[tuple[int, Path]]:
    """By their job the folders of trainings that could be resumed and became no adapter."""
    finished = {adapter.folder for adapter in training.adapters(store)}
    for folder in workspace.adapters.glob("job-*"):
        number = folder.name.removeprefix("job-")
        if folder.name in finished or not number.isdecimal():
            continue
        try:
            job = jobs.get_job(store, int(number))
        except NotFound:
            continue
        if job.kind == "train" and job.state in RESUMABLE:
            yield job.id, folder


def _has_forgotten(store: Store, learned: TrainingSet) -> bool:
    """Whether a record of the set, or a text of one, is gone for good; a record that was deleted can come back."""
    gone = set(learned.record_ids) - training.present(store, learned).record_ids
    return training.holds_forgotten(store, learned) or bool(gone - set(forgetting.deleted_ids(store)))


def _why_discard(store: Store, job_id: int) -> str | None:
    gathered = next((event.data for event in jobs.events(store, job_id) if event.kind == "gathered"), None)
    if gathered is None:
        return None
    learned, task = training.get_training_set(store, gathered["training_set"]), gathered["task"]
    if _has_forgotten(store, learned):
        return FORGOTTEN
    newer = any(
        adapter.manifest.get("task") == task and (adapter.job_id or 0) > job_id for adapter in training.adapters(store)
    )
    return NEWER if newer else None


def _discard(store: Store, job_id: int, why: str) -> bool:
    """Note that a training cannot go on; False where it was resumed meanwhile."""
    with store.change():
        if jobs.get_job(store, job_id).state not in RESUMABLE:
            return False
        if not jobs.has_event(store, job_id, DISCARDED):
            jobs.add_event(store, job_id, DISCARDED, {"why": why})
        return True


def _is_alive(store: Store, job_id: int) -> bool:
    try:
        return jobs.get_job(store, job_id).state in ALIVE
    except NotFound:
        return False


def _remove_measurings(workspace: Workspace, store: Store) -> None:
    for folder in workspace.prepared.glob(MEASURING.format(job="*")):
        number = folder.name.removeprefix(MEASURING.format(job=""))
        if number.isdecimal() and not _is_alive(store, int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(workspace: Workspace) -> None:
    """Remove what unfinished trainings and measurings left that nobody should or will go on with."""
    with workspace.store() as store:
        for job_id, folder in list(_folders(workspace, store)):
            why = _why_discard(store, job_id)
            if why and _discard(store, job_id, why):
                shutil.rmtree(folder, ignore_errors=True)
                throw_away(workspace.prepared)
        _remove_measurings(workspace, store)
