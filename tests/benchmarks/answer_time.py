"""How long after a click the page shows that it was heard: every button of the journey, in Chromium.

    python -m tests.benchmarks.answer_time [--runs 5]

A click is answered by the first frame in which anything that a person can see differs: a text, a box, a button that is
disabled or says that it is busy. Looking itself takes a few milliseconds a frame, which are in the figures.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.pipeline.workspace import Workspace, open_workspace
from tests.benchmarks.page_speed import running
from tests.browsing import Visit, chromium, new_visit
from tests.pipeline.support import usable_adapter
from tests.tiny import tiny_gguf
from tests.ui import stages

LIMIT_MS = 100.0
SELDOM = 3600.0
"""Seconds between two looks at the state: none comes between a click and its answer."""

ANSWER = """([list, number]) => new Promise((resolve, reject) => {
    const seen = () => {
        const parts = [document.body.innerText];
        for (const node of document.querySelectorAll('button, input, textarea, progress'))
            if (node.offsetParent) parts.push(node.disabled, node.checked, node.value, node.getAttribute('aria-busy'),
                node.getAttribute('aria-pressed'), Boolean(node.closest('.is-busy')),
                node.getAttribute('aria-expanded'));
        return parts.join('|');
    };
    const node = [...document.querySelectorAll(list)].filter((found) => found.offsetParent)[number];
    if (!node) return reject(new Error(`nothing to press: ${list}`));
    const before = seen(), began = performance.now();
    const look = () => {
        const now = performance.now();
        if (seen() !== before) return resolve(now - began);
        if (now - began > 5000) return resolve(5000);
        requestAnimationFrame(look);
    };
    node.click();
    requestAnimationFrame(look);
})"""
"""Milliseconds from a click to the frame in which something that can be seen has changed."""


@dataclasses.dataclass(frozen=True)
class Press:
    """Something that a person presses."""

    tab: str
    name: str
    selector: str
    first: str = ""
    """What has to be pressed before, not timed."""
    once: bool = False
    """It starts something that the next press would find running."""


def button(words: str) -> str:
    """Gradio's buttons by their words, told apart in the page."""
    return f"button[data-words={words!r}]"


WRITE_TEXT = "#samples button"
LATER_TABS = ("settings", "insights", "write", "personalise", "review", "share")
PRESSES = (
    # The first opening, which lays the tab out, is the one that a person waits for.
    *(Press("history", f"open {tab}", f'button[data-tab-id="{tab}"]', once=True) for tab in LATER_TABS),
    Press("history", "open a record", "#history-records .record-open"),
    Press("history", "Add a record", "#history-records .record-tools > .small-button", once=True),
    Press("history", "next page", "#history-records .pager button:last-child", once=True),
    Press("history", "Try it with a sample", "#sample-button"),
    Press("share", "tick a box", "#share-records .share-box input"),
    Press("share", "Propose", button("Propose")),
    Press("share", "Share none", button("Share none")),
    Press("share", "Preview what leaves", "#preview-button", first=button("Propose")),
    Press("share", "Approve and augment", "#approve-button", first="#preview-button", once=True),
    Press("review", "Accept", '#review-cards [data-kind="accepted"]', once=True),
    Press("review", "Edit", '#review-cards [data-kind="edited"]'),
    Press("review", "Accept shown", button("Accept shown")),
    Press("review", "Undo", "#review-undo"),
    Press("review", "show the kept ones", "fieldset label:nth-of-type(2) input", once=True),
    Press("personalise", "a preset", "#preset label:nth-of-type(3) input", once=True),
    Press("personalise", "Use an adapter", "#adapters button"),
    Press("personalise", "Train", "#train-button", once=True),
    Press("write", "another task", "#write-task label:nth-of-type(2) input", first="#write-task label input"),
    Press("write", "the first task", "#write-task label:nth-of-type(1) input", once=True),
    Press("write", "Write", "#write-button", first=WRITE_TEXT),
    Press("write", "Write again", button("Write again")),
    Press("write", "About the same", button("About the same"), once=True),
    Press("write", "Keep as a record", "#answers .answer-actions button:last-child", once=True),
    Press("insights", "Measure", "#measure-button", once=True),
    Press("settings", "Use this address", button("Use this address")),
    Press("settings", "Export everything", button("Export everything")),
    Press("settings", "Examine this computer", button("Examine this computer"), once=True),
)

NAME_BUTTONS = (
    """() => document.querySelectorAll('button').forEach((node) => { node.dataset.words = node.innerText.trim(); })"""
)
SETTLED = """() => !document.querySelector('[aria-busy="true"], .is-waiting, .is-busy')"""


def time_press(visit: Visit, press: Press) -> float:
    """Milliseconds of one press, from a page at rest."""
    page: Any = visit.page
    page.evaluate(NAME_BUTTONS)
    if press.first:
        page.evaluate(ANSWER, [press.first, 0])
        page.wait_for_timeout(900)
        page.evaluate(NAME_BUTTONS)
    taken: float = page.evaluate(ANSWER, [press.selector, 0])
    page.wait_for_timeout(1200)
    page.wait_for_function(SETTLED)
    return taken


def measure(visit: Visit, runs: int) -> dict[str, list[float]]:
    """Milliseconds of every press."""
    found = {}
    for press in PRESSES:
        visit.turn_to(press.tab)
        found[press.name] = [time_press(visit, press) for _ in range(1 if press.once else runs)]
        print(f"| {press.tab} | {press.name} | {statistics.median(found[press.name]):.0f} ms"
              f" | {max(found[press.name]):.0f} ms |", flush=True)  # fmt: skip
    return found


def prepare(workspace: Workspace) -> None:
    """A history with pairs, votes and an adapter that can be used."""
    stages.lived_in(workspace)
    usable_adapter(workspace)


def main() -> int:
    """Measure and print; 1 where a median is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        os.environ["CDCDA_DEVICE_MODEL"] = str(tiny_gguf(folder))
        prepare(open_workspace(folder / "data"))
        for address, _ in running(folder / "data", SELDOM):
            visit = new_visit(browser, folder)
            visit.goto(address)
            print("| tab | press | median | longest |\n|---|---|---|---|")
            found = measure(visit, options.runs)
    slow = [name for name, values in found.items() if statistics.median(values) > LIMIT_MS]
    print(f"\nAbove {LIMIT_MS:.0f} ms: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
