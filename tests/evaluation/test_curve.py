"""The person's own curve, on a tiny model: what is learned at each point, what is reported, going on after a stop."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import JobRefused, NothingToTrain
from app.evaluation import curve
from app.pipeline import jobs
from app.pipeline.context import JobContext, Stopped
from app.pipeline.forgetting import forget
from app.pipeline.models import use_model
from app.pipeline.tasks import make_task
from app.pipeline.workspace import Workspace
from personal_store import jobs as stored_jobs
from personal_store import ledger
from personal_store.nouns import Job
from tests.pipeline.support import add_pairs, workspace_with
from tests.tiny import tiny_gguf


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Twelve records, of which four were sent and came back as a pair each."""
    workspace, ids = workspace_with(tmp_path / "data", 12)
    use_model(workspace, str(tiny_gguf(tmp_path)))
    add_pairs(workspace, ids[:4])
    with workspace.store() as store:
        ledger.append_upload(store, "http://127.0.0.1/v1/augment", ids[:4], 100, "a" * 64, "sent")
    return workspace


def measuring(workspace: Workspace, **settings: object) -> Job:
    with workspace.store() as store:
        return stored_jobs.create_job(store, "curve", dataclasses.asdict(curve.CurveSettings()) | settings)


def context_of(workspace: Workspace, job: Job, should_stop: Callable[[], bool] = lambda: False) -> JobContext:
    return JobContext(workspace, job, should_stop, contextlib.nullcontext)


def names(workspace: Workspace, job: Job) -> list[str]:
    return [event.data["name"] for event in jobs.events(workspace, job.id) if event.kind == "point"]


def test_the_plan_learns_more_pairs_the_more_is_shared_and_all_own_records_always(workspace: Workspace) -> None:
    plan = curve.plan(workspace)
    assert [(part.share, part.left, part.pairs, len(part.texts)) for part in plan.parts] == [
        (0.0, 0, 0, 11),
        (0.5, 2, 2, 13),
        (1.0, 4, 4, 15),
    ]
    few, many = (set(part.texts) for part in plan.parts[1:])
    assert few < many
    assert plan.metric == "ROUGE-1"
    assert plan.seconds > 0


def test_the_time_is_estimated_by_the_newest_training_here(workspace: Workspace) -> None:
    before = curve.plan(workspace).seconds
    with workspace.store() as store:
        job = stored_jobs.create_job(store, "train", {})
        stored_jobs.set_state(store, job.id, "done", result={"tokens_per_second": 1.0})
    assert curve.plan(workspace).seconds > 2 * before


def test_without_kept_pairs_or_held_out_records_there_is_nothing_to_measure(tmp_path: Path) -> None:
    without_pairs, _ = workspace_with(tmp_path / "a", 12)
    with pytest.raises(NothingToTrain, match="under Share"):
        curve.plan(without_pairs)
    too_few, ids = workspace_with(tmp_path / "b", 3)
    add_pairs(too_few, ids)
    with pytest.raises(NothingToTrain, match="five or more"):
        curve.plan(too_few)


@pytest.mark.slow
def test_every_point_is_measured_and_no_adapter_and_no_text_stays(workspace: Workspace) -> None:
    job = measuring(workspace)
    result = curve.run(context_of(workspace, job))
    assert names(workspace, job) == ["base", "retrieval", "0", "0.5", "1"]
    assert [point["name"] for point in result["points"]] == names(workspace, job)
    assert all(0 <= point["low"] <= point["score"] <= point["high"] <= 1 for point in result["points"])
    assert result["points"][-1]["left"] == 4
    gain, points = result["gain"], {point["name"]: point["score"] for point in result["points"]}
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert gain["value"] == pytest.approx(points["1"] - points["0"])
    assert (result["metric"], result["higher_is_better"], result["held_out"]) == ("ROUGE-1", True, 1)
    assert list(workspace.adapters.iterdir()) == []
    assert not list(workspace.prepared.glob("curve-*"))
    steps = [event.data for event in jobs.events(workspace, job.id) if event.kind == "progress"]
    assert steps[-1]["step"] == steps[-1]["steps"] == len(steps)
    assert "Title" not in str([event.data for event in jobs.events(workspace, job.id)])


@pytest.mark.slow
def test_a_stopped_measuring_goes_on_behind_its_last_point(workspace: Workspace) -> None:
    job = measuring(workspace)
    with pytest.raises(Stopped):
        curve.run(context_of(workspace, job, lambda: "0" in names(workspace, job)))
    assert names(workspace, job) == ["base", "retrieval", "0"]
    result = curve.run(context_of(workspace, job))
    assert names(workspace, job) == ["base", "retrieval", "0", "0.5", "1"]
    assert len(result["points"]) == 5


def test_a_stop_in_the_middle_of_a_point_leaves_nothing_behind(workspace: Workspace) -> None:
    job = measuring(workspace)
    asked = iter([False] * 6)
    with pytest.raises(Stopped):
        curve.run(context_of(workspace, job, lambda: next(asked, True)))
    assert "1" not in names(workspace, job)
    assert not list(workspace.prepared.glob("curve-*"))


def test_what_a_killed_measuring_left_goes_with_the_next(workspace: Workspace) -> None:
    (workspace.prepared / "curve-99" / "answers").mkdir(parents=True)
    asked = iter([False])
    with pytest.raises(Stopped):
        curve.run(context_of(workspace, measuring(workspace), lambda: next(asked, True)))
    assert not list(workspace.prepared.glob("curve-*"))


def test_changed_records_need_a_new_measuring(workspace: Workspace) -> None:
    job = measuring(workspace)
    with pytest.raises(Stopped):
        curve.run(context_of(workspace, job, lambda: True))
    with workspace.store() as store:
        (first, *_) = stored_records(workspace)
        store.run("UPDATE records SET output = 'another' WHERE id = ?", [first])
    with pytest.raises(JobRefused, match="start a new one"):
        curve.run(context_of(workspace, job))


def test_a_measuring_with_a_record_that_was_forgotten_is_not_resumed_and_says_why(workspace: Workspace) -> None:
    job = measuring(workspace)
    with pytest.raises(Stopped):
        curve.run(context_of(workspace, job, lambda: True))
    with workspace.store() as store:
        stored_jobs.set_state(store, job.id, "stopped")
    assert jobs.why_not_resumed(workspace, jobs.get(workspace, job.id)) == ""
    held_out = stored_records(workspace)[-1]
    forget(workspace, held_out)
    assert jobs.why_not_resumed(workspace, jobs.get(workspace, job.id)).endswith("is gone; start a new measuring.")
    with pytest.raises(JobRefused, match="a record that it began with is gone"):
        jobs.resume_job(workspace, job.id)


def another_model(workspace: Workspace, folder: Path) -> None:
    use_model(workspace, str(tiny_gguf(folder / "other", seed=1)))


def more_sent(workspace: Workspace, _: Path) -> None:
    with workspace.store() as store:
        ledger.append_upload(store, "http://127.0.0.1/v1/augment", stored_records(workspace)[4:6], 1, "b" * 64, "sent")


def another_prompt(workspace: Workspace, _: Path) -> None:
    make_task(workspace, "names", "Name this: {input}", metric="accuracy")


def an_older_event(workspace: Workspace, _: Path) -> None:
    with workspace.store() as store:
        store.run("UPDATE job_events SET data = json_remove(data, '$.model', '$.shared') WHERE kind = 'gathered'")


@pytest.mark.parametrize("change", [another_model, more_sent, another_prompt, an_older_event])
def test_what_may_be_of_something_else_needs_a_new_measuring(
    tmp_path: Path, change: Callable[[Workspace, Path], None]
) -> None:
    workspace, ids = workspace_with(tmp_path / "data", 12, "names")
    make_task(workspace, "names", "Name this: {input}")
    use_model(workspace, str(tiny_gguf(tmp_path / "model")))
    add_pairs(workspace, ids[:4])
    job = measuring(workspace)
    for _ in range(2):
        with pytest.raises(Stopped):
            curve.run(context_of(workspace, job, lambda: True))
    change(workspace, tmp_path)
    with pytest.raises(JobRefused, match="start a new one"):
        curve.run(context_of(workspace, job, lambda: True))


@pytest.mark.parametrize(("records", "outcome"), [(1, "too few to tell"), (5, "too few to tell"), (6, "helped")])
def test_fewer_than_six_held_out_records_are_too_few(records: int, outcome: str) -> None:
    gain = {"value": 0.5, "low": 0.5, "high": 0.5}
    assert curve.outcome({"gain": gain, "higher_is_better": True, "held_out": records}) == outcome


def stored_records(workspace: Workspace) -> list[int]:
    with workspace.store() as store:
        return [int(id) for id in store.column("SELECT id FROM records ORDER BY id")]


@pytest.mark.slow
def test_a_process_of_its_own_measures_and_says_what_came_of_it(workspace: Workspace) -> None:
    job = curve.start(workspace)
    for _ in jobs.follow(workspace, job.id):
        pass
    done = jobs.get(workspace, job.id)
    assert (done.state, done.error) == ("done", None)
    assert done.result is not None
    assert len(done.result["points"]) == 5
    assert done.settings["task"] == "title"
    jobs.end_workers()
