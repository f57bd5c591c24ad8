"""The Insights tab: what it shows of a workspace, empty or not, and a measuring that is started and stopped."""

import subprocess
import sys
from typing import Any

import pytest
from gradio_client.exceptions import AppError

from app.pipeline import insights
from app.ui import insights as tab
from app.ui import state, strings
from personal_store import generations, jobs, ledger, pairs, training
from personal_store.nouns import NewGeneration
from tests.pipeline.support import usable_adapter
from tests.ui.conftest import Page, some_pairs, some_records

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

POINTS: tuple[dict[str, Any], ...] = (
    {"name": "base", "score": 0.2, "low": 0.1, "high": 0.3},
    {"name": "retrieval", "score": 0.25, "low": 0.15, "high": 0.35},
    {"name": "0", "score": 0.3, "low": 0.2, "high": 0.4, "share": 0.0, "left": 0, "pairs": 0, "examples": 11},
    {"name": "1", "score": 0.5, "low": 0.41, "high": 0.6, "share": 1.0, "left": 4, "pairs": 4, "examples": 15},
)


def shown(page: Page) -> list[Any]:
    return list(page.client.predict(api_name="/insights").values())


def a_curve(
    page: Page,
    points: tuple[dict[str, Any], ...] = POINTS,
    running: bool = False,
    gain: tuple[float, float, float] = (0.2, 0.05, 0.3),
    held_out: int = 12,
) -> int:
    with page.workspace.store() as store:
        job = jobs.create_job(store, "curve", {"task": "title", "seed": 0})
        jobs.heartbeat(store, job.id)
        jobs.set_state(store, job.id, "running", process_id=1)
        jobs.add_event(store, job.id, "progress", {"step": 12, "steps": 40, "seconds_left": 70.0})
        for point in points:
            jobs.add_event(store, job.id, "point", point)
        if not running:
            found = dict(zip(("value", "low", "high"), gain, strict=True))
            told = {"metric": "ROUGE-1", "higher_is_better": True, "held_out": held_out}
            result = {**told, "points": list(points), "gain": found}
            jobs.set_state(store, job.id, "done", result=result)
    return job.id


def test_empty_insights_teach_and_lead_to_where_they_come_from(page: Page) -> None:
    scores, plan, votes, brought = shown(page)
    assert [part["empty"]["go"][0] for part in (scores, votes, brought)] == ["personalise", "write", "share"]
    assert (plan["title"], plan["go"][0]) == (strings.CANNOT_MEASURE, "share")
    assert plan["text"].startswith("There are no records")
    assert tab.curve_view(page.workspace, None)["empty"]["title"] == "Not measured yet"


def test_scores_of_every_adapter_stand_beside_the_bases_oldest_first(page: Page) -> None:
    usable_adapter(page.workspace, 0)
    usable_adapter(page.workspace, 1, held_out_loss=0.5)
    scores = shown(page)[0]
    assert scores["title"] == "Loss, lower is better"
    assert [one["id"] for one in scores["series"]] == ["base", "personal"]
    assert [point["y"] for point in scores["series"][1]["points"]] == [1.0, 0.5]
    assert [row[0] for row in scores["table"]["rows"]] == ["Title 0", "Title 1"]
    assert scores["description"] == "Title 1: Loss 0.50 with the adapter, 2.00 without."


def test_scores_by_the_tasks_metric_come_with_their_intervals(page: Page) -> None:
    usable_adapter(page.workspace, 0)
    told = {
        "metric": "ROUGE-1",
        "higher_is_better": True,
        "base": {"value": 0.2, "low": 0.1, "high": 0.3},
        "retrieval": {"value": 0.3, "low": 0.2, "high": 0.4},
        "personal": {"value": 0.4, "low": 0.3, "high": 0.5},
    }
    usable_adapter(page.workspace, 1, scores=told)
    scores = shown(page)[0]
    assert [one["id"] for one in scores["series"]] == list(insights.SYSTEMS)
    assert scores["table"]["rows"] == [
        ["Title 1", scores["table"]["rows"][0][1], "0.20 (0.10 to 0.30)", "0.30 (0.20 to 0.40)", "0.40 (0.30 to 0.50)"]
    ]


def test_the_curve_says_whether_sharing_made_more_than_chance(page: Page) -> None:
    a_curve(page)
    job = state.present_job(page.workspace, "curve")
    drawn = tab.curve_view(page.workspace, job)
    assert [point["y"] for point in drawn["series"][0]["points"]] == [0.3, 0.5]
    assert [level["id"] for level in drawn["levels"]] == ["base", "retrieval"]
    assert drawn["description"].endswith(strings.CURVE_OUTCOMES["helped"])
    assert [row[:3] for row in drawn["table"]["rows"]][-1] == ["100%", "4", "4"]
    outcomes = strings.CURVE_OUTCOMES
    for gain, words in (((0.1, -0.1, 0.3), outcomes["not apart"]), ((-0.2, -0.3, -0.1), outcomes["hurt"])):
        a_curve(page, gain=gain)
        drawn = tab.curve_view(page.workspace, state.present_job(page.workspace, "curve"))
        assert drawn["description"].endswith(words)
    a_curve(page, held_out=1)
    drawn = tab.curve_view(page.workspace, state.present_job(page.workspace, "curve"))
    assert drawn["description"].endswith("too few records are held out to tell that from luck.")


def test_a_running_measuring_is_in_the_header_and_shows_its_points(page: Page) -> None:
    a_curve(page, POINTS[:3], running=True)
    seen = page.client.predict(api_name="/state")
    (now,) = [fact for fact in seen[0]["facts"] if fact["label"] == "Now"]
    assert (now["value"], round(now["share"], 2)) == ("Measuring, 30%, 70 s left", 0.3)
    assert "about 70 s left" in now["detail"]
    (drawn,) = [part for part in seen if isinstance(part, dict) and part.get("levels")]
    assert drawn["description"] == strings.CURVE_GROWING
    (progress,) = [part for part in seen if isinstance(part, dict) and part.get("title") == "Measuring"]
    assert (progress["done"], progress["total"]) == (30, 100)


def test_measuring_without_pairs_is_refused_and_with_them_is_a_job_that_can_be_stopped(page: Page) -> None:
    ids = some_records(page.workspace)
    with pytest.raises(AppError, match="under Share"):
        page.client.predict(api_name="/measure")
    some_pairs(page.workspace, ids[0])
    plan = shown(page)[1]
    assert plan["title"].startswith("Measuring takes about")
    page.client.predict(api_name="/measure")
    job = state.present_job(page.workspace, "curve")
    assert job is not None
    assert state.is_active(job)
    page.client.predict(api_name="/stop_measuring")
    stopped = state.present_job(page.workspace, "curve")
    assert stopped is not None
    assert stopped.state in ("stopping", "stopped")


def test_votes_are_shown_by_adapter_blind_ones_first(page: Page) -> None:
    adapter = usable_adapter(page.workspace)
    with page.workspace.store() as store:
        for blind, choice in ((True, "after"), (True, "before"), (False, "after")):
            sides = [
                generations.add_generation(store, NewGeneration("title", "x", by, {}, 0, "y", 1, 0.1)).id
                for by in (None, adapter.id)
            ]
            made = generations.add_comparison(store, sides[0], sides[1], blind)
            generations.vote(store, made.id, "after" if choice == "after" else "before")
    rows = shown(page)[2]["rows"]
    assert [row["detail"] for row in rows] == ["blind votes, 2", "open votes, 1"]
    assert [part["count"] for part in rows[0]["parts"]] == [1, 0, 1]
    assert {row["name"] for row in rows} == {"Title 0"}


def test_what_left_is_counted_by_place_and_what_it_brought_by_pair(page: Page) -> None:
    ids = some_records(page.workspace)
    kept, _ = some_pairs(page.workspace, ids[0])
    with page.workspace.store() as store:
        for where, outcome in (
            ("http://127.0.0.1/v1/augment", "sent"),
            ("https://a.example", "sent"),
            ("x", "refused"),
        ):
            ledger.append_upload(store, where, ids[:2], 1500, "a" * 64, outcome)
        learned = training.save_training_set(store, ids[:3], (kept,), (), 0, "h")
        job = jobs.create_job(store, "train", {})
        training.add_adapter(store, "mine", "f", "base", learned.id, job.id, {})
        assert len(pairs.find_pairs(store)) == 2
    brought = shown(page)[3]
    assert [step["count"] for step in brought["steps"]] == [2, 2, 1, 1]
    assert brought["steps"][0]["detail"] == "3.0 kB"
    assert brought["steps"][3]["detail"] == "mine"
    assert [row[:3] for row in brought["table"]["rows"]] == [
        ["http://127.0.0.1/v1/augment", "1", "2"],
        ["https://a.example", "1", "2"],
    ]


@pytest.mark.slow
def test_the_tab_brings_no_heavy_import() -> None:
    code = "import sys, app.ui.insights; print({'torch', 'transformers', 'bm25s', 'peft'} & {*sys.modules})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
