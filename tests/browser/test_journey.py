"""The whole journey through the real page in Debian's Chromium, every request recorded.

    CDCDA_SCREENSHOTS=shots python -m pytest -m slow tests/browser

The service runs on the embedded model; the model that is trained is tiny and random, so that training takes seconds.
"""

import json
from pathlib import Path

import pytest

from app.pipeline.sharing import shared_now
from tests.browser.conftest import App, approve, import_sample, pairs_from, share_first
from tests.browsing import MARKS, MINUTE, Visit

playwright_api = pytest.importorskip("playwright.sync_api")

pytestmark = MARKS

HOSTILE = """<img src=x onerror="document.title='taken'"> ${document.title='taken'} {{value}} `"""


def augment(visit: Visit) -> None:
    # Of the small embedded model many samples come to nothing, and which ones depends on what is decoded beside them.
    share_first(visit, 4)
    visit.shot("2-share")
    approve(visit, 2)
    assert pairs_from(visit, 4)
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
    # By key: under the pointer the page may still be moving, because the answers' differences are drawn just now.
    after_better.press("Enter")
    visit.page.locator("#answers .answer.is-chosen").wait_for()


def test_journey_from_the_sample_to_both_answers(visit: Visit) -> None:
    visit.shot("0-empty")
    import_sample(visit)
    visit.shot("1-history")
    augment(visit)
    review(visit)
    train(visit)
    write(visit)
    visit.open("Settings")
    visit.shot("8-settings")
    assert visit.hosts == {"127.0.0.1"}
    assert visit.faults == []


def test_click_storm_on_the_boxes_shares_the_clicked_records_alone(visit: Visit, app: App) -> None:
    import_sample(visit)
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
    assert sorted(shared_now(app.workspace).shared) == sorted(clicked)
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
