"""The whole journey through the real page in Debian's Chromium, every request recorded.

    CDCDA_SCREENSHOTS=shots python -m pytest -m slow tests/test_browser.py

The service runs on the embedded model; the model that is trained is tiny and random, so that training takes seconds.
"""

import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.pipeline.sharing import shared_now
from app.pipeline.workspace import Workspace, open_workspace
from tests.tiny import tiny_gguf

playwright_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--headless=new", "--disable-background-networking", "--disable-component-update"]
READY = "CDCDA is ready at "
MINUTE = 60_000
HOSTILE = """<img src=x onerror="document.title='taken'"> ${document.title='taken'} {{value}} `"""

pytestmark = [
    pytest.mark.slow,
    # Continuous integration sets the variable: there, a missing browser is a failure and not a skip.
    pytest.mark.skipif(
        not CHROMIUM.exists() and "CDCDA_REQUIRE_BROWSER" not in os.environ, reason="needs Debian's chromium"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Visit:
    """One open page, what it asked of whom, and its screenshots."""

    def __init__(self, page: Any, workspace: Workspace, folder: Path) -> None:
        self.page, self.workspace, self._folder = page, workspace, folder
        self.hosts: set[str] = set()
        self.faults: list[str] = []
        page.on("request", lambda request: self._note(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def _note(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname or "")

    def shot(self, name: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(400)
        self.page.screenshot(path=self._folder / f"{name}.png", full_page=True)

    def open(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab, exact=True).first.click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def see(self, text: str, minutes: float = 0.5) -> None:
        self.page.get_by_text(re.compile(text)).first.wait_for(timeout=minutes * MINUTE)


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    return Path(os.environ.get("CDCDA_SCREENSHOTS") or tmp_path / "screenshots")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "app", "--port", "0", "--data-dir", str(tmp_path / "data"), "--no-browser"]
    environment = os.environ | {"CDCDA_DEVICE_MODEL": str(tiny_gguf(tmp_path / "model"))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        found = next((line.removeprefix(READY).strip() for line in process.stdout if line.startswith(READY)), None)
        assert found is not None, f"the app ended with {process.wait()}"
        yield found
        process.terminate()
        assert process.wait(60) == 0


@pytest.fixture
def visit(address: str, tmp_path: Path, screenshots: Path) -> Iterator[Visit]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(30_000)
        visit = Visit(page, open_workspace(tmp_path / "data"), screenshots)
        page.goto(address)
        page.locator("#header .fact").first.wait_for()
        yield visit
        browser.close()


def share_a_few(visit: Visit) -> None:
    visit.open("Share")
    visit.page.locator("#share-records input[type=checkbox]").first.wait_for()
    visit.shot("2-share")
    for number in range(2):
        visit.page.locator("#share-records input[type=checkbox]").nth(number).click()
    visit.see("2 of 120 records shared")
    pairs_each = visit.page.get_by_label(re.compile("number input for New pairs"))
    pairs_each.fill("2")
    pairs_each.press("Tab")


def augment(visit: Visit) -> None:
    visit.press("Preview what leaves")
    visit.page.locator("#payload pre").first.wait_for()
    visit.shot("3-payload")
    visit.press("Approve and augment")
    visit.see("new pairs from 2 records", minutes=10)
    visit.shot("4-augmented")


def review(visit: Visit) -> None:
    visit.open("Review")
    visit.page.locator("#review-cards .card").first.wait_for()
    visit.press(visit.page.locator(".card-actions button").first.get_attribute("aria-label"))
    visit.see("kept by you")
    visit.shot("5-review")


def train(visit: Visit) -> None:
    visit.open("Personalise")
    visit.see("examples for Title")
    visit.press("Train")
    visit.page.locator("#training .curve").wait_for(timeout=5 * MINUTE)
    visit.page.locator("#adapters .adapter").first.wait_for(timeout=5 * MINUTE)
    visit.shot("6-personalised")


def write(visit: Visit) -> None:
    visit.open("Write")
    visit.page.locator("#write-text textarea").fill("The lane outside the post office flooded on Monday night.")
    visit.press("Write")
    after_better = visit.page.get_by_role("button", name="After is better")
    playwright_api.expect(after_better).to_be_enabled(timeout=2 * MINUTE)
    tags = visit.page.locator("#answers .tag").all_text_contents()
    assert tags[0] == "no adapter"
    assert tags[1] not in ("", "no adapter")
    visit.shot("7-written")
    after_better.click()
    visit.see("Your vote is kept")


def test_journey_from_the_sample_to_both_answers(visit: Visit) -> None:
    visit.shot("0-empty")
    visit.press("Try it with a sample")
    visit.see("120 imported")
    visit.shot("1-history")
    share_a_few(visit)
    augment(visit)
    review(visit)
    train(visit)
    write(visit)
    visit.open("Settings")
    visit.shot("8-settings")
    assert visit.hosts == {"127.0.0.1"}
    assert visit.faults == []


def test_click_storm_on_the_boxes_shares_the_clicked_records_alone(visit: Visit) -> None:
    visit.press("Try it with a sample")
    visit.see("120 imported")
    visit.open("Share")
    visit.page.locator("#share-records input[type=checkbox]").nth(24).wait_for()
    clicked = visit.page.evaluate(
        """() => {
            const rows = [...document.querySelectorAll('#share-records li')].slice(0, 20);
            for (let round = 0; round < 3; round++) rows.forEach((row) => row.querySelector('input').click());
            rows[0].querySelector('input').click();
            return rows.slice(1).map((row) => Number(row.dataset.key));
        }"""
    )
    visit.see("19 of 120 records shared")
    visit.page.wait_for_timeout(500)
    assert sorted(shared_now(visit.workspace).shared) == sorted(clicked)
    visit.press("Share none")
    visit.see("0 of 120 records shared")
    assert visit.page.locator("#share-records input:checked").count() == 0


def test_text_of_records_stays_text(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "hostile.jsonl"
    path.write_text(json.dumps({"abstract": f"{HOSTILE} happened", "title": f"{HOSTILE} title"}), encoding="utf-8")
    visit.page.locator("input[type=file]").first.set_input_files(str(path))
    visit.press("Import")
    visit.see("1 imported")
    visit.page.locator("#history-records .record").wait_for()
    visit.open("Share")
    visit.page.locator("#share-records .record").wait_for()
    visit.page.wait_for_timeout(500)
    assert visit.page.title() == "CDCDA"
    assert "${document.title='taken'}" in visit.page.locator("#share-records .record-output").text_content()
    assert visit.hosts == {"127.0.0.1"}


def test_reloading_the_page_keeps_what_was_chosen(visit: Visit) -> None:
    visit.press("Try it with a sample")
    visit.see("120 imported")
    visit.open("Share")
    visit.page.locator("#share-records input[type=checkbox]").nth(2).click()
    visit.see("1 of 120 records shared")
    visit.page.reload()
    visit.open("Share")
    visit.see("1 of 120 records shared")
    assert visit.page.locator("#share-records input[type=checkbox]").nth(2).is_checked()


@pytest.mark.parametrize("width", [380, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_tab_is_wider_than_the_window(visit: Visit, width: int, scheme: str) -> None:
    visit.page.emulate_media(color_scheme=scheme)
    visit.page.set_viewport_size({"width": width, "height": 800})
    visit.page.reload()
    visit.page.locator("#header .fact").first.wait_for()
    for tab in ("history", "share", "review", "personalise", "write", "settings"):
        visit.page.evaluate('tab => document.querySelector(`button[data-tab-id="${tab}"]`).click()', tab)
        visit.shot(f"{tab}-{scheme}-{width}")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
