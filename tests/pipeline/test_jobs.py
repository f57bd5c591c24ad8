"""Jobs in real worker processes: a hand-written service for what must be steered, tiny real models for training."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import ApprovalMismatch, BadInput, JobRefused, NothingToTrain
from app.pipeline import jobs
from app.pipeline.forgetting import delete_everything, forget
from app.pipeline.generation import Writer
from app.pipeline.models import use_model
from app.pipeline.payload import Payload, build_payload, destination_of
from app.pipeline.sharing import share_ids
from app.pipeline.workspace import Workspace
from personal_store import jobs as stored_jobs
from personal_store import ledger, pairs, records, training
from personal_store.nouns import ENDED, Job
from tests.pipeline.recording_service import (
    SUMMARY,
    RecordingService,
    encoded,
    good_answer,
    pair_line,
)
from tests.pipeline.support import workspace_with
from tests.tiny import tiny_gguf

SECONDS = 300.0
"""Longest wait; a worker that trains starts in five seconds on a free computer."""


@pytest.fixture(autouse=True)
def no_worker_stays() -> Iterator[None]:
    yield
    jobs.end_workers()


def wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)


def wait_ended(workspace: Workspace, job_id: int) -> Job:
    wait(lambda: jobs.get(workspace, job_id).state in ENDED, f"the end of job {job_id}")
    return jobs.get(workspace, job_id)


def approved(folder: Path, service: RecordingService, count: int = 3) -> tuple[Workspace, Payload]:
    workspace, ids = workspace_with(folder, count)
    share_ids(workspace, ids)
    return workspace, build_payload(workspace, destination_of(service.url), k=2)


class Gate:
    """A service that answers one record and then waits."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.waiting = threading.Event()

    def answer(self, request: dict[str, Any], skip: list[str]) -> Iterator[bytes]:
        lines = good_answer(request, skip)
        for _ in range(3):
            yield next(lines)
        self.waiting.set()
        self.open.wait(SECONDS)
        yield from lines


@pytest.fixture
def gate(service: RecordingService) -> Iterator[Gate]:
    made = Gate()
    service.answer = made.answer
    yield made
    made.open.set()


def stopped(folder: Path, service: RecordingService, gate: Gate) -> tuple[Workspace, Payload, Job]:
    """An augmentation that was stopped while it waited for the service."""
    workspace, payload = approved(folder, service)
    job = jobs.start_augment(workspace, payload, payload.approval, service.address)
    wait(gate.waiting.is_set, "the service")
    jobs.stop_job(workspace, job.id)
    assert wait_ended(workspace, job.id).state == "stopped"
    return workspace, payload, job


def finished(workspace: Workspace, job_id: int) -> int:
    with workspace.store() as store:
        return len(pairs.finished_records(store, job_id))


def test_an_augment_job_stores_the_pairs_and_counts_them(tmp_path: Path, service: RecordingService) -> None:
    workspace, payload = approved(tmp_path, service)
    job = jobs.start_augment(workspace, payload, payload.approval, service.address)
    kinds = [event.kind for event in jobs.follow(workspace, job.id, poll=0.05)]
    assert kinds == ["started", *["pair", "pair", "record"] * 3, "summary"]
    done = jobs.get(workspace, job.id)
    assert (done.state, done.error) == ("done", None)
    assert done.result
    assert {name: done.result[name] for name in ("records", "pairs", "kept", "failed")} == {
        "records": 3,
        "pairs": 6,
        "kept": 6,
        "failed": 0,
    }
    assert service.bodies == [payload.body]
    with workspace.store() as store:
        assert len(pairs.find_pairs(store, job_id=job.id)) == 6
        assert [upload.outcome for upload in ledger.uploads(store)] == ["sent"]


def test_a_job_says_that_the_service_is_busy_and_goes_on(tmp_path: Path, service: RecordingService) -> None:
    workspace, payload = approved(tmp_path, service)
    service.busy, service.headers = [503], {"Retry-After": "1"}
    job = jobs.start_augment(workspace, payload, payload.approval, service.address)
    reported = list(jobs.follow(workspace, job.id, poll=0.05))
    assert [event.data["message"] for event in reported if event.kind == "preparing"] == [
        "The augmentation service is busy; asking again in 1 second (1 of 5)"
    ]
    assert jobs.get(workspace, job.id).state == "done"


def test_a_job_for_another_hash_is_never_made(tmp_path: Path, service: RecordingService) -> None:
    workspace, payload = approved(tmp_path, service)
    with pytest.raises(ApprovalMismatch):
        jobs.start_augment(workspace, payload, "0" * 64, service.address)
    assert jobs.listing(workspace) == ()
    assert service.bodies == []


def test_a_killed_job_is_interrupted_and_resumes_with_the_same_bytes(
    tmp_path: Path, service: RecordingService, gate: Gate
) -> None:
    workspace, payload = approved(tmp_path, service)
    job = jobs.start_augment(workspace, payload, payload.approval, service.address)
    wait(lambda: finished(workspace, job.id) == 1, "the first record")
    process_id = jobs.get(workspace, job.id).process_id
    assert process_id
    os.kill(process_id, signal.SIGKILL)
    assert wait_ended(workspace, job.id).state == "interrupted"

    gate.open.set()
    service.answer = good_answer
    jobs.resume_job(workspace, job.id, service.address)
    done = wait_ended(workspace, job.id)
    assert done.state == "done"
    assert done.result
    assert (done.result["records"], done.result["pairs"]) == (3, 6)
    assert service.bodies == [payload.body] * 2
    assert service.skips == [[], [next(iter(payload.references))]]


def test_a_job_whose_records_changed_does_not_resume(tmp_path: Path, service: RecordingService, gate: Gate) -> None:
    workspace, payload, job = stopped(tmp_path, service, gate)
    with workspace.store() as store:
        records.update_record(store, payload.record_ids[-1], output="Something else")
    jobs.resume_job(workspace, job.id, service.address)
    failed = wait_ended(workspace, job.id)
    assert (failed.state, len(service.bodies)) == ("failed", 1)
    assert "preview and approve" in (failed.error or "")


def test_a_job_with_a_record_that_was_forgotten_is_not_resumed_and_says_why(
    tmp_path: Path, service: RecordingService, gate: Gate
) -> None:
    workspace, payload, job = stopped(tmp_path, service, gate)
    assert jobs.why_not_resumed(workspace, jobs.get(workspace, job.id)) == ""
    forget(workspace, payload.record_ids[-1])
    with pytest.raises(JobRefused, match="a record that it began with is gone; preview and approve what is shared now"):
        jobs.resume_job(workspace, job.id, service.address)
    assert jobs.get(workspace, job.id).state == "stopped"


def test_a_job_whose_service_passes_records_on_since_does_not_resume(
    tmp_path: Path, service: RecordingService, gate: Gate
) -> None:
    workspace, _, job = stopped(tmp_path, service, gate)
    service.passes_on_to = "api.example"
    jobs.resume_job(workspace, job.id, service.address)
    failed = wait_ended(workspace, job.id)
    assert (failed.state, len(service.bodies)) == ("failed", 1)
    assert "passes records on to api.example; nothing was sent: preview and approve" in (failed.error or "")


def test_a_job_that_did_not_keep_where_records_go_on_to_still_resumes(
    tmp_path: Path, service: RecordingService, gate: Gate
) -> None:
    workspace, _, job = stopped(tmp_path, service, gate)
    with workspace.store() as store:
        store.run("UPDATE jobs SET settings = json_remove(settings, '$.passes_on_to')")
    gate.open.set()
    jobs.resume_job(workspace, job.id, service.address)
    assert wait_ended(workspace, job.id).state == "done"


def test_stopping_ends_a_wait_for_the_service_and_keeps_what_came(
    tmp_path: Path, service: RecordingService, gate: Gate
) -> None:
    workspace, payload = approved(tmp_path, service)
    job = jobs.start_augment(workspace, payload, payload.approval, service.address)
    wait(lambda: finished(workspace, job.id) == 1, "the first record")
    began = time.monotonic()
    assert jobs.stop_job(workspace, job.id).state == "stopping"
    assert wait_ended(workspace, job.id).state == "stopped"
    assert time.monotonic() - began < 20
    assert finished(workspace, job.id) == 1
    with pytest.raises(JobRefused, match="is stopped"):
        jobs.stop_job(workspace, job.id)


def test_one_job_computes_at_a_time(tmp_path: Path, service: RecordingService, gate: Gate) -> None:
    workspace, payload = approved(tmp_path, service)
    first = jobs.start_augment(workspace, payload, payload.approval, service.address)
    wait(gate.waiting.is_set, "the service")
    again = build_payload(workspace, payload.destination, k=2)
    second = jobs.start_augment(workspace, again, again.approval, service.address)
    wait(lambda: bool(jobs.events(workspace, second.id)), "the second job's word")
    (event,) = jobs.events(workspace, second.id)
    assert (event.kind, event.data) == ("waiting", {"for_job": first.id})
    assert jobs.get(workspace, second.id).state == "queued"
    gate.open.set()
    assert [wait_ended(workspace, job.id).state for job in (first, second)] == ["done", "done"]


def test_a_failing_service_fails_the_job_with_its_sentence(tmp_path: Path, service: RecordingService) -> None:
    workspace, payload = approved(tmp_path, service)
    service.status = 503
    job = jobs.start_augment(workspace, payload, payload.approval, service.address)
    failed = wait_ended(workspace, job.id)
    assert failed.state == "failed"
    assert failed.error == (
        "The augmentation service is busy and refused the request for now; try again, or resume the job, in a while."
    )


@pytest.mark.parametrize(("number", "failed"), [(2, 1), (0, 2)])
def test_samples_that_came_to_nothing_are_counted(
    tmp_path: Path, service: RecordingService, number: int, failed: int
) -> None:
    workspace, payload = approved(tmp_path, service, 1)
    (reference,) = payload.references

    def answer(request: dict[str, Any], skip: list[str]) -> Iterator[bytes]:
        if number:
            yield from encoded(pair_line(reference, 1))
        yield from encoded(
            {"type": "failure", "reference": reference, "number": number, "reason": "empty"},
            {"type": "record", "reference": reference},
            SUMMARY,
        )

    service.answer = answer
    job = jobs.start_augment(workspace, payload, payload.approval, service.address)
    result = wait_ended(workspace, job.id).result
    assert result
    assert result["pairs"] + result["failed"] == 2
    assert (result["failed"], result["failed_because"]) == (failed, ["empty"])


def test_a_job_ends_when_the_process_that_started_it_dies(
    tmp_path: Path, service: RecordingService, gate: Gate
) -> None:
    workspace, _ = approved(tmp_path, service)
    script = (
        "import sys, time\n"
        "from app.pipeline import jobs\n"
        "from app.pipeline.local_service import CloudAddress\n"
        "from app.pipeline.payload import build_payload, destination_of\n"
        "from app.pipeline.workspace import open_workspace\n"
        "workspace, url = open_workspace(sys.argv[1]), sys.argv[2]\n"
        "payload = build_payload(workspace, destination_of(url), k=2)\n"
        "jobs.start_augment(workspace, payload, payload.approval, CloudAddress(url, 'token'))\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(workspace.data_dir), service.url]) as parent:
        wait(gate.waiting.is_set, "the service")
        parent.kill()
    (job,) = jobs.listing(workspace)
    ended = wait_ended(workspace, job.id)
    assert ended.state == "interrupted"
    assert ended.process_id
    wait(lambda: not Path(f"/proc/{ended.process_id}").exists(), "the end of the worker")


def test_a_job_without_a_sign_of_life_is_interrupted(tmp_path: Path) -> None:
    workspace, _ = workspace_with(tmp_path, 1)
    with workspace.store() as store:
        job = stored_jobs.create_job(store, "train", {})
        stored_jobs.set_state(store, job.id, "running", process_id=os.getpid())
        assert jobs.get(workspace, job.id).state == "running"
        store.run("UPDATE jobs SET heartbeat = ? WHERE id = ?", [time.time() - 21, job.id])
    assert jobs.get(workspace, job.id).state == "interrupted"


def test_a_job_that_a_locked_store_kept_from_its_sign_of_life_is_not_taken_for_dead(tmp_path: Path) -> None:
    workspace, _ = workspace_with(tmp_path, 1)
    with workspace.store() as store:
        job = stored_jobs.create_job(store, "train", {})
        stored_jobs.set_state(store, job.id, "running", process_id=os.getpid())
        store.run("UPDATE jobs SET heartbeat = ? WHERE id = ?", [time.time() - 21, job.id])
    locked = threading.Event()

    def write_for_long() -> None:
        with workspace.store() as store:
            with store.change():
                locked.set()
                time.sleep(jobs.FREE_SECONDS / 2)
            # Whoever waits as long as the worker may come before it.
            time.sleep(0.2)
            stored_jobs.heartbeat(store, job.id)

    writing = threading.Thread(target=write_for_long)
    writing.start()
    locked.wait(SECONDS)
    assert jobs.get(workspace, job.id).state == "running"
    writing.join()


@pytest.mark.slow
def test_a_job_outlives_a_store_that_is_locked_for_long(tmp_path: Path, service: RecordingService, gate: Gate) -> None:
    workspace, payload = approved(tmp_path, service)
    job = jobs.start_augment(workspace, payload, payload.approval, service.address)
    wait(gate.waiting.is_set, "the service")
    with workspace.store() as store, store.change():
        gate.open.set()
        until = time.monotonic() + jobs.SILENT_SECONDS + 2
        while time.monotonic() < until:
            assert jobs.get(workspace, job.id).state == "running"
            time.sleep(0.5)
    done = wait_ended(workspace, job.id)
    assert (done.state, done.error) == ("done", None)
    assert done.result
    assert (done.result["pairs"], done.result["failed"]) == (6, 0)


def test_a_worker_that_ends_after_everything_was_deleted_is_let_go_of(tmp_path: Path) -> None:
    workspace, _ = workspace_with(tmp_path, 1)
    with workspace.store() as store:
        job = stored_jobs.create_job(store, "train", {})
        stored_jobs.set_state(store, job.id, "done", result={})
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    jobs._children[workspace.store_path, job.id] = child
    delete_everything(workspace)
    child.communicate()
    assert jobs.listing(workspace) == ()


def test_what_is_running_or_done_is_not_resumed(tmp_path: Path) -> None:
    workspace, _ = workspace_with(tmp_path, 1)
    with workspace.store() as store:
        job = stored_jobs.create_job(store, "train", {})
        stored_jobs.set_state(store, job.id, "done", result={})
    with pytest.raises(JobRefused, match="is done"):
        jobs.resume_job(workspace, job.id)


def tiny_workspace(folder: Path, count: int) -> tuple[Workspace, tuple[int, ...]]:
    workspace, ids = workspace_with(folder / "data", count)
    use_model(workspace, str(tiny_gguf(folder)))
    return workspace, ids


def test_nothing_to_train_is_said_before_a_job_is_made(tmp_path: Path) -> None:
    workspace, _ = tiny_workspace(tmp_path, 0)
    with pytest.raises(NothingToTrain):
        jobs.start_train(workspace)
    assert jobs.listing(workspace) == ()


def test_an_unknown_preset_is_said_before_a_job_is_made(tmp_path: Path) -> None:
    workspace, _ = tiny_workspace(tmp_path, 3)
    with pytest.raises(BadInput, match="paper"):
        jobs.start_train(workspace, jobs.TrainSettings(preset="fast"))
    assert jobs.listing(workspace) == ()


@pytest.mark.slow
def test_a_training_that_is_told_to_keep_ends_as_an_adapter(tmp_path: Path) -> None:
    workspace, _ = tiny_workspace(tmp_path, 12)
    job = jobs.start_train(workspace, jobs.TrainSettings(epochs=2000, rank=4))
    with pytest.raises(JobRefused, match="queued"):
        jobs.keep_job(workspace, job.id)
    wait(lambda: sum(event.kind == "progress" for event in jobs.events(workspace, job.id)) >= 2, "two training steps")
    jobs.keep_job(workspace, job.id)
    done = wait_ended(workspace, job.id)
    assert (done.state, done.error) == ("done", None)
    assert done.result
    assert done.result["ended_early"]
    assert 2 <= done.result["best_step"] <= done.result["steps"] < done.result["planned_steps"]
    with workspace.store() as store:
        (adapter,) = training.adapters(store)
    assert adapter.manifest["steps"] == done.result["steps"]
    with pytest.raises(JobRefused, match="done"):
        jobs.keep_job(workspace, job.id)


@pytest.mark.slow
def test_a_history_of_one_record_is_learned_with_the_epochs_of_the_preset_and_nothing_is_held_out(
    tmp_path: Path,
) -> None:
    workspace, _ = tiny_workspace(tmp_path, 1)
    job = jobs.start_train(workspace, jobs.TrainSettings(rank=4, preset="quick"))
    done = wait_ended(workspace, job.id)
    (started,) = [event.data for event in jobs.events(workspace, job.id) if event.kind == "started"]
    assert started["settings"]["epochs"] == 1
    assert (done.state, done.error) == ("done", None)
    assert done.result
    assert (done.result["examples"], done.result["held_out"], done.result["held_out_loss"]) == (1, 0, None)


@pytest.mark.slow
def test_a_training_that_is_killed_in_every_phase_takes_no_step_again_and_gives_the_same_adapter(
    tmp_path: Path,
) -> None:
    workspace, _ = tiny_workspace(tmp_path, 12)
    settings = jobs.TrainSettings(epochs=2, rank=4)
    job = jobs.start_train(workspace, settings)

    def steps() -> list[int]:
        return [event.data["step"] for event in jobs.events(workspace, job.id) if event.kind == "progress"]

    def began() -> bool:
        return jobs.get(workspace, job.id).process_id not in (None, os.getpid())

    def reports(phase: str) -> Callable[[], bool]:
        seen = len(jobs.events(workspace, job.id))
        return lambda: any(event.kind == phase for event in jobs.events(workspace, job.id)[seen:])

    def kill_when(reached: Callable[[], bool], what: str) -> None:
        wait(reached, what)
        process_id = jobs.get(workspace, job.id).process_id
        assert process_id
        os.kill(process_id, signal.SIGKILL)
        assert wait_ended(workspace, job.id).state == "interrupted"
        with workspace.store() as store:
            assert training.adapters(store) == ()

    kill_when(began, "the worker")
    for phase in ("preparing", "started"):
        jobs.resume_job(workspace, job.id)
        kill_when(reports(phase), phase)
        assert steps() == [], "it was beyond loading"
        assert not [path for path in workspace.adapters.rglob("*") if path.is_file()]
    for phase in ("saving", "scoring"):
        jobs.resume_job(workspace, job.id)
        kill_when(reports(phase), phase)
    jobs.resume_job(workspace, job.id)
    done = wait_ended(workspace, job.id)
    assert (done.state, done.error) == ("done", None)
    assert steps() == list(range(1, 7))
    other = wait_ended(workspace, jobs.start_train(workspace, settings).id)
    assert other.state == "done"
    with workspace.store() as store:
        folders = [workspace.adapters / adapter.folder for adapter in training.adapters(store)]
    assert len(folders) == 2
    assert len({(folder / "adapter_model.safetensors").read_bytes() for folder in folders}) == 1
    assert not list(workspace.adapters.rglob("*.part"))
    assert not list(workspace.prepared.rglob(".*")), "a folder that was half unpacked stayed"


@pytest.mark.slow
def test_a_training_that_is_killed_while_it_loads_along_with_its_starter_is_interrupted_and_resumes(
    tmp_path: Path,
) -> None:
    workspace, _ = tiny_workspace(tmp_path, 3)
    script = (
        "import sys, time\n"
        "from app.pipeline import jobs\n"
        "from app.pipeline.workspace import open_workspace\n"
        "jobs.start_train(open_workspace(sys.argv[1]), jobs.TrainSettings(epochs=1, rank=4))\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(workspace.data_dir)]) as starter:
        wait(lambda: len(jobs.listing(workspace)) == 1, "the job")
        (job,) = jobs.listing(workspace)
        wait(lambda: any(event.kind == "started" for event in jobs.events(workspace, job.id)), "loading")
        process_id = jobs.get(workspace, job.id).process_id
        assert process_id
        starter.kill()
        os.kill(process_id, signal.SIGKILL)
    assert wait_ended(workspace, job.id).state == "interrupted"
    assert not any(event.kind == "progress" for event in jobs.events(workspace, job.id)), "it was beyond loading"
    jobs.resume_job(workspace, job.id)
    assert wait_ended(workspace, job.id).state == "done"


@pytest.mark.slow
def test_a_training_whose_files_cannot_be_written_says_so_and_is_resumed(tmp_path: Path) -> None:
    workspace, _ = tiny_workspace(tmp_path, 3)
    in_the_way = workspace.adapters / "job-1"
    in_the_way.write_bytes(b"mine")
    job = jobs.start_train(workspace, jobs.TrainSettings(epochs=1, rank=4))
    failed = wait_ended(workspace, job.id)
    assert failed.state == "failed"
    assert (failed.error or "").startswith(f"The adapter cannot be written in {in_the_way} (File exists)")
    assert in_the_way.read_bytes() == b"mine"
    in_the_way.unlink()
    jobs.resume_job(workspace, job.id)
    assert wait_ended(workspace, job.id).state == "done"


@pytest.mark.slow
def test_a_training_is_killed_and_resumed_and_its_adapter_writes(tmp_path: Path) -> None:
    workspace, ids = tiny_workspace(tmp_path, 12)
    job = jobs.start_train(workspace, jobs.TrainSettings(epochs=4, rank=4, preset="careful"))
    wait(lambda: sum(event.kind == "progress" for event in jobs.events(workspace, job.id)) >= 4, "four training steps")
    process_id = jobs.get(workspace, job.id).process_id
    assert process_id
    os.kill(process_id, signal.SIGKILL)
    assert wait_ended(workspace, job.id).state == "interrupted"
    with workspace.store() as store:
        assert training.adapters(store) == ()

    jobs.resume_job(workspace, job.id)
    done = wait_ended(workspace, job.id)
    assert (done.state, done.error) == ("done", None)
    assert done.result
    assert (done.result["examples"], done.result["held_out"]) == (11, 1)
    starts = [event.data for event in jobs.events(workspace, job.id) if event.kind == "started"]
    assert len(starts) == 2
    assert {name: starts[1]["settings"][name] for name in ("epochs", "rank", "patience")} == {
        "epochs": 4,
        "rank": 4,
        "patience": 2,
    }
    with workspace.store() as store:
        (adapter,) = training.adapters(store)
        assert adapter.training_set_id is not None
        assert training.get_training_set(store, adapter.training_set_id).held_out_ids == ids[-1:]
    assert adapter.id == done.result["adapter"]
    assert adapter.active == (done.result["held_out_loss"] < done.result["base_held_out_loss"])

    writer = Writer(workspace)
    try:
        draft = writer.generate("Input number 3 of this history.", "title", adapter.id)
        assert draft.adapter_id == adapter.id
        assert writer.generate("Input number 3", "title", "none").adapter_id is None
    finally:
        writer.close()
