"""What was begun lasts when the app is killed and started again."""

import signal

import pytest

from personal_store import jobs
from tests.browser.conftest import App, begin_training, import_sample
from tests.browsing import MARKS, Visit

playwright_api = pytest.importorskip("playwright.sync_api")

pytestmark = MARKS


def reported_steps(app: App) -> list[int]:
    """The steps that the training has told the store, in order."""
    with app.workspace.store() as store:
        (job,) = jobs.list_jobs(store, "train")
        return [event.data["step"] for event in jobs.events(store, job.id) if event.kind == "progress"]


def test_killed_app_is_started_again_and_its_training_resumed(visit: Visit, app: App, address: str) -> None:
    import_sample(visit)
    begin_training(visit)
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
