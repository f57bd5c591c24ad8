"""The verdict after a training: its words from rows made by hand, and from the real job's work on a tiny model."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.device.adapters import load_manifest
from app.evaluation import verdict
from app.evaluation.metrics import ACCURACY, MAE, Rows
from app.evaluation.worker import BODIES
from app.pipeline import finetune, insights, jobs, switching
from app.pipeline.context import JobContext, Stopped
from app.pipeline.models import use_model
from app.pipeline.workspace import Workspace
from personal_store import jobs as stored_jobs
from personal_store import records, training
from personal_store.nouns import Job, NewRecord
from tests.pipeline.support import usable_adapter, workspace_with
from tests.tiny import tiny_gguf

GOLDS = ["a"] * 10


def right(count: int, records: int = 10) -> Rows:
    return ACCURACY.measure(["a"] * count + ["b"] * (records - count), GOLDS[:records])


def judged(base: int, personal: int, records: int = 10) -> str:
    rows = {"base": right(base, records), "retrieval": right(base, records), "personal": right(personal, records)}
    return str(verdict.judge_rows(ACCURACY, rows)["verdict"])


@pytest.mark.parametrize(
    ("base", "personal", "word"), [(1, 9, "better"), (9, 1, "worse"), (5, 6, "no different"), (5, 5, "no different")]
)
def test_the_word_follows_from_the_interval_of_the_paired_difference(base: int, personal: int, word: str) -> None:
    assert judged(base, personal) == word


def test_fewer_than_six_records_are_too_few_even_when_all_agree() -> None:
    assert judged(0, 5, records=5) == "too few to tell"
    assert judged(0, 6, records=6) == "better"


def test_an_error_that_falls_is_better() -> None:
    golds = ["1"] * 8
    far, near = MAE.measure(["4"] * 8, golds), MAE.measure(["2"] * 8, golds)
    found = verdict.judge_rows(MAE, {"base": far, "retrieval": near, "personal": near})
    assert found["verdict"] == "better"
    assert found["gain"]["value"] == 2.0
    assert "no different from the model with your similar records" in found["words"]


def training_job(folder: Path, count: int = 12) -> tuple[Workspace, Job]:
    """A history of so many records, and a training of a tiny model that has not begun."""
    workspace, _ = workspace_with(folder / "data", count)
    use_model(workspace, str(tiny_gguf(folder)))
    settings = dataclasses.asdict(jobs.TrainSettings(epochs=1, rank=2))
    with workspace.store() as store:
        return workspace, stored_jobs.create_job(store, "train", settings)


def context_of(workspace: Workspace, job: Job, should_stop: Callable[[], bool] = lambda: False) -> JobContext:
    return JobContext(workspace, job, should_stop, contextlib.nullcontext)


def scorings(workspace: Workspace, job: Job) -> Sequence[int]:
    return [event.data["done"] for event in jobs.events(workspace, job.id) if event.kind == "scoring"]


def test_a_training_ends_with_a_verdict_that_lies_with_the_adapter(tmp_path: Path) -> None:
    workspace, job = training_job(tmp_path, 60)
    result = BODIES["train"](context_of(workspace, job))
    scores = result["scores"]
    assert (scores["held_out"], scores["metric"]) == (6, "ROUGE-1")
    for system in insights.SYSTEMS:
        assert 0 <= scores[system]["low"] <= scores[system]["value"] <= scores[system]["high"] <= 1
    assert scorings(workspace, job) == list(range(1, 19))
    with workspace.store() as store:
        adapter = training.get_adapter(store, result["adapter"])
    assert adapter.manifest["scores"] == scores
    assert load_manifest(workspace.adapters / adapter.folder).scores == scores
    assert adapter.active == (scores["verdict"] == "better")
    (seen,) = insights.scores_over_time(workspace)
    assert (seen.metric, set(seen.scores)) == ("ROUGE-1", set(insights.SYSTEMS))


def test_a_training_tells_what_was_too_long_and_what_its_device_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, job = training_job(tmp_path, 3)
    with workspace.store() as store:
        records.add_records(store, [NewRecord("title", "long " * 400, "Long", "2024-01-01", "test")])
    # The training itself goes on here, on a CPU.
    monkeypatch.setattr(finetune, "best_device", lambda: "mps")
    result = BODIES["train"](context_of(workspace, job))
    assert (result["examples"], result["cut"], result["max_tokens"]) == (4, 1, 512)
    said = [event.data["message"] for event in jobs.events(workspace, job.id) if event.kind == "preparing"]
    assert "NF4 weights are not available on Apple GPUs" in said[0]


def test_with_one_held_out_record_the_loss_decides(tmp_path: Path) -> None:
    result = BODIES["train"](context_of(*training_job(tmp_path)))
    assert result["scores"]["words"] == "1 held-out record is too few to tell whether it helps."
    assert result["activated"] == (result["held_out_loss"] < result["base_held_out_loss"])


def test_without_held_out_records_there_is_no_verdict(tmp_path: Path) -> None:
    result = BODIES["train"](context_of(*training_job(tmp_path, 4)))
    assert result["scores"] == {}
    assert result["activated"]


def test_where_another_model_was_chosen_meanwhile_its_adapter_stays_on(tmp_path: Path) -> None:
    workspace, job = training_job(tmp_path, 4)

    def choose_another(context: JobContext, learned: finetune.Learned) -> dict[str, Any]:
        use_model(workspace, str(tiny_gguf(tmp_path, "qwen2")))
        usable_adapter(workspace)
        return {}

    result = finetune.run(context_of(workspace, job), choose_another)
    assert (result["helps"], result["activated"]) == (True, False)
    on = switching.active(workspace)
    assert on is not None
    assert on.name == "Title 0"


def test_a_judging_that_fails_costs_the_verdict_and_not_the_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, job = training_job(tmp_path)

    def broken(*_: object) -> None:
        raise ValueError("a text of the person's")

    monkeypatch.setattr(verdict, "judge_rows", broken)
    result = BODIES["train"](context_of(workspace, job))
    assert result["scores"] == {}
    assert "could not be judged" in result["unjudged"]
    assert "a text of" not in result["unjudged"] + (workspace.logs / f"job-{job.id}.log").read_text("utf-8")
    assert result["activated"] == (result["held_out_loss"] < result["base_held_out_loss"])
    with workspace.store() as store:
        assert [adapter.id for adapter in training.adapters(store)] == [result["adapter"]]
    assert load_manifest(workspace.adapters / f"job-{job.id}").scores == {}


def test_a_stop_between_two_answers_enters_no_adapter_and_the_job_goes_on_to_its_verdict(tmp_path: Path) -> None:
    workspace, job = training_job(tmp_path)
    with pytest.raises(Stopped):
        BODIES["train"](context_of(workspace, job, lambda: bool(scorings(workspace, job))))
    assert scorings(workspace, job) == [1]
    with workspace.store() as store:
        assert training.adapters(store) == ()
    steps = [event.data["step"] for event in jobs.events(workspace, job.id) if event.kind == "progress"]
    result = BODIES["train"](context_of(workspace, job))
    assert result["scores"]["held_out"] == 1
    again = [event.data["step"] for event in jobs.events(workspace, job.id) if event.kind == "progress"]
    assert again == steps


def test_a_training_killed_before_its_adapter_was_entered_takes_no_step_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, job = training_job(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "add_adapter", killed)
        with pytest.raises(KeyboardInterrupt):
            BODIES["train"](context_of(workspace, job))
    steps = [event for event in jobs.events(workspace, job.id) if event.kind == "progress"]
    result = BODIES["train"](context_of(workspace, job))
    assert [event for event in jobs.events(workspace, job.id) if event.kind == "progress"] == steps
    folder = workspace.adapters / f"job-{job.id}"
    assert load_manifest(folder)
    assert not (folder / "checkpoint.safetensors").exists()
    # The same once more, killed when the adapter was entered and the job did not know yet.
    assert BODIES["train"](context_of(workspace, job))["adapter"] == result["adapter"]
    with workspace.store() as store:
        assert [adapter.id for adapter in training.adapters(store)] == [result["adapter"]]
