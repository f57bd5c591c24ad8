"""An import that takes its time: seen from every window, stopped from any, and nothing of it kept then."""

import csv
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from gradio_client import handle_file

from app.errors import JobRefused
from app.pipeline.advancing import Advance
from app.ui.underway import Imports, Stopped
from personal_store import records
from tests.ui.conftest import Page

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

ROWS = 60_000


def half_read() -> Advance:
    return Advance("reading", 1, 2, 0.04)


def test_one_import_at_a_time_tells_how_far_it_is_and_counts_when_it_has_ended() -> None:
    imports = Imports()
    with imports.begin() as tell:
        tell(half_read())
        assert imports.now is not None
        assert (imports.now.share, imports.now.words) == (0.04, "Reading: 1 of 2")
        with pytest.raises(JobRefused, match="Another import is running"), imports.begin():
            pass
    assert imports.ended == 1
    assert imports.now is None


def test_a_stop_ends_the_import_that_runs_and_not_the_next_one() -> None:
    imports = Imports()
    imports.stop()
    with imports.begin() as tell:
        tell(half_read())
        imports.stop()
        with pytest.raises(Stopped):
            tell(half_read())
    assert imports.ended == 1


def write_rows(path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(["abstract", "title"])
        rows.writerows([f"Note {number} of the lane and the river.", f"Lane {number}"] for number in range(ROWS))
    return path


def now_of(page: Page) -> str:
    """What the header says that runs."""
    header: Any = page.client.predict(api_name="/state")[0]
    return next(str(fact["value"]) for fact in header["facts"] if fact["label"] == "Now")


def test_every_window_sees_an_import_and_any_can_stop_it(page: Page, tmp_path: Path) -> None:
    file = handle_file(str(write_rows(tmp_path / "many.csv")))
    given = ([file], "", "", "title", "abstract", "title", "")
    job: Future[Any] = page.client.submit(*given, api_name="/import_history")
    deadline = time.monotonic() + 60
    while not now_of(page).startswith("Importing"):
        assert time.monotonic() < deadline
    page.client.predict(api_name="/stop_import")
    assert job.result(timeout=60)["headline"] == "The import was stopped; nothing of it is in your history."
    assert now_of(page) == "Nothing is running"
    with page.workspace.store() as store:
        assert records.all_records(store) == ()
