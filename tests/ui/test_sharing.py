"""Boxes of the Share list under a person's hand: many clicks, and texts that would be more than text."""

import json
from pathlib import Path

from app.pipeline import editing
from app.pipeline.sharing import shared_now
from app.ui import views
from app.ui.share import Actions
from personal_store import ledger
from tests.browser.conftest import import_sample
from tests.browsing import MARKS, Visit
from tests.ui.conftest import Page

pytestmark = MARKS

HOSTILE = """<img src=x onerror="document.title='taken'"> ${document.title='taken'} {{value}} `"""


def test_click_storm_on_the_boxes_shares_the_clicked_records_alone(page: Page, visit: Visit) -> None:
    visit.goto(page.client.src)
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
    assert sorted(shared_now(page.workspace).shared) == sorted(clicked)
    visit.press("Share none")
    visit.see("0 of 120 records shared")
    assert visit.page.locator("#share-records input:checked").count() == 0


def test_text_of_records_stays_text(page: Page, visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "hostile.jsonl"
    path.write_text(json.dumps({"abstract": f"{HOSTILE} happened", "title": f"{HOSTILE} title"}), encoding="utf-8")
    visit.goto(page.client.src)
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


def test_what_was_shown_is_what_is_confirmed(page: Page, visit: Visit) -> None:
    record = editing.add(page.workspace, "title", "Write to jo@example.org", "The dog")
    visit.goto(page.client.src)
    visit.open("Share")
    box = visit.page.locator("#share-records input[type=checkbox]").first
    box.click()
    visit.page.locator("dialog.consent dd", has_text="jo@example.org").wait_for()
    editing.edit(page.workspace, record.id, input="Write to ann@example.org")
    visit.press("Share as it is")
    visit.page.locator("dialog.consent dd", has_text="ann@example.org").wait_for()
    assert shared_now(page.workspace).shared == ()
    visit.press("Share as it is")
    visit.see("1 of 1 records shared")
    assert shared_now(page.workspace).shared == (record.id,)


def test_what_has_left_is_said_in_the_lists_that_are_open_on_the_page_that_is_open(page: Page, visit: Visit) -> None:
    visit.goto(page.client.src)
    import_sample(visit)
    rows = {tab: visit.page.locator(f"#{tab}-records [data-key]") for tab in ("history", "share")}
    newest = int(rows["history"].first.get_attribute("data-key") or 0)
    visit.open("Share")
    second = visit.page.locator("#share-records .pager", has_text="51 – 100 of 120")
    visit.page.locator("#share-records").get_by_role("button", name="Next").click()
    second.wait_for()
    third = int(rows["share"].nth(2).get_attribute("data-key") or 0)
    with page.workspace.store() as store:
        ledger.append_upload(store, "http://127.0.0.1:1", [newest, third], 1, "0" * 64, "sent")
    sent = visit.page.locator("#share-records .record", has_text="sent once, last on")
    sent.first.wait_for()
    assert (sent.count(), sent.get_attribute("data-key")) == (1, str(third))
    assert second.is_visible()
    visit.open("History")
    rows["history"].first.get_by_text("sent once, last on").wait_for()


DRAWN_LATE = """() => {
    const element = document.createElement('div'), props = { value: { stamp: 2, title: 'newer', text: '' } };
    let arrived;
    cdcda.notice(element, props, {}, (name, redraw) => { arrived = redraw; });
    props.value = { stamp: 1, title: 'older', text: '' };
    arrived();
    const late = [element.textContent, props.value.title];
    props.value = { stamp: 3, title: 'newest', text: '' };
    arrived();
    return [...late, element.textContent];
}"""


def test_a_view_that_was_made_before_the_one_in_sight_and_comes_after_it_is_left(page: Page, visit: Visit) -> None:
    visit.goto(page.client.src)
    late, kept, then = visit.page.evaluate(DRAWN_LATE)
    assert ("newer" in late, kept, "newest" in then) == (True, "newer", True)


class Interrupted(Actions):
    """Lists that a person ticks a box of while they are drawn."""

    def rows(self, text: str, only: object = "", page: int = 1) -> views.View:
        """The same, with when the box was ticked."""
        ticked = self.set_shared([1, True, "", []])
        return super().rows(text, only, page) | {"ticked": ticked["stamp"]}


def test_what_is_drawn_again_by_itself_is_older_than_what_was_done_meanwhile(page: Page) -> None:
    editing.add(page.workspace, "title", "The dog ran", "The dog")
    drawn = Actions(page.services).rows("")
    again = Interrupted(page.services).redraw("", "", drawn)
    assert drawn["stamp"] < again["stamp"] < again["ticked"]
