"""What the page answers when it is driven by the names of its actions."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from app.pipeline import editing, estimating, sharing, tasks
from app.ui import share, strings
from app.ui.page import build_ui
from personal_store import records
from tests.cloud_stub.fakes import TOKEN
from tests.cloud_stub.test_bases import offering
from tests.device.random_base import random_base
from tests.tiny import tiny_gguf
from tests.ui.conftest import Page, some_pairs, some_records

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def facts(state: Any) -> dict[str, str]:
    return {fact["label"]: fact["value"] for fact in state[0]["facts"]}


def history_file(folder: Path, rows: int = 6) -> Path:
    path = folder / "history.csv"
    lines = [f'2024-01-0{row + 1},"What happened on day {row}, in short.",day {row}' for row in range(rows)]
    path.write_text("\n".join(["date,abstract,title", *lines]), encoding="utf-8")
    return path


def test_header_says_where_the_cloud_is_and_what_runs(page: Page) -> None:
    said = facts(page.client.predict(api_name="/state"))
    assert said["Cloud"] == "This computer"
    assert said["Adapter"] == "None"
    assert said["Now"] == "Nothing is running"


def test_header_names_the_host_of_a_service_elsewhere(page: Page) -> None:
    page.client.predict("https://service.example", "token", api_name="/set_cloud")
    assert facts(page.client.predict(api_name="/state"))["Cloud"] == "service.example"


def test_header_says_offline(page: Page) -> None:
    page.client.predict("https://service.example", "token", api_name="/set_cloud")
    page.client.predict(True, api_name="/set_offline")
    assert "Offline" in facts(page.client.predict(api_name="/state"))["Cloud"]


def test_file_is_previewed_then_imported(page: Page, tmp_path: Path) -> None:
    given = handle_file(str(history_file(tmp_path)))
    preview, task, input_column, output_column, date_column = page.client.predict(
        [given], "", "", api_name="/preview_history"
    )
    assert "6 usable records" in preview["summary"]
    chosen = [task["value"], input_column["value"], output_column["value"], date_column["value"]]
    assert chosen == ["title", "abstract", "title", "date"]
    report = page.client.predict([given], "", "", *chosen, api_name="/import_history")
    assert report["headline"] == "6 imported."
    assert page.client.predict("", "", "newest", "", api_name="/find_records")["rows"][0]["output"] == "day 5"


def test_importing_twice_says_so(page: Page) -> None:
    page.client.predict(api_name="/import_sample")
    report = page.client.predict(api_name="/import_sample")
    assert re.fullmatch(r"0 imported, \d+ already there\.", report["headline"])
    assert page.client.predict("", "", "newest", "", api_name="/find_records")["total"] >= 80


def test_unusable_file_is_refused_with_one_sentence(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("")
    with pytest.raises(AppError) as refused:
        page.client.predict([handle_file(str(path))], "", "", api_name="/preview_history")
    assert "Traceback" not in str(refused.value)
    assert str(refused.value).strip().endswith(".")


def test_search_finds_by_words_and_an_empty_result_says_what_to_do(page: Page) -> None:
    some_records(page.workspace)
    assert page.client.predict("hostile", "", "newest", "", api_name="/find_records")["total"] == 1
    nothing = page.client.predict("zeppelin", "", "newest", "", api_name="/find_records")
    assert nothing["empty"]["title"] == "Nothing matches"


def test_forgotten_record_is_gone(page: Page) -> None:
    first, second, *_ = some_records(page.workspace)
    assert "rchives" not in page.client.predict(first, api_name="/forget_record")["message"]
    archive = page.client.predict(api_name="/export")["text"].split(",")[0]
    assert archive in page.client.predict(second, api_name="/forget_record")["message"]
    with page.workspace.store() as store:
        assert records.count_records(store).total == 10


def test_hand_outranks_the_slider(page: Page) -> None:
    ids = some_records(page.workspace)
    page.client.predict([ids[0]], True, api_name="/share_records")
    page.client.predict([ids[-1]], False, api_name="/share_records")
    page.client.predict(0.25, "newest", 0, "", api_name="/propose")
    shared = sharing.shared_now(page.workspace).shared
    assert ids[0] in shared
    assert ids[-1] not in shared


def test_share_none_unticks_everything(page: Page) -> None:
    ids = some_records(page.workspace)
    page.client.predict(list(ids), True, api_name="/share_records")
    assert page.client.predict("", api_name="/share_none")["shared"] == 0


def test_preview_shows_the_very_bytes_and_the_place_that_the_hash_is_of(page: Page) -> None:
    import hashlib

    ids = some_records(page.workspace)
    page.client.predict(list(ids[:3]), True, api_name="/share_records")
    shown, approval = page.client.predict(5, "", api_name="/preview_payload")[:2]
    told = {fact["label"]: fact["value"] for fact in shown["facts"]}
    assert set(told) == {"Goes to", "Records", "Size", "Task", "Asks for", "Estimate", "SHA-256 of the body"}
    assert told["Asks for"].startswith("5 new pairs for each record, asked for in the form that suits")
    assert hashlib.sha256(shown["exact"].encode()).hexdigest() == shown["sha256"] == told["SHA-256 of the body"]
    assert hashlib.sha256(f"{told['Goes to']}\n{shown['sha256']}\n".encode()).hexdigest() == approval
    assert len(shown["exact"].encode()) == shown["bytes"]


def test_preview_without_shared_records_says_what_to_do(page: Page) -> None:
    some_records(page.workspace)
    with pytest.raises(AppError, match="shar"):
        page.client.predict(5, "", api_name="/preview_payload")


def test_approval_of_another_hash_is_refused_and_starts_nothing(page: Page) -> None:
    ids = some_records(page.workspace)
    page.client.predict(list(ids[:3]), True, api_name="/share_records")
    with pytest.raises(AppError, match="approve"):
        page.client.predict("0" * 64, 5, "", api_name="/approve")
    assert facts(page.client.predict(api_name="/state"))["Now"] == "Nothing is running"


def test_review_shows_verdicts_with_reasons_and_scores(page: Page) -> None:
    some_pairs(page.workspace, some_records(page.workspace)[0])
    cards = page.client.predict("all", api_name="/list_pairs")["cards"]
    assert [card["verdict"] for card in cards] == ["kept", "rejected"]
    assert cards[1]["reasons"]
    assert [score["good"] for score in cards[1]["scores"]] == [False, True, True, True]


def test_thresholds_judge_again_at_once(page: Page) -> None:
    some_pairs(page.workspace, some_records(page.workspace)[0])
    judged = page.client.predict(0.05, 0.8, 0.5, 2, "kept", api_name="/judge")
    assert judged["total"] == 2
    assert judged["counts"].startswith("2 of 2 pairs kept")


def test_all_pairs_of_a_filter_are_decided_in_one_step_that_undo_takes_back(page: Page) -> None:
    some_pairs(page.workspace, some_records(page.workspace)[0])
    decided = page.client.predict("rejected", "accepted", api_name="/decide_shown")
    assert decided["total"] == 0
    assert decided["counts"].startswith("2 of 2 pairs kept")
    assert page.client.predict("rejected", api_name="/undo")["total"] == 1


def test_histograms_count_every_pair_and_carry_the_thresholds(page: Page) -> None:
    some_pairs(page.workspace, some_records(page.workspace)[0])
    shown = page.client.predict(0.25, 0.7, 0.5, 2, "kept", api_name="/judge")["histograms"]
    assert [sum(chart["counts"]) for chart in shown] == [2, 2, 2]
    assert [chart["marks"] for chart in shown] == [[0.25], [0.7], [0.5, 2]]


def test_decision_outranks_the_filters_and_can_be_undone(page: Page) -> None:
    kept, rejected = some_pairs(page.workspace, some_records(page.workspace)[0])
    page.client.predict(kept, "rejected", api_name="/decide")
    answer = page.client.predict(rejected, "edited", "my own words", api_name="/decide")
    assert answer["card"]["synthetic"]["output"] == "my own words"
    assert answer["card"]["kept"]
    with pytest.raises(AppError, match="The input has 1 to"):
        page.client.predict(rejected, "edited", "my own words", "", api_name="/decide")
    undone = page.client.predict("all", api_name="/undo")["cards"]
    assert [card["kept"] for card in undone] == [False, False]


def test_training_without_records_is_refused(page: Page) -> None:
    with pytest.raises(AppError, match=r"records"):
        page.client.predict(1, 4, 8, 0, "paper", api_name="/train")


def test_a_preset_fills_in_the_fields_that_it_decides(page: Page) -> None:
    assert page.client.predict("quick", api_name="/preset") == (1, 16, 8)
    assert page.client.predict("careful", api_name="/preset") == (10, 16, 8)


def test_writing_without_an_adapter_says_to_train(page: Page) -> None:
    with pytest.raises(AppError, match=r"adapter"):
        page.client.predict("A text.", "title", False, False, api_name="/write")


def test_chat_streams_with_the_base_model_when_no_adapter_is_on(page: Page) -> None:
    talk, _ = page.client.predict("Good morning", False, api_name="/chat")
    assert [message["role"] for message in talk["messages"]] == ["user", "model"]
    assert talk["messages"][1]["detail"].startswith("no adapter")


def test_every_action_has_a_name(page: Page) -> None:
    named = page.client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert not [name for name in named if re.search(r"lambda|_\d+$", name)]
    assert {"/import_sample", "/propose", "/approve", "/judge", "/train", "/write", "/chat", "/doctor"} <= set(named)


def test_page_asks_no_other_host_and_shows_no_stack_trace(page: Page) -> None:
    config = page.client.config
    assert config["stylesheets"] == []
    assert not config["show_error"]
    assert "http" not in config["theme"]


def test_a_base_is_listed_and_chosen_for_its_task(page: Page, tmp_path: Path) -> None:
    random_base(page.workspace.bases, tiny_gguf(tmp_path), "mine")
    rows = page.client.predict(api_name="/state")[-1]["rows"]
    (mine,) = [row for row in rows if row["name"] == "mine"]
    assert (mine["here"], mine["pull"], mine["state"]) == (True, False, "On this computer")
    assert "ROUGE-1 0.10 without and 0.30 with it" in mine["detail"]
    assert "CC0" in mine["licence"]
    assert "mine" in [name for _, name in page.client.predict("title", api_name="/base_choices")["choices"]]
    page.client.predict("title", "mine", api_name="/use_base")
    assert page.client.predict("title", api_name="/base_choices")["value"] == "mine"
    assert "mine" not in [name for _, name in page.client.predict("chat", api_name="/base_choices")["choices"]]


def test_bases_of_the_service_are_listed_and_fetched(page: Page, tmp_path: Path) -> None:
    random_base(tmp_path / "offered", tiny_gguf(tmp_path), "theirs")
    with offering(tmp_path / "offered") as url:
        page.client.predict(url, TOKEN, api_name="/set_cloud")
        rows = page.client.predict(api_name="/look_for_bases")["rows"]
        assert [(row["pull"], row["state"]) for row in rows if row["name"] == "theirs"] == [(True, "")]
        page.client.predict("theirs", api_name="/pull_base")
        until = time.monotonic() + 20
        while not (page.workspace.bases / "theirs" / "manifest.json").is_file() and time.monotonic() < until:
            time.sleep(0.1)
    rows = page.client.predict(api_name="/state")[-1]["rows"]
    assert [(row["here"], row["pull"]) for row in rows if row["name"] == "theirs"] == [(True, False)]


def test_pasted_notes_and_changed_columns_are_previewed_and_imported(page: Page) -> None:
    text = "headline\tbody\tother\nThe lane\tIt flooded on Monday night.\tThe ford\n"
    before = page.client.predict(None, text, "", api_name="/preview_pasted")
    assert [part["value"] for part in before[1:5]] == ["headline", "body", "headline", ""]
    chosen = ("title", "body", "other", "")
    after = page.client.predict(None, text, "", *chosen, api_name="/preview_output")
    assert after[0]["rows"] == [["It flooded on Monday night.", "The ford", ""]]
    assert page.client.predict(None, text, "", *chosen, api_name="/import_history")["headline"] == "1 imported."


def test_records_are_written_changed_deleted_and_brought_back(page: Page) -> None:
    def rows() -> list[Any]:
        found: list[Any] = page.client.predict("", "", "newest", "", api_name="/find_records")["rows"]
        return found

    texts = {"action": "write", "task": "title", "input": "It flooded.", "output": "The lane"}
    page.client.predict(texts, api_name="/change_records")
    (record,) = rows()
    assert (record["output"], record["shared"], record["sent"]) == ("The lane", False, "never sent")
    page.client.predict({**texts, "ids": [record["id"]], "output": "The ford"}, api_name="/change_records")
    assert rows()[0]["output"] == "The ford"
    page.client.predict({"action": "delete", "ids": [record["id"]]}, api_name="/change_records")
    assert rows() == []
    for expected in ([("The ford",)], [("The lane",)], []):
        page.client.predict({"action": "undo"}, api_name="/change_records")
        assert [(row["output"],) for row in rows()] == expected


def test_what_looks_personal_is_marked_found_and_not_shared_in_bulk(page: Page) -> None:
    texts = {"action": "write", "task": "title", "input": "Write to jo@example.org", "output": "The dog"}
    page.client.predict(texts, api_name="/change_records")
    some_records(page.workspace)
    (marked,) = page.client.predict("", "", "newest", "sensitive", api_name="/find_records")["rows"]
    assert marked["findings"] == ["e-mail address"]
    with pytest.raises(AppError, match=r"jo@example\.org"):
        page.client.predict({"action": "share", "ids": [marked["id"]]}, api_name="/change_records")
    assert sharing.shared_now(page.workspace).shared == ()


def test_what_looks_personal_is_shared_by_name_when_the_confirmation_names_it(page: Page) -> None:
    texts = {"action": "write", "task": "title", "input": "Write to jo@example.org", "output": "The dog"}
    page.client.predict(texts, api_name="/change_records")
    (marked,) = page.client.predict("", "", "newest", "sensitive", api_name="/find_records")["rows"]
    ids = [marked["id"]]
    found = page.client.predict(ids, api_name="/found_in_records")
    assert found == [[marked["id"], "e-mail address", "jo@example.org"]]
    other = [[marked["id"], "e-mail address", "ann@example.org"]]
    for given in ((), ("", found), ("confirmed",), ("confirmed", other)):
        with pytest.raises(AppError, match=r"jo@example\.org"):
            page.client.predict(ids, True, *given, api_name="/share_records")
    with pytest.raises(AppError, match="list of lists"):
        page.client.predict(ids, True, "confirmed", [["jo@example.org"]], api_name="/share_records")
    assert sharing.shared_now(page.workspace).shared == ()
    page.client.predict(ids, True, "redacted", api_name="/share_records")
    assert "jo@" not in page.client.predict(1, "", api_name="/preview_payload")[0]["exact"]
    page.client.predict(ids, True, "confirmed", found, api_name="/share_records")
    assert "jo@" in page.client.predict(1, "", api_name="/preview_payload")[0]["exact"]


def test_a_box_is_ticked_once_what_was_shown_is_what_is_found(page: Page) -> None:
    record = editing.add(page.workspace, "title", "Write to jo@example.org", "The dog")
    tick = share.Actions(page.services).set_shared
    asked = tick([record.id, True, "", []])["ask"]
    assert asked["things"] == [["e-mail address", "jo@example.org"]]
    editing.edit(page.workspace, record.id, input="Write to ann@example.org")
    again = tick([record.id, True, "confirmed", asked["things"]])
    assert (again["now"], again["ask"]["things"]) == (False, [["e-mail address", "ann@example.org"]])
    assert tick([record.id, True, "confirmed", again["ask"]["things"]])["now"]


def test_a_task_of_ones_own_can_be_chosen(page: Page) -> None:
    fields = ("mood", "Mood", "Which mood? {input}", "label", "good, bad", "")
    choices = page.client.predict(*fields, api_name="/make_task")["choices"]
    assert ["Mood", "mood"] in [list(choice) for choice in choices]
    texts = {"action": "write", "task": "mood", "input": "It rained.", "output": "grand"}
    with pytest.raises(AppError, match="one of good, bad"):
        page.client.predict(texts, api_name="/change_records")


def test_tasks_of_ones_own_are_offered_in_history_and_share_when_the_page_is_built(page: Page) -> None:
    tasks.make_task(page.workspace, "haiku", "Write a haiku: {input}", title="Haiku")
    config = build_ui(page.services).get_config_file()
    offered = [
        choices
        for component in config["components"]
        if (choices := component["props"].get("choices")) and component["props"].get("label") == "Task"
    ]
    with_own = [choices for choices in offered if ["Haiku", "haiku"] in [list(choice) for choice in choices]]
    assert {choices[0][0] for choices in with_own} >= {strings.ANY_TASK, strings.MOST_SHARED}


def test_records_of_a_task_of_ones_own_are_found_and_sent_by_it(page: Page) -> None:
    page.client.predict("haiku", "", "Write a haiku: {input}", "text", "", "", api_name="/make_task")
    some_records(page.workspace)
    texts = {"action": "write", "task": "haiku", "input": "The pond.", "output": "A frog, water's sound"}
    page.client.predict(texts, api_name="/change_records")
    (row,) = page.client.predict("", "haiku", "newest", "", api_name="/find_records")["rows"]
    page.client.predict([row["id"]], True, api_name="/share_records")
    shown = page.client.predict(2, "", api_name="/preview_payload")[0]
    assert "The pond." in shown["exact"]


def test_payload_shows_an_estimate(page: Page) -> None:
    ids = some_records(page.workspace)
    page.client.predict(list(ids[:3]), True, api_name="/share_records")
    shown = page.client.predict(5, "", api_name="/preview_payload")[0]
    assert any(fact["label"] == "Estimate" and "costs nothing" in fact["value"] for fact in shown["facts"])


def test_everything_is_exported_and_deleted_only_when_typed(page: Page) -> None:
    some_records(page.workspace)
    said = page.client.predict(api_name="/export")
    assert Path(said["text"].split(",")[0]).is_file()
    with pytest.raises(AppError, match="type 'delete everything'"):
        page.client.predict("yes", api_name="/delete_everything")
    page.client.predict("Delete everything", api_name="/delete_everything")
    assert page.client.predict("", "", "newest", "", api_name="/find_records")["total"] == 0


def test_an_archive_is_brought_back_once_everything_is_deleted(page: Page, tmp_path: Path) -> None:
    ids = some_records(page.workspace)
    page.client.predict([ids[0]], True, api_name="/share_records")
    before = page.client.predict("", "", "newest", "", api_name="/find_records")["rows"]
    exported = Path(page.client.predict(api_name="/export")["text"].split(",")[0])
    kept = exported.rename(tmp_path / "kept.zip")
    with pytest.raises(AppError, match="delete everything first"):
        page.client.predict(handle_file(str(kept)), api_name="/restore")
    page.client.predict("delete everything", api_name="/delete_everything")
    _, said = page.client.predict(handle_file(str(kept)), api_name="/restore")
    assert said["text"].startswith("12 records came back")
    assert page.client.predict("", "", "newest", "", api_name="/find_records")["rows"] == before


def test_a_file_that_is_no_archive_is_refused_in_a_sentence(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "holiday.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(AppError, match="cannot be read"):
        page.client.predict(handle_file(str(path)), api_name="/restore")


def test_settings_are_drawn_again_once_everything_was_deleted_or_brought_back(page: Page) -> None:
    blocks = build_ui(page.services)
    (switch,) = (part for part in blocks.blocks.values() if getattr(part, "label", None) == strings.OFFLINE)
    drawing = {
        wired._id for wired in blocks.fns.values() if switch in wired.outputs and wired.trigger_after is not None
    }
    named = {wired._id: wired.api_name for wired in blocks.fns.values()}
    after = {named[wired.trigger_after] for wired in blocks.fns.values() if wired._id in drawing}
    assert after == {"delete_everything", "restore"}
    assert all(wired.trigger_only_on_success for wired in blocks.fns.values() if wired._id in drawing)


def test_prices_are_known_only_while_both_fields_are_filled(page: Page) -> None:
    def leave_the_field(read: float | None, written: float | None) -> tuple[float, float] | None:
        page.client.predict(read, written, api_name="/price_read")
        return estimating.prices(page.services.workspace)

    assert leave_the_field(None, None) is None
    assert leave_the_field(0.15, None) is None
    assert leave_the_field(0.15, 0.6) == (0.15, 0.6)
    assert leave_the_field(None, 0.6) == (0.15, 0.6)
    assert leave_the_field(0, 0) == (0.0, 0.0)
    assert leave_the_field(None, None) is None
