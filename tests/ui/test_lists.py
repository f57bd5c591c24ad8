"""The page's own lists in a browser: what is marked, folded and decided in them."""

from personal_store import jobs, pairs, records
from personal_store.nouns import NewPair, NewRecord, Scores
from tests.browsing import MARKS, Visit
from tests.ui import stages
from tests.ui.conftest import HOSTILE, Page, some_pairs, some_records
from tests.ui.test_accessibility import tab_to, violations

pytestmark = MARKS


def test_what_looks_personal_is_marked_and_named_in_the_share_list_and_in_the_question(
    page: Page, visit: Visit
) -> None:
    text = f"{'It rained. ' * 20}{HOSTILE} Ask jo@example.org about it."
    with page.workspace.store() as store:
        records.add_records(store, [NewRecord("title", text, "The dog", "2024-01-01", "test")])
    visit.goto(page.client.src)
    visit.open("Share")
    mark = visit.page.locator("#share-records mark")
    assert mark.text_content() == "e-mail address: jo@example.org"
    assert mark.is_visible()
    assert text == visit.page.locator("#share-records .record-input").text_content().replace("e-mail address: ", "")
    visit.page.locator("#share-records .record-open").click()
    visit.page.locator("#share-records .is-open").wait_for()
    visit.page.locator("#share-records input[type=checkbox]").check(force=True)
    asked = visit.page.locator("dialog .found-in mark")
    asked.wait_for()
    assert asked.text_content() == "e-mail address: jo@example.org"
    assert visit.page.evaluate("document.activeElement.value") == "redacted"
    assert violations(visit) == []
    assert visit.page.title() == "CDCDA"


def test_pairs_are_decided_by_a_score_with_the_keyboard_alone(page: Page, visit: Visit) -> None:
    stages.with_records(page.workspace)
    stages.with_pairs(page.workspace)
    visit.goto(page.client.src)
    visit.open("Review")
    visit.page.locator("#review-cards .card").first.wait_for()
    visit.page.evaluate("document.activeElement.blur()")
    visit.page.keyboard.press("b")
    visit.see("24 of the 60 pairs shown")
    bound = visit.page.locator("#by-score input[type=number]")
    while not bound.evaluate("node => node === document.activeElement"):
        visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.type("0.95")
    visit.page.keyboard.press("Enter")
    visit.see("12 of the 60 pairs shown")
    assert violations(visit) == []
    tab_to(visit, "Accept 12")
    visit.page.keyboard.press("Enter")
    visit.see("Decided by you: 14")
    visit.see("Accept 0")
    visit.page.locator("#review-cards .card").first.focus()
    visit.page.keyboard.press("u")
    visit.see("Decided by you: 2")
    visit.see("Accept 12")


def test_an_adapter_unfolds_to_its_records_and_two_are_compared(page: Page, visit: Visit) -> None:
    stages.lived_in(page.workspace)
    visit.goto(page.client.src)
    visit.open("Personalise")
    visit.page.locator(".learned-from summary").first.focus()
    visit.page.keyboard.press("Enter")
    visit.see("12 of your records and 0 pairs")
    assert visit.page.locator(".sources .source").count() == 12
    visit.page.locator("button.label-wrap", has_text="Compare two of them").click()
    visit.see("Both learned from 12 records")
    assert visit.page.locator("#two-runs .run-loss").count() == 2
    assert violations(visit) == []


def test_an_empty_tab_shows_nothing_that_cannot_do_anything(page: Page, visit: Visit) -> None:
    visit.goto(page.client.src)
    for tab, gone in (("Share", ("Propose", "Preview what leaves")), ("Review", ("Accept shown", "Undo"))):
        visit.open(tab)
        way = visit.page.locator(f"#{tab.lower()}-{'records' if tab == 'Share' else 'cards'} .go-button")
        way.wait_for()
        assert not any(visit.page.get_by_role("button", name=name, exact=True).first.is_visible() for name in gone)
    way.click()
    assert visit.page.locator("#share-records .empty").is_visible()


def test_forgetting_asks_again_whatever_was_clicked_before_and_picks_end_with_the_search(
    page: Page, visit: Visit
) -> None:
    ids = some_records(page.workspace, 4)
    visit.goto(page.client.src)
    visit.page.locator(f"#history-records input.pick[data-id='{ids[0]}']").check()
    visit.page.locator(f"#history-records input.pick[data-id='{ids[1]}']").check()
    forget = visit.page.get_by_role("button", name="Forget the picked records without a trace")
    forget.dblclick()
    assert forget.text_content() == "Really forget?"
    visit.page.get_by_label("Search").first.fill("Hostile")
    visit.page.locator("#history-records .record").nth(1).wait_for(state="detached")
    assert not forget.is_visible()
    visit.page.get_by_label("Search").first.fill("")
    visit.page.locator("#history-records .record").nth(3).wait_for()
    assert visit.page.locator("#history-records input.pick:checked").count() == 0
    visit.page.locator(f"#history-records input.pick[data-id='{ids[0]}']").check()
    visit.page.wait_for_timeout(4200)
    forget.click()
    visit.page.wait_for_timeout(600)
    forget.click()
    visit.see("1 record and 0 pairs made from it are gone")
    visit.page.locator(f"#history-records input.pick[data-id='{ids[1]}']").check()
    assert forget.text_content() == "Forget"
    forget.click()
    assert forget.text_content() == "Really forget?"
    assert visit.page.locator("#history-records .record").count() == 3


def arrive(page: Page, record_id: int) -> None:
    """One more pair of an augmentation that has not ended."""
    with page.workspace.store() as store:
        job = jobs.create_job(store, "augment", {})
        new = NewPair(record_id, job.id, 1, "unseen", "output", "tiny", 0, Scores(0.9, 0.9, 0.4, 1.1))
        pairs.add_pair(store, new)


def test_review_draws_what_arrived_and_many_pairs_are_decided_as_they_were_drawn(page: Page, visit: Visit) -> None:
    record_id = some_records(page.workspace)[0]
    visit.goto(page.client.src)
    visit.open("Review")
    visit.see("No pairs yet")
    some_pairs(page.workspace, record_id)
    visit.page.locator("#review-cards .card").nth(1).wait_for()
    arrive(page, record_id)
    visit.press("Accept shown")
    visit.see("Decided by you: 2")
    arrive(page, record_id)
    # Another threshold judges anew, and draws what has arrived.
    visit.page.locator("#review-cards input[type=range]").first.fill("0.5")
    visit.page.locator("#review-cards .card").nth(3).wait_for()
    visit.press("Reject shown")
    visit.see("Decided by you: 4")
