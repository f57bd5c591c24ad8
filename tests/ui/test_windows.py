"""Two windows on one history, and one that is loaded again: both show what is, and what was begun goes on."""

import re

import pytest

from app.pipeline import jobs
from tests.browser.conftest import begin_training, import_sample, share_first
from tests.browsing import MARKS, MINUTE, Visit, new_visit
from tests.ui.conftest import Page

playwright_api = pytest.importorskip("playwright.sync_api")

pytestmark = MARKS


def test_what_one_tab_shares_the_other_shows(page: Page, visit: Visit) -> None:
    visit.goto(page.client.src)
    import_sample(visit)
    share_first(visit, 3)
    second = new_visit(visit.page.context.browser, visit.folder)
    second.goto(visit.page.url)
    second.open("Share")
    second.see("3 of 120 records shared")
    second.page.locator("#share-records input[type=checkbox]").nth(0).click()
    second.see("2 of 120 records shared")
    visit.open("History")
    visit.open("Share")
    visit.see("2 of 120 records shared")
    assert not visit.page.locator("#share-records input[type=checkbox]").nth(0).is_checked()
    second.page.context.close()


def step(visit: Visit) -> int:
    """The step that the page says the training is at."""
    found = re.search(r"step (\d+) of", str(visit.page.locator("#training .progress-head").inner_text()))
    return int(found.group(1)) if found else 0


def test_training_goes_on_through_a_reload_and_is_seen_and_stopped_in_a_second_tab(page: Page, visit: Visit) -> None:
    visit.goto(page.client.src)
    import_sample(visit)
    begin_training(visit)
    before = step(visit)
    visit.reload()
    visit.open("Personalise")
    visit.page.locator("#training .curve").wait_for(timeout=MINUTE)
    playwright_api.expect(visit.page.locator("#train-button")).to_be_disabled()
    visit.page.wait_for_timeout(1500)
    assert step(visit) > before
    second = visit.page.context.new_page()
    second.goto(visit.page.url)
    second.get_by_role("tab", name="Personalise", exact=True).click()
    second.get_by_role("button", name="Stop", exact=True).locator("visible=true").click()
    second.get_by_role("button", name="Resume", exact=True).locator("visible=true").wait_for(timeout=MINUTE)
    visit.page.get_by_role("button", name="Resume", exact=True).locator("visible=true").wait_for(timeout=MINUTE)
    jobs.end_workers()
