"""What trainings and measurings left that did not end; no network is trained here."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.device.tidying import TEMPORARY
from app.errors import JobRefused
from app.pipeline import editing, jobs, review
from app.pipeline.dataset import build_training_set
from app.pipeline.forgetting import forget, forget_deleted
from app.pipeline.unfinished import MEASURING, remove_unfinished
from app.pipeline.workspace import Workspace
from personal_store import jobs as stored_jobs
from personal_store import training
from personal_store.nouns import JobState
from tests.pipeline.support import add_pairs, workspace_with


@pytest.fixture
def made(tmp_path: Path) -> tuple[Workspace, tuple[int, ...]]:
    return workspace_with(tmp_path, 12)


def training_job(workspace: Workspace, state: JobState = "stopped", task: str = "title") -> tuple[int, Path]:
    """A training that got as far as its first checkpoint: its job and its folder."""
    stored, _ = build_training_set(workspace, "title")
    with workspace.store() as store:
        job = stored_jobs.create_job(store, "train", {"task": task})
        stored_jobs.add_event(store, job.id, "gathered", {"training_set": stored.id, "task": task})
        stored_jobs.heartbeat(store, job.id)
        stored_jobs.set_state(store, job.id, state)
    folder = workspace.adapters / f"job-{job.id}"
    folder.mkdir()
    (folder / "checkpoint.safetensors").write_bytes(b"learned")
    return job.id, folder


def enter_adapter(workspace: Workspace, task: str = "title") -> Path:
    """An adapter of a training that ended now."""
    job_id, folder = training_job(workspace, "done")
    with workspace.store() as store:
        training.add_adapter(store, "Mine", folder.name, "tiny", None, job_id, {"task": task})
    return folder


@pytest.mark.parametrize("state", ["stopped", "failed", "interrupted"])
def test_forgetting_a_record_removes_what_an_unfinished_training_learned_from_it(
    made: tuple[Workspace, tuple[int, ...]], state: JobState
) -> None:
    workspace, ids = made
    job_id, folder = training_job(workspace, state)
    forget(workspace, ids[0])
    assert not folder.exists()
    with pytest.raises(JobRefused, match=r"removed, because a record that it learned from was forgotten; start a new"):
        jobs.resume_job(workspace, job_id)
    assert jobs.get(workspace, job_id).state == state


def test_forgetting_a_record_that_was_only_held_out_keeps_it_though_it_cannot_go_on(
    made: tuple[Workspace, tuple[int, ...]],
) -> None:
    workspace, ids = made
    job_id, folder = training_job(workspace)
    forget(workspace, ids[-1])
    assert folder.is_dir()
    with pytest.raises(JobRefused, match="a record that it began with is gone; start a new training"):
        jobs.resume_job(workspace, job_id)


def test_a_training_under_way_is_left_alone_and_goes_once_it_has_stopped(
    made: tuple[Workspace, tuple[int, ...]],
) -> None:
    workspace, ids = made
    job_id, folder = training_job(workspace, "running")
    with workspace.store() as store:
        stored_jobs.set_state(store, job_id, "running", process_id=1)
    forget(workspace, ids[0])
    assert folder.is_dir()
    with workspace.store() as store:
        stored_jobs.set_state(store, job_id, "stopped")
    remove_unfinished(workspace)
    assert not folder.exists()


def test_a_training_that_is_killed_after_its_record_was_forgotten_is_removed_once_it_counts_as_interrupted(
    made: tuple[Workspace, tuple[int, ...]],
) -> None:
    workspace, ids = made
    job_id, folder = training_job(workspace, "running")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as worker:
        with workspace.store() as store:
            stored_jobs.set_state(store, job_id, "running", process_id=worker.pid)
        forget(workspace, ids[0])
        assert folder.is_dir()
        worker.kill()
    assert jobs.get(workspace, job_id).state == "interrupted"
    assert not folder.exists()
    with pytest.raises(JobRefused, match=r"removed, because a record that it learned from was forgotten; start a new"):
        jobs.resume_job(workspace, job_id)


def test_deleting_keeps_it_and_making_that_final_removes_it(made: tuple[Workspace, tuple[int, ...]]) -> None:
    workspace, ids = made
    _, folder = training_job(workspace)
    editing.delete(workspace, ids[:1])
    remove_unfinished(workspace)
    assert folder.is_dir()
    forget_deleted(workspace)
    assert not folder.exists()


def test_making_an_edit_final_removes_what_learned_from_the_earlier_text(
    made: tuple[Workspace, tuple[int, ...]],
) -> None:
    workspace, ids = made
    _, folder = training_job(workspace)
    editing.edit(workspace, ids[0], input="Another text.")
    forget_deleted(workspace)
    assert not folder.exists()


def test_making_deletions_and_edits_final_keeps_what_learned_from_none_of_them(
    made: tuple[Workspace, tuple[int, ...]],
) -> None:
    workspace, ids = made
    pairs = add_pairs(workspace, ids[:2])
    editing.edit(workspace, ids[-1], output="Held out")
    _, folder = training_job(workspace)
    # The training can go on once these are taken back.
    editing.add(workspace, "title", "A record more", "More", "2024-09-01")
    review.reject(workspace, pairs[:1])
    forget_deleted(workspace)
    assert folder.is_dir()


def test_a_newer_adapter_removes_older_unfinished_trainings_of_its_task_alone(
    made: tuple[Workspace, tuple[int, ...]],
) -> None:
    workspace, _ = made
    older, other = training_job(workspace), training_job(workspace, task="review")
    finished = enter_adapter(workspace)
    newer = training_job(workspace)
    remove_unfinished(workspace)
    assert not older[1].exists()
    assert all(folder.is_dir() for folder in (other[1], finished, newer[1]))
    with pytest.raises(JobRefused, match="because a newer adapter of its task was made"):
        jobs.resume_job(workspace, older[0])


@pytest.mark.parametrize("forgets", [lambda workspace: forget(workspace, 1), forget_deleted])
def test_what_a_killed_measuring_or_probe_left_goes_with_what_is_forgotten_and_what_is_at_work_stays(
    made: tuple[Workspace, tuple[int, ...]], forgets: Callable[[Workspace], object]
) -> None:
    workspace, _ = made
    states: tuple[JobState, ...] = ("interrupted", "running")
    folders = []
    for state in states:
        with workspace.store() as store:
            job = stored_jobs.create_job(store, "curve", {})
            stored_jobs.heartbeat(store, job.id)
            stored_jobs.set_state(store, job.id, state, process_id=os.getpid())
        folders.append(workspace.prepared / MEASURING.format(job=job.id))
        (folders[-1] / "answers").mkdir(parents=True)
        (folders[-1] / "answers" / "hash.json").write_text("Input number 0 of this history.")
    of_no_job = workspace.prepared / MEASURING.format(job=99)
    of_no_job.mkdir()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    (workspace.prepared / f"{TEMPORARY}{ended.pid}-probe").mkdir()
    forgets(workspace)
    assert list(workspace.prepared.iterdir()) == folders[1:]
