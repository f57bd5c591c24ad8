"""What a person has just asked for is in sight, in a window of usual size, and stays where they need it."""

import csv
from pathlib import Path

import pytest

from app.pipeline.judging import Thresholds, load_thresholds
from app.pipeline.review import reviewed_pairs
from tests.browsing import MARKS, Visit
from tests.ui import stages
from tests.ui.conftest import Page
from tests.ui.test_accessibility import violations

pytestmark = MARKS

ROWS = 80_000
"""Of a file whose import takes some seconds."""
ON_TOP = """(node) => {
    const box = node.getBoundingClientRect();
    const there = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return there !== null && (node.contains(there) || there.contains(node));
}"""
"""Whether the middle of an element is within the window, and nothing lies over it."""


def in_sight(visit: Visit, selector: str) -> bool:
    return bool(visit.page.locator(selector).first.evaluate(ON_TOP))


@pytest.mark.parametrize("height", [700, 900])
def test_what_would_leave_and_the_button_that_approves_it_are_in_sight(page: Page, visit: Visit, height: int) -> None:
    stages.with_records(page.workspace)
    visit.page.set_viewport_size({"width": 1280, "height": height})
    visit.goto(page.client.src)
    visit.open("Share")
    visit.page.locator("#share-records .record").first.wait_for()
    # Not Playwright's click, which would bring into sight what it presses next.
    visit.page.locator("#preview-button").evaluate("node => node.click()")
    visit.page.locator("#payload pre").first.wait_for()
    visit.page.wait_for_timeout(500)
    assert in_sight(visit, "#payload dl div")
    assert in_sight(visit, "#approve-button")


@pytest.mark.parametrize("width", [380, 1280])
def test_the_header_stays_in_sight(page: Page, visit: Visit, width: int) -> None:
    stages.lived_in(page.workspace)
    visit.page.set_viewport_size({"width": width, "height": 800})
    visit.goto(page.client.src)
    visit.page.locator("#history-records .record").first.wait_for()
    visit.page.mouse.move(width / 2, 500)
    visit.page.mouse.wheel(0, 900)
    visit.page.wait_for_function("window.scrollY > 300")
    assert in_sight(visit, "#header .fact")
    assert visit.page.locator("#header .fact").first.evaluate("node => node.getBoundingClientRect().top") < 100


def test_an_import_says_how_far_it_is_and_leads_on(page: Page, visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(["abstract", "title"])
        rows.writerows([f"Note {number} of the lane and the river.", f"Lane {number}"] for number in range(ROWS))
    visit.goto(page.client.src)
    visit.page.locator("input[type=file]").first.set_input_files(str(file))
    # The button comes with the preview, which may be drawn a moment later and push it down.
    visit.page.get_by_role("region", name="The first records of the file").wait_for()
    # In a window that the preview fills, the bar begins below what is in sight.
    height = round(visit.page.locator("#import-button").evaluate("node => node.getBoundingClientRect().bottom"))
    visit.page.set_viewport_size({"width": 1280, "height": height + 20})
    visit.page.locator("#import-button").click()
    visit.page.wait_for_function(
        f"(selector) => [...document.querySelectorAll(selector)].some({ON_TOP})",
        arg='.view-report [role="progressbar"]',
    )
    visit.see(f"{ROWS} imported", minutes=2)
    visit.page.locator(".view-report .go-button").click()
    visit.see(f"0 of {ROWS} records shared")


def test_a_threshold_is_moved_by_key_judges_at_once_and_is_taken_back(page: Page, visit: Visit) -> None:
    stages.with_records(page.workspace)
    stages.with_pairs(page.workspace)
    visit.goto(page.client.src)
    visit.open("Review")
    visit.see("24 of 60 pairs kept")
    slider = visit.page.get_by_label("Meaning stays at least")
    line = visit.page.locator(".histogram .threshold").first
    before = float(line.get_attribute("x1"))
    slider.focus()
    for _ in range(2):
        visit.page.keyboard.press("PageUp")
    visit.see("12 of 60 pairs kept")
    visit.see("24 of 60 pass")
    assert load_thresholds(page.workspace).entailment == pytest.approx(0.9)
    assert float(line.get_attribute("x1")) == pytest.approx(before + 20)
    assert slider.evaluate("node => node === document.activeElement")
    assert violations(visit) == []
    visit.page.locator("#review-undo").click()
    visit.see("24 of 60 pairs kept")
    assert float(slider.input_value()) == pytest.approx(0.7)
    assert load_thresholds(page.workspace) == Thresholds()


def test_both_texts_of_a_pair_are_edited(page: Page, visit: Visit) -> None:
    stages.with_records(page.workspace)
    stages.with_pairs(page.workspace)
    visit.goto(page.client.src)
    visit.open("Review")
    visit.page.locator("#review-cards .card").nth(1).focus()
    visit.page.keyboard.press("e")
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.type("A lane under water")
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.type("The lane flooded.")
    visit.page.keyboard.press("Control+Enter")
    visit.see("kept, edited by you")
    edited = reviewed_pairs(page.workspace)[1]
    assert (edited.output, edited.input) == ("A lane under water", "The lane flooded.")


def test_share_shows_the_ticked_alone_and_what_left(page: Page, visit: Visit) -> None:
    stages.with_records(page.workspace)
    stages.with_pairs(page.workspace)
    visit.goto(page.client.src)
    visit.open("Share")
    visit.page.locator("#share-records .record").nth(20).wait_for()
    visit.page.get_by_role("combobox", name="Show").locator("visible=true").click()
    visit.page.get_by_role("option", name="Ticked", exact=True).click()
    visit.page.locator("#share-records .record").nth(12).wait_for(state="detached")
    assert visit.page.locator("#share-records input:checked").count() == stages.SHARED
    visit.page.locator("button.label-wrap", has_text="What left this computer").click()
    visit.see("12 records, 5.1 kB")
    visit.press("The whole ledger is in Settings")
    visit.page.locator("#ledger").wait_for()


def test_a_reload_comes_back_to_the_tab_that_was_open(page: Page, visit: Visit) -> None:
    visit.goto(page.client.src)
    visit.open("Insights")
    visit.reload()
    visit.page.locator("#scores .empty").wait_for()
