"""Histories as people have them, brought in on the page, and the same on the command line."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from app.cli import main
from app.pipeline.workspace import open_workspace
from personal_store import records
from tests.data.messy_history import write_messy_history
from tests.ui.conftest import Page

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

PROMPT = "Generate a title for the following abstract of a paper: "


def lamp_questions(path: Path) -> Path:
    """A LaMP-5 question file of two people."""
    people = []
    for person, place in enumerate(("harbour", "quarry")):
        papers = [
            {"id": f"{person}{n}", "title": f"On the {place}, {n}", "abstract": f"We count {n} gulls at the {place}.",
             "date": f"20{10 + n}"}
            for n in range(3)
        ]  # fmt: skip
        people.append({"id": f"5{person}", "user_id": f"7{person}", "input": f"{PROMPT}Gulls.", "profile": papers})
    path.write_text(json.dumps(people), encoding="utf-8")
    return path


def reviews(path: Path) -> Path:
    """A file of reviews as they were exported: a column without a name, a quoted comma, moments, an empty cell."""
    lines = [
        ",critic,review,score,published",
        '0,Ida,"Slow, and then too fast.",2,2016-03-01 09:30:00',
        "1,Ida,The lamps were the best actors.,4,2016-04-11 20:00:00",
        "2,Ida,,3,2016-05-02 11:15:00",
        '3,Ida,"She said ""enough"" and so did I.",1,2016-06-21 23:59:59',
    ]
    path.write_text("\r\n".join(lines), encoding="utf-8")
    return path


CASES: dict[str, tuple[Any, str, dict[str, str], str, int]] = {
    "LaMP": (lamp_questions, "lamp.json", {"user": "71"}, "3 imported.", 3),
    "CSV": (reviews, "reviews.csv", {"input": "review", "output": "score"}, "3 imported, 1 rejected.", 3),
    "messy": (
        write_messy_history,
        "messy.csv",
        {"input": "What happened", "output": "My headline", "task": "headline"},
        (
            "9 imported, 1 already there, 1 almost the same as others, 5 rejected."
            " 1 date could not be read; that record counts as newest."
        ),
        9,
    ),
}


def contents(folder: Path) -> list[tuple[str | None, ...]]:
    """What is stored, whatever the order and the ids."""
    with open_workspace(folder).store() as store:
        found = records.all_records(store)
    return sorted((item.task, item.input, item.output, item.created_at or "", item.source) for item in found)


@pytest.mark.parametrize("case", CASES)
def test_a_history_comes_in_the_same_from_the_page_and_the_command_line(
    page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    write, name, named, headline, count = CASES[case]
    path = write(tmp_path / name)
    given, person = handle_file(str(path)), named.get("user", "")
    seen = page.client.predict([given], "", person, api_name="/preview_history")
    guessed = [part["value"] for part in seen[1:5]]
    chosen = [
        named.get(what) or guess for what, guess in zip(("task", "input", "output", "date"), guessed, strict=True)
    ]
    report = page.client.predict([given], "", person, *chosen, api_name="/import_history")
    assert report["headline"] == headline
    assert max(report["csv"].count("\r\n") - 1, 0) == len(report["rejected"])
    flags = [word for what, value in named.items() for word in (f"--{what}", value)]
    assert main(["import", str(path), *flags, "--data-dir", str(tmp_path / "typed"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["imported"] == count
    assert contents(page.workspace.data_dir) == contents(tmp_path / "typed")


COLUMNS = ("rating", "review", "score", "published")
SENTENCE = "The lamps were the best actors."
PATIENCE = 20.0
"""Seconds after which a closed window must have been noticed."""


def copies() -> list[Path]:
    """Files of the temporary folder in which that sentence of the reviews stands."""
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    return [path for path in uploads.rglob("*") if path.is_file() and SENTENCE.encode() in path.read_bytes()]


def look_at(client: Client, *files: Path) -> Any:
    """What is chosen in a window instead of what was chosen there before."""
    return client.predict([handle_file(str(file)) for file in files] or None, "", "", api_name="/preview_history")


def imports(client: Client, file: Path) -> None:
    client.predict([handle_file(str(file))], "", "", *COLUMNS, api_name="/import_history")


def takes_it_out(client: Client, file: Path) -> None:
    look_at(client)


def chooses_another(client: Client, file: Path) -> None:
    look_at(client, write_messy_history(file.with_name("other.csv")))


def chooses_none_that_can_be_read(client: Client, file: Path) -> None:
    file.with_name("other.csv").write_bytes(b"\x89PNG\x00\x00")
    with pytest.raises(AppError, match="not a text file"):
        look_at(client, file.with_name("other.csv"))


def closes_the_window(client: Client, file: Path) -> None:
    client.close()
    until = time.monotonic() + PATIENCE
    while copies():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def window(page: Page, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Another window of the page; that it is closed is noticed soon."""
    monkeypatch.setenv("GRADIO_HEARTBEAT_INTERVAL", "0.2")
    client = Client(page.client.src, verbose=False)
    yield client
    client.close()


@pytest.mark.parametrize("does", [imports, takes_it_out, chooses_another, closes_the_window])
def test_the_copy_of_what_was_only_looked_at_goes_when_a_person(
    window: Client, tmp_path: Path, does: Callable[[Client, Path], None]
) -> None:
    file = reviews(tmp_path / "reviews.csv")
    look_at(window, file)
    assert copies()
    does(window, file)
    assert not copies()
    assert file.exists()


def test_a_copy_that_another_window_looks_at_stays(window: Client, page: Page, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.csv")
    look_at(window, file)
    look_at(page.client, file)
    look_at(window)
    assert copies()
    look_at(page.client)
    assert not copies()


def test_a_copy_that_could_not_be_imported_stays_until_something_else_is_chosen(window: Client, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.csv")
    look_at(window, file)
    with pytest.raises(AppError, match="no column 'stars'"):
        window.predict(
            [handle_file(str(file))], "", "", "rating", "review", "stars", "published", api_name="/import_history"
        )
    assert copies()
    chooses_none_that_can_be_read(window, file)
    assert not copies()


def test_pasted_text_is_never_written_to_a_file(page: Page) -> None:
    pasted = f"Lamps\n{SENTENCE}\n\n\nTrams\nThe tram was late and full."
    shown = page.client.predict(None, pasted, "", api_name="/preview_pasted")
    assert "2 usable records" in shown[0]["summary"]
    chosen = [part["value"] for part in shown[1:5]]
    assert page.client.predict(None, pasted, "", *chosen, api_name="/import_history")["headline"] == "2 imported."
    assert not copies()


@pytest.mark.parametrize("name", ["The tram.txt", "The tram.md"])
def test_a_single_note_comes_in_with_its_name_as_title(page: Page, tmp_path: Path, name: str) -> None:
    note = tmp_path / name
    note.write_text("It was late, and full.\nNobody said a word.")
    preview, *guessed = look_at(page.client, note)[:5]
    assert "1 usable record." in preview["summary"]
    assert preview["rows"] == [["It was late, and full.\nNobody said a word.", "The tram", ""]]
    chosen = [part["value"] for part in guessed]
    report = page.client.predict([handle_file(str(note))], "", "", *chosen, api_name="/import_history")
    assert report["headline"] == "1 imported."


def test_a_preview_without_a_usable_row_announces_none(page: Page) -> None:
    preview = page.client.predict(None, "abstract,title\n,Lamps\n,Trams", "", api_name="/preview_pasted")[0]
    assert preview["rows"] == []
    assert preview["summary"].endswith("check the columns, or name others with --input and --output.")


def test_dates_that_cannot_be_read_are_told_before_and_after_an_import(page: Page) -> None:
    pasted = f"date,review,title\nlast week,{SENTENCE},Lamps\n2024-01-02,The tram was late and full.,Trams"
    shown = page.client.predict(None, pasted, "", api_name="/preview_pasted")
    assert "1 date could not be read; that record counts as newest." in shown[0]["summary"]
    report = page.client.predict(None, pasted, "", "title", "review", "title", "date", api_name="/import_history")
    assert report["headline"] == "2 imported. 1 date could not be read; that record counts as newest."


def test_an_archive_that_was_not_brought_back_goes_with_its_window(window: Client, tmp_path: Path) -> None:
    archive = tmp_path / "history.zip"
    archive.write_text(SENTENCE)
    with pytest.raises(AppError, match="cannot be read"):
        window.predict(handle_file(str(archive)), api_name="/restore")
    assert copies()
    closes_the_window(window, archive)
