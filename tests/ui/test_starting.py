"""What stands above the Train button: memory, time and verdict, and the rows that will be learned."""

import os

import pytest
from gradio_client.exceptions import AppError

from app.device.memory import Room
from app.errors import NothingToTrain
from app.pipeline import forecasting
from app.pipeline.jobs import TrainSettings
from app.ui import strings
from app.ui.personalise import Actions
from app.ui.starting import forecast_view, settings_of
from personal_store import jobs, records
from personal_store.nouns import NewRecord
from tests.ui.conftest import HOSTILE, Page, some_records

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

FIELDS = (3, 16, 8, 0, "paper", 1024)


def test_memory_and_verdict_stand_there_before_the_start(page: Page) -> None:
    some_records(page.workspace)
    forecast, rows = page.client.predict(*FIELDS, api_name="/forecast")
    assert "of memory at its peak" in forecast["headline"]
    assert forecast["tone"] in ("good", "warn", "bad")
    assert "not known yet" in forecast["lines"][0]
    assert forecast["parts"][0][0] == "Libraries"
    assert all(size.endswith(" MB") and reason for _, size, reason in forecast["parts"])
    assert rows["summary"] == "The first 5 of 11 rows that will be learned"
    assert rows["text"] == "No row is cut."


def test_without_records_nothing_is_foretold(page: Page) -> None:
    assert page.client.predict(*FIELDS, api_name="/forecast") == ({}, {})


def test_a_field_that_is_empty_for_a_moment_is_no_error(page: Page) -> None:
    some_records(page.workspace)
    assert page.client.predict(3, None, *FIELDS[2:], api_name="/forecast") == ({}, {})


def test_an_emptied_field_is_named_when_the_training_should_start(page: Page) -> None:
    some_records(page.workspace)
    with pytest.raises(AppError, match=r"needs a number for 'Rank' and 'Tokens at once'; fill it in"):
        page.client.predict(3, None, 8, 0, "quick", None, api_name="/train")


def test_the_first_rows_are_shown_with_what_is_learned_apart(page: Page) -> None:
    with page.workspace.store() as store:
        records.add_records(
            store,
            [NewRecord("title", "word " * 600, HOSTILE, None, "test"), NewRecord("title", "b", "c", None, "test")],
        )
    first, second = page.client.predict(api_name="/training_rows")["rows"]
    assert first["completion"].startswith(HOSTILE)
    assert HOSTILE not in first["prompt"]
    assert (first["cut"], second["cut"]) == (True, False)
    assert (first["tokens"], second["completion"]) == (512, "c<|im_end|>")
    _, rows = page.client.predict(*FIELDS, api_name="/forecast")
    assert rows["text"].startswith("Longer than what is learned at once: 1 row.")


def test_what_does_not_fit_is_said_with_what_to_do(page: Page) -> None:
    some_records(page.workspace)
    view = forecast_view(forecasting.foresee(page.workspace, TrainSettings(), Room("cpu", 100)))
    assert view["tone"] == "bad"
    assert view["headline"].startswith("It does not fit: about ")
    assert "a smaller model" in view["lines"][-1]


def test_the_warning_comes_before_the_start_and_does_not_stop_it(page: Page) -> None:
    said: list[TrainSettings] = []
    with pytest.raises(NothingToTrain):
        Actions(page.services, said.append).train(*FIELDS)
    assert said == [settings_of(*FIELDS)]
    assert said[0].resolved().micro_tokens == 1024


def test_a_probe_beside_a_job_says_why_not(page: Page) -> None:
    some_records(page.workspace)
    with page.workspace.store() as store:
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "running", process_id=os.getpid())
        jobs.heartbeat(store, job.id)
    work = page.client.submit(*FIELDS, api_name="/probe")
    with pytest.raises(Exception, match="wait until it is done"):
        work.result(timeout=60)
    assert strings.BEING_MEASURED in work.outputs()[0]["lines"]
    with page.workspace.store() as store:
        jobs.set_state(store, job.id, "stopped")
