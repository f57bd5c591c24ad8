"""The whole journey through the real page in Debian's Chromium, every request recorded.

    CDCDA_SCREENSHOTS=shots python -m pytest -m slow tests/browser

The service runs on the embedded model; the model that is trained is tiny and random, so that training takes seconds.
"""

import pytest

from tests.browser.conftest import approve, import_sample, pairs_from, share_first
from tests.browsing import MARKS, MINUTE, Visit

playwright_api = pytest.importorskip("playwright.sync_api")

pytestmark = MARKS


def augment(visit: Visit) -> None:
    # Of the small embedded model many samples come to nothing, and which ones depends on what is decoded beside them.
    share_first(visit, 4)
    visit.shot("2-share")
    approve(visit, 2)
    visit.page.locator("#augmenting .progress").wait_for()
    visit.reload()
    visit.open("Share")
    visit.see("4 of 120 records shared")
    assert visit.page.locator("#share-records input:checked").count() == 4
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
