"""From nouns to what is drawn."""

import html
import os
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from app.errors import BadInput
from app.pipeline.forgetting import forget
from app.pipeline.generation import Writer
from app.pipeline.workspace import Workspace, open_workspace
from app.ui import notices, state, theme, views
from app.ui.arriving import augment_view
from app.ui.personalise import examples_view
from app.ui.services import Services
from personal_store import jobs
from personal_store.nouns import JobState
from tests.ui.conftest import HOSTILE, NOWHERE, some_records


@pytest.mark.parametrize(("size", "text"), [(5, "5 bytes"), (93_000_000, "93 MB"), (1_117_320_768, "1.1 GB")])
def test_sizes_read_naturally(size: int, text: str) -> None:
    assert views.bytes_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(40.2, "40 s"), (170, "3 min"), (7500, "2 h 5 min")])
def test_durations_read_naturally(seconds: float, text: str) -> None:
    assert views.duration(seconds) == text


def test_page_beyond_the_end_becomes_the_last() -> None:
    assert views.pages(total=120, page=9, size=50) == {"page": 3, "pages": 3, "total": 120, "first": 101, "last": 120}


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (12, "newest 1 record, with what was made from it, held out"),
        (20, "newest 2 records, with what was made from them, held out"),
    ],
)
def test_what_is_held_out_agrees_with_its_number(tmp_path: Path, count: int, words: str) -> None:
    workspace = open_workspace(tmp_path / "data")
    some_records(workspace, count)
    assert words in examples_view(Services(workspace, NOWHERE, Writer(workspace)))["text"]


def test_long_curve_is_thinned_and_keeps_its_end() -> None:
    drawn = views.curve([(step, 1.0) for step in range(5000)], [], 5000)
    assert drawn is not None
    assert len(drawn["losses"]) < 400
    assert drawn["losses"][-1] == (4999, 1.0)


def test_the_job_that_runs_is_shown_then_the_next_one_then_the_newest(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "data")

    def present() -> int | None:
        job = state.present_job(workspace, "augment")
        return job.id if job else None

    assert present() is None
    with workspace.store() as store:
        first, second, third = (jobs.create_job(store, "augment", {}).id for _ in range(3))
        jobs.create_job(store, "train", {})
        steps: tuple[tuple[int, JobState, int], ...] = (
            (first, "running", first), (first, "stopping", first), (first, "stopped", second),
            (second, "running", second), (second, "done", third), (third, "running", third), (third, "failed", third),
        )  # fmt: skip
        for job_id, state_now, shown in steps:
            jobs.heartbeat(store, job_id)
            jobs.set_state(store, job_id, state_now, process_id=os.getpid())
            assert present() == shown


@pytest.mark.parametrize("ended", ["stopped", "interrupted", "failed"])
def test_a_job_whose_record_was_forgotten_is_shown_with_the_reason_in_place_of_resume(
    tmp_path: Path, ended: JobState
) -> None:
    workspace = open_workspace(tmp_path / "data")
    ids = some_records(workspace)
    with workspace.store() as store:
        job_id = jobs.create_job(store, "augment", {"record_ids": ids[:2]}).id
        jobs.set_state(store, job_id, ended)

    def shown() -> tuple[bool, str]:
        _, resume = state.job_buttons(workspace, state.present_job(workspace, "augment"))
        return resume.visible, augment_view(workspace)["detail"]

    offered, before = shown()
    assert offered
    assert "record" not in before
    forget(workspace, ids[0])
    offered, detail = shown()
    assert not offered
    assert detail.endswith("a record that it began with is gone; preview and approve what is shared now.")


def test_error_becomes_a_note_with_its_sentence_escaped() -> None:
    def refuse() -> None:
        raise BadInput(HOSTILE)

    with pytest.raises(gr.Error) as raised:
        notices.shown(refuse)()
    assert raised.value.message == html.escape(HOSTILE, quote=False)
    assert not raised.value.print_exception


def test_defects_are_not_hidden_behind_a_note() -> None:
    def break_down() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        notices.shown(break_down)()


def test_server_function_answers_with_the_sentence() -> None:
    def refuse(_: object) -> dict[str, object]:
        raise BadInput("One sentence.")

    assert notices.answered(refuse)(None) == {"error": "One sentence."}


def test_theme_brings_no_font_files() -> None:
    made = theme.make_theme()
    assert made._stylesheets == []
    assert "url(" not in "".join(made._font_css)


def test_head_holds_no_address_of_another_host() -> None:
    head = theme.page_head().replace("http://www.w3.org/2000/svg", "")
    assert "http" not in head
    assert "@import" not in head


def test_the_words_that_differ_from_the_original_are_told_and_the_text_is_whole() -> None:
    runs = views.differing("The bus was late, again.", "The coach was late again!")
    assert "".join(text for text, _ in runs) == "The coach was late again!"
    assert [text for text, differs in runs if differs] == ["coach", "!"]
    assert views.differing("anything", "") == []
    assert views.differing("", "${new}") == [["${new}", True]]
    assert views.differing("The bus", "The coach ") == [["The ", False], ["coach", True], [" ", False]]


VERDICT = {
    "metric": "ROUGE-1",
    "higher_is_better": True,
    "held_out": 12,
    "base": {"value": 0.2, "low": 0.1, "high": 0.3},
    "retrieval": {"value": 0.25, "low": 0.15, "high": 0.35},
    "personal": {"value": 0.5, "low": 0.4, "high": 0.6},
    "gain": {"value": 0.3, "low": 0.2, "high": 0.4},
    "verdict": "better",
    "words": "On 12 held-out records it is better than the model without it.",
}


BETTER_LOSS = {"held_out_loss": 1.0, "base_held_out_loss": 2.0}


def train_job(workspace: Workspace, **result: Any) -> None:
    with workspace.store() as store:
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "done", result=result)


def test_the_verdict_stands_in_words_with_three_numbers_and_their_intervals(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    train_job(workspace, activated=True, scores=VERDICT)
    shown = state.train_view(workspace)["verdict"]
    assert (shown["headline"], shown["tone"]) == ("It got better", "good")
    assert "Base 0.20 (0.10 to 0.30)" in shown["text"]
    assert "Personal 0.50 (0.40 to 0.60)" in shown["text"]
    assert shown["go"][0] == "write"
    train_job(workspace, activated=False, scores={**VERDICT, "verdict": "no different"})
    shown = state.train_view(workspace)["verdict"]
    assert (shown["headline"], shown["go"]) == ("No different", None)
    assert "left off" in shown["text"]


def test_of_a_training_that_could_not_be_judged_the_loss_and_the_reason_are_shown(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    train_job(workspace, activated=True, scores={}, unjudged="It could not be judged.", **BETTER_LOSS)
    shown = state.train_view(workspace)["verdict"]
    assert shown["text"].startswith("It could not be judged. On the held-out records")


@pytest.mark.parametrize("measured", [{"scores": VERDICT}, {"scores": {}, **BETTER_LOSS}])
def test_of_a_better_adapter_that_is_off_while_another_model_writes_that_is_said(
    tmp_path: Path, measured: dict[str, Any]
) -> None:
    workspace = open_workspace(tmp_path)
    train_job(workspace, activated=False, helps=True, **measured)
    shown = state.train_view(workspace)["verdict"]
    assert (shown["headline"], shown["go"]) == ("It got better", None)
    assert "off while another model writes" in shown["text"]


def test_scoring_is_shown_with_how_far_it_is(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    with workspace.store() as store:
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "running", process_id=os.getpid())
        jobs.heartbeat(store, job.id)
        jobs.add_event(store, job.id, "scoring", {"done": 3, "answers": 36, "records": 12})
    assert "scoring on 12 held-out records, answer 3 of 36" in str(state.train_view(workspace))


def test_a_job_says_that_it_waits_only_where_another_one_computes(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    with workspace.store() as store:
        first, second = (jobs.create_job(store, "train", {}) for _ in range(2))
        assert state.state_words(workspace, first) == "starting"
        jobs.set_state(store, first.id, "running")
    assert state.state_words(workspace, second) == "waiting for another job to end"
