"""The Write tab, driven by the names of its actions, with a random adapter of the tiny model."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client.client import Job
from gradio_client.exceptions import AppError

from app.errors import AdapterRefused
from app.pipeline import comparison
from app.pipeline.cleaning import clean
from app.pipeline.generation import Draft
from app.pipeline.tasks import make_task
from app.ui import strings
from app.ui.comparing import task_choices
from app.ui.talking import NO_CONVERSATION
from app.ui.write import note_view
from personal_store import generations, jobs, records
from personal_store.nouns import NewRecord, RecordQuery, Votes
from tests.pipeline.support import usable_adapter
from tests.tiny import tiny_gguf
from tests.ui.conftest import Page, some_records

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def write(page: Page, blind: bool = False, look_up: bool = False, api_name: str = "/write") -> tuple[Any, int]:
    asked = ("A note on the river.", "title", blind, look_up)
    answers, comparison_id, *_ = page.client.predict(*asked, api_name=api_name)
    return answers, comparison_id


def test_both_answers_stream_and_the_words_that_differ_come_with_them(page: Page) -> None:
    usable_adapter(page.workspace)
    work = page.client.submit("A note on the river.", "title", False, False, api_name="/write")
    work.result()
    steps = work.outputs()
    assert len(steps) > 1
    assert [side["waiting"] for side in steps[0][0]["sides"]] == [True, True]
    before, after = steps[-1][0]["sides"]
    assert (before["adapter"], after["adapter"]) == ("no adapter", "Title 0")
    assert "".join(run for run, _ in after["runs"]) == after["text"]
    assert any(differs for _, differs in after["runs"])
    assert not before["waiting"]


def test_both_answers_say_what_of_a_long_text_had_no_room(page: Page) -> None:
    usable_adapter(page.workspace)
    answers, *_ = page.client.predict("word " * 4000, "title", False, False, api_name="/write")
    assert all(side["speed"].endswith("; no room for the end of your text") for side in answers["sides"])
    short, _ = write(page)
    assert not any("no room" in side["speed"] for side in short["sides"])


def test_writing_again_gives_other_answers(page: Page) -> None:
    usable_adapter(page.workspace)
    first, _ = write(page)
    again, _ = write(page, api_name="/write_again")
    assert [side["text"] for side in first["sides"]] != [side["text"] for side in again["sides"]]
    third, _ = write(page, api_name="/write_again")
    assert [side["text"] for side in third["sides"]] != [side["text"] for side in again["sides"]]


def test_blind_answers_say_nothing_of_themselves_until_the_vote(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = usable_adapter(page.workspace)
    monkeypatch.setattr(comparison, "coin", lambda: True)
    shown, comparison_id = write(page, blind=True)
    assert [side["title"] for side in shown["sides"]] == [strings.ANSWER_A, strings.ANSWER_B]
    for side in shown["sides"]:
        assert (side["adapter"], side["speed"], side["answer"], side["chosen"]) == ("", "", None, False)
    revealed = page.client.predict(comparison_id, api_name="/vote_first")
    assert [side["title"] for side in revealed["sides"]] == ["After", "Before"]
    assert [side["adapter"] for side in revealed["sides"]] == ["Title 0", "no adapter"]
    assert [side["chosen"] for side in revealed["sides"]] == [True, False]
    with page.workspace.store() as store:
        assert generations.count_votes(store) == (Votes(adapter.id, True, 0, 0, 1),)


def test_an_open_vote_is_counted_apart(page: Page) -> None:
    adapter = usable_adapter(page.workspace)
    _, comparison_id = write(page)
    page.client.predict(comparison_id, api_name="/vote_first")
    with page.workspace.store() as store:
        assert generations.count_votes(store) == (Votes(adapter.id, False, 1, 0, 0),)


def test_voting_before_there_is_an_answer_says_what_to_do(page: Page) -> None:
    with pytest.raises(AppError, match="press Write"):
        page.client.predict(None, api_name="/vote_same")


def test_the_page_votes_on_the_comparison_that_it_shows(page: Page) -> None:
    adapter = usable_adapter(page.workspace)
    write(page)
    page.client.predict(None, api_name="/vote_second")
    with page.workspace.store() as store:
        assert generations.count_votes(store) == (Votes(adapter.id, False, 0, 0, 1),)


def test_an_answer_is_kept_once_and_an_edited_one_as_edited(page: Page) -> None:
    usable_adapter(page.workspace)
    shown, _ = write(page)
    answer = shown["sides"][1]
    assert page.client.predict(answer["answer"], "", api_name="/keep_answer")["message"] == strings.KEPT
    assert page.client.predict(answer["answer"], "", api_name="/keep_answer")["message"] == strings.KEPT_BEFORE
    page.client.predict(answer["answer"], "the river, again", api_name="/keep_answer")
    with page.workspace.store() as store:
        kept = records.find_records(store, RecordQuery(order="imported")).records
    assert [record.output for record in kept] == [clean(answer["text"]).strip(), "the river, again"]
    assert not any(record.shared for record in kept)


def test_tasks_of_ones_own_have_a_panel(page: Page) -> None:
    make_task(page.workspace, "mood", "Which mood? {input}", answer="label", labels=("good", "bad"))
    text, _ = page.client.predict("rating", api_name="/choose_task")
    assert text["label"] == strings.TASK_TEXTS["rating"][0]
    assert task_choices(page.workspace)[-1] == ("mood", "mood")
    assert "chat" not in [name for _, name in task_choices(page.workspace)]


def test_texts_to_try_are_the_newest_records(page: Page) -> None:
    some_records(page.workspace)
    _, samples = page.client.predict("title", api_name="/choose_task")
    assert samples["texts"][0].startswith("Hostile")


def test_conversation_answers_again_and_gives_a_message_back(page: Page) -> None:
    first, _ = page.client.predict("Good morning", False, api_name="/chat")
    again, _ = page.client.predict(False, api_name="/chat_again")
    assert [turn["role"] for turn in again["messages"]] == ["user", "model"]
    assert again["messages"][1]["text"] != first["messages"][1]["text"]
    emptied, message = page.client.predict(api_name="/chat_edit")
    assert (emptied["messages"], message) == ([], "Good morning")
    with pytest.raises(AppError, match="write one first"):
        page.client.predict(api_name="/chat_edit")


def slowly(*asked: Any, **named: Any) -> Iterator[Draft]:
    """An answer that takes two seconds."""
    for count in range(1, 14):
        time.sleep(0.15)
        yield Draft("word " * count, None, None, None, "tiny", count, 0.1 * count)


def growing(page: Page, message: str) -> Job:
    """A message to which the answer has begun."""
    work = page.client.submit(message, False, api_name="/chat")
    while len(work.outputs()) < 3:
        time.sleep(0.02)
    return work


def test_what_is_typed_while_an_answer_grows_stays(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.services.writer, "stream", slowly)
    work = growing(page, "Good morning")
    work.result()
    first, *later = [field for _, field in work.outputs()]
    assert first == ""
    assert len(later) > 3
    assert all(field != "" for field in later)


def test_a_new_conversation_stays_empty_while_an_answer_grows(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.services.writer, "stream", slowly)
    work = growing(page, "Good morning")
    assert page.client.predict(api_name="/new_conversation")["messages"] == []
    drawn = len(work.outputs())
    work.result()
    assert len(work.outputs()) <= drawn + 1
    with pytest.raises(AppError, match="write one first"):
        page.client.predict(api_name="/chat_edit")


def test_a_message_is_taken_back_while_its_answer_grows(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.services.writer, "stream", slowly)
    work = growing(page, "Good morning")
    emptied, message = page.client.predict(api_name="/chat_edit")
    assert (emptied["messages"], message) == ([], "Good morning")
    work.result()
    with pytest.raises(AppError, match="write one first"):
        page.client.predict(api_name="/chat_edit")


def test_a_message_without_an_answer_comes_back_and_leaves_no_turn(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*asked: Any, **named: Any) -> Iterator[Draft]:
        yield from ()
        raise AdapterRefused("It does not fit.")

    page.client.predict("First", False, api_name="/chat")
    monkeypatch.setattr(page.services.writer, "stream", refuse)
    work = page.client.submit("Second", False, api_name="/chat")
    with pytest.raises(AppError, match="does not fit"):
        work.result()
    talk, _ = work.outputs()[-1]
    assert ([turn["text"] for turn in talk["messages"]][:1], len(talk["messages"])) == (["First"], 2)
    assert talk["unanswered"] == "Second"
    work = page.client.submit(False, api_name="/chat_again")
    with pytest.raises(AppError, match="does not fit"):
        work.result()
    assert "unanswered" not in work.outputs()[-1][0]
    assert page.client.predict(api_name="/chat_edit") == (NO_CONVERSATION, "First")


def test_answers_of_the_conversation_can_be_kept(page: Page) -> None:
    talk, _ = page.client.predict("Good evening", False, api_name="/chat")
    page.client.predict(talk["messages"][1]["answer"], "Good evening to you", api_name="/keep_answer")
    with page.workspace.store() as store:
        (record,) = records.find_records(store, RecordQuery()).records
    assert (record.task, record.input, record.output) == ("chat", "Good evening", "Good evening to you")
    page.client.predict(api_name="/new_conversation")


def test_the_note_says_that_there_is_no_adapter_and_where_to_get_one(page: Page) -> None:
    assert note_view(page.services)["go"][0] == "personalise"
    usable_adapter(page.workspace)
    assert note_view(page.services) == {}


def test_the_note_says_that_no_adapter_is_for_this_model(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usable_adapter(page.workspace)
    monkeypatch.setenv("CDCDA_DEVICE_MODEL", str(tiny_gguf(tmp_path, "qwen2", 1)))
    assert note_view(page.services)["title"] == strings.NO_ADAPTER_FOR_THIS_MODEL[0]
    monkeypatch.setenv("CDCDA_DEVICE_MODEL", str(tmp_path / "gone.gguf"))
    assert note_view(page.services)["title"] == strings.NO_MODEL


def test_chat_works_while_a_training_runs_and_says_that_it_is_slower(page: Page) -> None:
    with page.workspace.store() as store:
        job = jobs.create_job(store, "train", {})
        jobs.heartbeat(store, job.id)
        jobs.set_state(store, job.id, "running", process_id=1)
    assert note_view(page.services)["title"] == "Training is under way"
    talk, _ = page.client.predict("Good morning", False, api_name="/chat")
    assert talk["messages"][1]["answer"]
    page.client.predict(api_name="/new_conversation")


def test_records_that_are_looked_up_are_shown_as_what_was_added(page: Page) -> None:
    usable_adapter(page.workspace)
    nothing, _ = write(page, look_up=True)
    assert nothing["added"] == {"title": strings.NOTHING_LOOKED_UP, "rows": []}
    some_records(page.workspace)
    shown, comparison_id = write(page, look_up=True)
    outputs = [row["output"] for row in shown["added"]["rows"]]
    assert len(outputs) == 4
    assert all(output.startswith("river: note") for output in outputs)
    assert page.client.predict(comparison_id, api_name="/vote_same")["added"] == shown["added"]
    without, _ = write(page)
    assert "added" not in without


def test_looking_up_for_a_message_takes_records_of_conversations(page: Page) -> None:
    with page.workspace.store() as store:
        records.add_records(store, [NewRecord("chat", "Where is the river?", "Behind the mill.", None, "test")])
    talk, _ = page.client.predict("Where is the river", True, api_name="/chat")
    assert talk["messages"][1]["detail"].endswith("1 of your records in the prompt")
    page.client.predict(api_name="/new_conversation")
