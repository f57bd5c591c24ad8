"""Histories as people have them, brought in on the page, and the same on the command line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from gradio_client import handle_file

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
        "9 imported, 1 already there, 1 almost the same as others, 5 rejected.",
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


def test_the_copy_that_the_browser_sent_goes_once_it_is_imported(page: Page, tmp_path: Path) -> None:
    given = handle_file(str(reviews(tmp_path / "reviews.csv")))
    columns = ("rating", "review", "score", "published")
    page.client.predict([given], "", "", *columns, api_name="/preview_task")
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    assert [path for path in uploads.rglob("reviews.csv") if path.stat().st_size]
    page.client.predict([given], "", "", *columns, api_name="/import_history")
    assert not list(uploads.rglob("reviews.csv"))
