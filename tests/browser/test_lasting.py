"""What was begun lasts: through a reload, in a second tab, and when the app is killed and started again."""

import re
import signal
from typing import Any

import pytest

from personal_store import jobs
from tests.browser.conftest import App, approve, import_sample, pairs_from, share_first
from tests.browsing import MARKS, MINUTE, Visit

playwright_api = pytest.importorskip("playwright.sync_api")

pytestmark = MARKS

LONG = 20
"""Epochs that keep even the tiny model busy for a while."""


def begin_training(visit: Visit, epochs: int) -> None:
    """Press Train, and wait for the first steps."""
    visit.open("Personalise")
    visit.see("examples for Title")
    epochs_field = visit.page.get_by_label("number input for Epochs")
    if not epochs_field.is_visible():
        visit.press("Settings of the training")
    epochs_field.fill(str(epochs))
    epochs_field.press("Tab")
    visit.page.locator("#train-button").click()
    visit.page.locator("#training .curve").wait_for(timeout=5 * MINUTE)


def step(visit: Visit) -> int:
    """The step that the page says the training is at."""
    found = re.search(r"step (\d+) of", str(visit.page.locator("#training .progress-head").inner_text()))
    return int(found.group(1)) if found else 0


def reported_steps(app: App) -> list[int]:
    """The steps that the training has told the store, in order."""
    with app.workspace.store() as store:
        (job,) = jobs.list_jobs(store, "train")
        return [event.data["step"] for event in jobs.events(store, job.id) if event.kind == "progress"]


def test_reload_in_the_middle_of_augmenting_loses_nothing(visit: Visit) -> None:
    import_sample(visit)
    share_first(visit, 2)
    approve(visit, 2)
    visit.page.locator("#augmenting .progress").wait_for()
    visit.reload()
    visit.open("Share")
    visit.see("2 of 120 records shared")
    assert visit.page.locator("#share-records input:checked").count() == 2
    count = pairs_from(visit, 2)
    visit.open("Review")
    playwright_api.expect(visit.page.locator("#review-cards .card")).to_have_count(count)
    assert visit.faults == []


def test_training_goes_on_through_a_reload_and_is_seen_and_stopped_in_a_second_tab(visit: Visit, browser: Any) -> None:
    import_sample(visit)
    begin_training(visit, LONG)
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
    assert visit.faults == []


def test_killed_app_is_started_again_and_its_training_resumed(visit: Visit, app: App, address: str) -> None:
    import_sample(visit)
    begin_training(visit, LONG)
    assert app.end(signal.SIGKILL) == -signal.SIGKILL
    app.start(int(address.rsplit(":", 1)[1]))
    visit.goto(address)
    visit.open("Personalise")
    visit.see("interrupted")
    before = len(reported_steps(app))
    visit.page.get_by_role("button", name="Resume", exact=True).locator("visible=true").click()
    playwright_api.expect(visit.page.locator("#train-button")).to_be_disabled()
    for _ in range(600):
        visit.page.wait_for_timeout(500)
        if len(reported_steps(app)) > before:
            break
    assert len(reported_steps(app)) > before
    assert reported_steps(app) == sorted(set(reported_steps(app))), "a step was done again"
