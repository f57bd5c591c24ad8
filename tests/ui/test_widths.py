"""Every tab fits its window, from a telephone to a wide screen, with nothing and with much to show.

CDCDA_SCREENSHOTS=shots python -m pytest -m slow tests/ui/test_widths.py
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browsing import MARKS, TABS, new_visit
from tests.ui import stages
from tests.ui.conftest import Page

pytestmark = MARKS

WIDTHS = (380, 768, 1280, 1920)
"""Pixels of CSS."""
STAGES = {"empty": lambda workspace: None, "records": stages.with_records, "lived-in": stages.lived_in}
DRAWN = "new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))"
"""Until a window of a new size is drawn, and what scripts make of the size."""
CUT = """() => {
    const width = document.documentElement.clientWidth;
    const beyond = (box) => box.right > width + 1 || box.left < -1;
    const scrolls = (node) => ['auto', 'scroll'].includes(getComputedStyle(node).overflowX);
    const reached = (node) => node !== document.body && (scrolls(node) || reached(node.parentElement));
    return [...document.querySelectorAll('body *')]
        .filter((node) => node.checkVisibility({visibilityProperty: true, opacityProperty: true}))
        .filter((node) => !node.closest('svg, thead') && beyond(node.getBoundingClientRect()) && !reached(node))
        .map((node) => `${node.outerHTML.slice(0, 80)} ${node.textContent.slice(0, 40)}`);
}"""
"""What reaches beyond the window and cannot be scrolled to; heads of narrow tables are for screen readers alone."""
PICTURES = os.environ.get("CDCDA_SCREENSHOTS")
SHOWN = (("empty", "light"), ("records", "dark"), ("lived-in", "light"), *((("lived-in", "dark"),) if PICTURES else ()))
"""Stages and themes; colours make nothing wider, so each stage is shown in one of them, unless pictures are wanted."""


@pytest.mark.parametrize(("stage", "scheme"), SHOWN)
def test_nothing_on_any_tab_is_cut_off_by_the_window(
    page: Page, browser: Any, tmp_path: Path, stage: str, scheme: str
) -> None:
    STAGES[stage](page.workspace)
    visit = new_visit(browser, Path(PICTURES or tmp_path), scheme=scheme)
    visit.goto(page.client.src)
    cut: list[tuple[str, int, str]] = []
    for tab in TABS:
        visit.turn_to(tab)
        for width in WIDTHS:
            visit.page.set_viewport_size({"width": width, "height": 900})
            visit.page.evaluate(DRAWN)
            if PICTURES:
                visit.shot(f"{stage}-{tab}-{scheme}-{width}")
            cut += [(tab, width, node) for node in visit.page.evaluate(CUT)]
    visit.page.context.close()
    assert cut == []
