"""Copies of files stay at home, through the real page in Debian's Chromium."""

import time
from pathlib import Path

from tests.browser.conftest import App
from tests.browsing import MARKS, Visit, chromium, new_visit

pytestmark = MARKS

SENTENCE = "The lamps were the best actors."
PATIENCE = 60.0
"""Seconds after which a closed window must have been noticed."""


def write(path: Path, sentence: str) -> Path:
    path.write_text(f"review,score\n{sentence},4\n", encoding="utf-8")
    return path


def copies(folder: Path) -> list[Path]:
    """Files below the folder in which that sentence stands."""
    return [path for path in folder.rglob("*") if path.is_file() and SENTENCE.encode() in path.read_bytes()]


def wait_until_gone(folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    while copies(folder):
        assert time.monotonic() < until, copies(folder)
        time.sleep(0.2)


def look_at(visit: Visit, file: Path, sentence: str) -> None:
    visit.page.locator("input[type=file]").first.set_input_files(str(file))
    visit.see(sentence)


def test_a_file_that_was_only_looked_at_leaves_no_copy(app: App, tmp_path: Path, screenshots: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    app.environment |= {"TMPDIR": str(temporary), "GRADIO_HEARTBEAT_INTERVAL": "1"}
    address = app.start()
    file = write(tmp_path / "reviews.csv", SENTENCE)
    with chromium() as browser:
        visit = new_visit(browser, screenshots)
        visit.goto(address)
        look_at(visit, file, SENTENCE)
        assert copies(temporary)
        visit.press("Clear")
        wait_until_gone(temporary)
        look_at(visit, file, SENTENCE)
        assert copies(temporary)
        visit.page.close()
        wait_until_gone(temporary)
