"""For everyone: axe-core finds nothing serious on any tab in either theme, and the keyboard alone is enough."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from app.pipeline.sharing import shared_now
from app.pipeline.workspace import Workspace
from tests.browsing import MARKS, SCHEMES, TABS, Visit, new_visit
from tests.ui import stages
from tests.ui.conftest import Page

pytestmark = MARKS

GRAVE = ("serious", "critical")
PRESSES = 150
"""Presses of Tab after which something counts as out of reach."""


def unfold(visit: Visit) -> None:
    """Open what is folded, so that it is looked at too."""
    folded = "button.label-wrap:not(.open)"
    visit.page.evaluate("folded => document.querySelectorAll(folded).forEach((button) => button.click())", folded)
    visit.page.wait_for_timeout(300)


def violations(visit: Visit) -> list[str]:
    """What axe-core finds wrong in what is visible now."""
    found = Axe().run(visit.page).response["violations"]
    return [
        f"{rule['impact']}: {rule['id']}, {node['html'][:150]}, {node['failureSummary']}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"][:5]
    ]


def nothing(workspace: Workspace) -> None:
    """A workspace as it begins."""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("stage", [nothing, stages.lived_in], ids=["empty", "lived-in"])
def test_no_tab_has_a_serious_violation(
    page: Page, browser: Any, tmp_path: Path, stage: Callable[[Workspace], None], scheme: str
) -> None:
    stage(page.workspace)
    visit = new_visit(browser, tmp_path, scheme=scheme)
    visit.goto(page.client.src)
    found = {}
    for tab in TABS:
        visit.turn_to(tab)
        unfold(visit)
        found[tab] = violations(visit)
    visit.page.context.close()
    assert found == {tab: [] for tab in TABS}


def test_question_about_something_personal_has_no_serious_violation(page: Page, browser: Any, tmp_path: Path) -> None:
    texts = {"action": "write", "task": "title", "input": "Write to jo@example.org", "output": "The dog"}
    page.client.predict(texts, api_name="/change_records")
    visit = new_visit(browser, tmp_path)
    visit.goto(page.client.src)
    visit.open("Share")
    visit.page.locator("#share-records input[type=checkbox]").first.click()
    visit.page.locator("dialog[open]").wait_for()
    assert violations(visit) == []
    visit.page.keyboard.press("Escape")
    visit.page.locator("dialog").wait_for(state="detached")
    assert shared_now(page.workspace).shared == ()
    visit.page.context.close()


def test_passing_note_has_no_serious_violation(page: Page, browser: Any, tmp_path: Path) -> None:
    visit = new_visit(browser, tmp_path)
    visit.goto(page.client.src)
    visit.turn_to("settings")
    visit.press("Use this address")
    note = visit.page.get_by_test_id("toast-body")
    note.wait_for()
    assert violations(visit) == []
    note.get_by_role("button", name="Close").click()
    note.wait_for(state="detached")
    visit.page.context.close()


FOCUS = """() => {
    const node = document.activeElement, style = getComputedStyle(node), around = node.closest('.wrap, label, .block');
    const ring = (style) => style.boxShadow !== 'none'
        || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0);
    return {
        name: node.getAttribute('aria-label') || node.innerText || node.tagName,
        role: node.getAttribute('role') || node.tagName.toLowerCase(),
        seen: ring(style) || (around ? ring(getComputedStyle(around)) : false),
        html: node.outerHTML.slice(0, 120),
    };
}"""


def tab_to(visit: Visit, name: str) -> dict[str, Any]:
    """Press Tab until something with that name has the focus; everything on the way must show that it has it."""
    for _ in range(PRESSES):
        visit.page.keyboard.press("Tab")
        focus: dict[str, Any] = visit.page.evaluate(FOCUS)
        assert focus["seen"] or focus["role"] == "body", f"no visible focus on {focus['html']}"
        if str(focus["name"]).strip().startswith(name):
            return focus
    pytest.fail(f"{name} cannot be reached with the keyboard")


def press(visit: Visit, name: str, key: str = "Enter") -> None:
    tab_to(visit, name)
    visit.page.keyboard.press(key)


def from_the_top(visit: Visit) -> None:
    """Put the focus where it is when a page opens."""
    visit.page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    visit.page.mouse.click(2, 2)


def test_keyboard_alone_goes_from_the_sample_to_a_decision(page: Page, browser: Any, tmp_path: Path) -> None:
    visit = new_visit(browser, tmp_path)
    visit.goto(page.client.src)
    press(visit, "Try it with a sample")
    visit.see("120 imported")
    from_the_top(visit)
    press(visit, "Share")
    visit.page.locator("#share-records .record").first.wait_for()
    press(visit, "Share record", "Space")
    visit.see("1 of 120 records shared")
    stages.with_pairs(page.workspace)
    from_the_top(visit)
    press(visit, "Review")
    visit.page.locator("#review-cards .card").first.wait_for()
    from_the_top(visit)
    visit.see("Decided by you: 2")
    for key in "jjr":
        visit.page.keyboard.press(key)
    visit.see("Decided by you: 3")
    visit.page.keyboard.press("u")
    visit.see("Decided by you: 2")
    visit.page.context.close()
