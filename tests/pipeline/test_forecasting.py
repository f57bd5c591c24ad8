import dataclasses
import os
from pathlib import Path

import pytest

from app.device.catalogue import find_model
from app.device.memory import Room
from app.device.rendering import render_example
from app.device.tokenising import open_tokeniser
from app.errors import JobRefused, NothingToTrain
from app.pipeline import forecasting, probing, rows
from app.pipeline.dataset import gather
from app.pipeline.jobs import TrainSettings
from app.pipeline.workspace import Workspace, open_workspace
from personal_store import jobs, records
from personal_store.nouns import NewRecord
from tests.pipeline.support import workspace_with
from tests.tiny import tiny_gguf

PLENTY, LITTLE = Room("cpu", 100_000), Room("cpu", 100)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(tiny_gguf(tmp_path))


@pytest.fixture
def chosen(model: str) -> TrainSettings:
    return TrainSettings(model=model)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Twelve records, one of them far longer than what is learned at once."""
    made, _ = workspace_with(tmp_path / "data", 11)
    with made.store() as store:
        records.add_records(store, [NewRecord("title", "long " * 400, "Long", "2024-01-01", "test")])
    return made


def trained(workspace: Workspace, chosen: TrainSettings, tokens_per_second: float = 100.0) -> None:
    """A training of that model as its job reports it."""
    name = Path(chosen.model or "").stem
    with workspace.store() as store:
        job = jobs.create_job(store, "train", dataclasses.asdict(chosen))
        jobs.set_state(store, job.id, "running", process_id=os.getpid())
        jobs.add_event(store, job.id, "gathered", {})
        jobs.add_event(store, job.id, "started", {"model": name, "settings": dataclasses.asdict(chosen.resolved())})
        jobs.add_event(store, job.id, "progress", {"tokens_per_second": tokens_per_second})
        for done in range(3):
            jobs.add_event(store, job.id, "scoring", {"done": done})
        jobs.set_state(store, job.id, "done", result={})


def test_the_lengths_are_those_of_the_rows_that_will_be_learned(workspace: Workspace, model: str) -> None:
    data, tokeniser = gather(workspace), open_tokeniser(find_model(model, workspace.models))
    lengths = forecasting.measure(tokeniser, data, 512)
    learned = [render_example(tokeniser, data.task, text.input, text.output, 512) for text in data.texts]
    assert [tuple(map(len, dataclasses.astuple(example))) for example in lengths.examples] == [
        (len(example.prompt_ids), len(example.completion_ids)) for example in learned
    ]
    assert lengths.cut == 1
    assert [row.cut for row in rows.first_rows(workspace, 12, model=model)].count(True) == 1


def test_a_sample_of_very_many_texts_counts_for_all(
    workspace: Workspace, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, tokeniser = gather(workspace), open_tokeniser(find_model(model, workspace.models))
    whole = forecasting.measure(tokeniser, data, 512)
    monkeypatch.setattr(forecasting, "MOST_MEASURED", 8)
    sampled = forecasting.measure(tokeniser, data, 512)
    assert len(sampled.examples) < len(whole.examples) == sampled.count
    assert sampled.cut == whole.cut
    assert sampled.tokens == pytest.approx(whole.tokens, rel=0.05)
    longest = [max(len(example.prompt_ids) for example in lengths.examples) for lengths in (whole, sampled)]
    assert longest[0] == longest[1]


def test_a_verdict_says_what_to_do_and_a_warning_only_where_it_does_not_fit(
    workspace: Workspace, chosen: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = forecasting.foresee(workspace, chosen, PLENTY)
    assert (found.fit, found.advice, found.examples, found.held_out) == ("fits", "", 11, 1)
    assert forecasting.in_words(found).startswith("It fits: about ")
    none = forecasting.foresee(workspace, chosen, LITTLE)
    assert none.fit == "does not fit"
    assert "a smaller model" in none.advice
    monkeypatch.setattr(forecasting, "find_room", lambda: LITTLE)
    assert forecasting.warning(workspace, chosen).startswith("It does not fit: about ")
    monkeypatch.setattr(forecasting, "find_room", lambda: PLENTY)
    assert forecasting.warning(workspace, chosen) == ""


def test_where_nf4_cannot_be_had_the_forecast_says_so_and_counts_on_it(
    workspace: Workspace, chosen: TrainSettings
) -> None:
    found, usual = (forecasting.foresee(workspace, chosen, Room(device, 100_000)) for device in ("mps", "cpu"))
    assert "NF4 weights are not available on Apple GPUs" in forecasting.in_words(found)
    assert found.memory.weights.megabytes > usual.memory.weights.megabytes
    assert (usual.less, forecasting.in_words(usual)[-5:]) == ("", "free.")


def test_fewer_tokens_at_once_are_proposed_where_they_fit(tmp_path: Path) -> None:
    workspace, chosen = open_workspace(tmp_path / "data"), TrainSettings()
    with workspace.store() as store:
        texts = [f"Note {number} " + "of the river " * 50 for number in range(8)]
        records.add_records(store, [NewRecord("title", text, "Title", None, "test") for text in texts])
    (workspace.prepared / "SmolLM2-135M-Instruct.Q4_1-0").mkdir()
    usual = forecasting.foresee(workspace, chosen, PLENTY).memory.peak_mb
    found = forecasting.foresee(workspace, chosen, Room("cpu", usual))
    assert found.fit == "tight"
    lower = dataclasses.replace(chosen, micro_tokens=64)
    least = forecasting.foresee(workspace, lower, PLENTY).memory.peak_mb
    assert least < usual
    assert "tokens at once" in forecasting.foresee(workspace, chosen, Room("cpu", least * 1.2 + 1)).advice


def test_the_time_is_known_after_a_training_of_the_same_model(workspace: Workspace, chosen: TrainSettings) -> None:
    before = forecasting.foresee(workspace, chosen, PLENTY)
    assert before.seconds is None
    assert "not known yet" in forecasting.time_in_words(before)
    trained(workspace, chosen)
    after = forecasting.foresee(workspace, chosen, PLENTY)
    assert after.speed
    assert after.speed.tokens_per_second == 100
    assert "100 tokens/s of your last training" in forecasting.time_in_words(after)
    once = forecasting.foresee(workspace, dataclasses.replace(chosen, epochs=1), PLENTY)
    assert once.seconds
    assert after.seconds
    assert once.seconds < after.seconds / 2
    other = dataclasses.replace(chosen, rank=8)
    assert forecasting.foresee(workspace, other, PLENTY).seconds is None


def test_the_newest_training_says_the_speed(workspace: Workspace, chosen: TrainSettings) -> None:
    trained(workspace, chosen, 50.0)
    trained(workspace, chosen, 200.0)
    speed = forecasting.foresee(workspace, chosen, PLENTY).speed
    assert speed
    assert speed.tokens_per_second == 200


def test_a_training_of_an_earlier_version_says_no_speed_and_no_error(
    workspace: Workspace, chosen: TrainSettings
) -> None:
    with workspace.store() as store:
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "running", process_id=os.getpid())
        jobs.add_event(store, job.id, "started", {"examples": 130})
        jobs.add_event(store, job.id, "progress", {"tokens_per_second": 90.0})
        jobs.set_state(store, job.id, "done")
    assert forecasting.foresee(workspace, chosen, PLENTY).seconds is None


@pytest.mark.slow
def test_a_probe_takes_real_steps_leaves_no_adapter_and_is_remembered(
    workspace: Workspace, chosen: TrainSettings
) -> None:
    found = probing.probe(workspace, chosen)
    assert found.tokens_per_second > 0
    assert found.peak_memory_mb > 100
    speed = forecasting.foresee(workspace, chosen, PLENTY).speed
    assert speed
    assert (speed.source, speed.tokens_per_second) == ("probe", found.tokens_per_second)
    assert not list(workspace.adapters.iterdir())
    assert not list(workspace.prepared.glob(".preparing-*"))
    with workspace.store() as store:
        assert jobs.list_jobs(store) == ()


def test_a_probe_beside_a_job_is_refused(workspace: Workspace, chosen: TrainSettings) -> None:
    with workspace.store() as store:
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "running", process_id=os.getpid())
        jobs.heartbeat(store, job.id)
    with pytest.raises(JobRefused, match="wait until it is done"):
        probing.probe(workspace, chosen)


def test_what_a_probe_cannot_do_is_its_own_sentence() -> None:
    with pytest.raises(JobRefused, match="No room"):
        probing._read('{"error": "No room."}')
    with pytest.raises(JobRefused, match="without a result"):
        probing._read("")


def test_nothing_to_learn_is_the_sentence_of_the_training(tmp_path: Path, chosen: TrainSettings) -> None:
    empty = open_workspace(tmp_path / "empty")
    with pytest.raises(NothingToTrain):
        forecasting.foresee(empty, chosen)
    assert forecasting.warning(empty, chosen) == ""
