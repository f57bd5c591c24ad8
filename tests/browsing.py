"""Debian's Chromium for tests: how it is started, and one open page with what it asked of whom."""

import contextlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--headless=new", "--disable-background-networking", "--disable-component-update"]
MINUTE = 60_000
TABS = ("history", "share", "review", "personalise", "write", "insights", "settings")
SCHEMES = ("light", "dark")

MARKS = [
    pytest.mark.slow,
    # Continuous integration sets the variable: there, a missing browser is a failure and not a skip.
    pytest.mark.skipif(
        not CHROMIUM.exists() and "CDCDA_REQUIRE_BROWSER" not in os.environ, reason="needs Debian's chromium"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""For every test file that opens a browser."""


class Visit:
    """One open page, what it asked of whom, and its screenshots."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page, self.folder = page, folder
        self.hosts: set[str] = set()
        self.faults: list[str] = []
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda socket: self._note(socket.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def _note(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname or "")

    def goto(self, address: str) -> None:
        """Open the page there and wait until it shows something."""
        self.page.goto(address)
        self.wait()

    def reload(self) -> None:
        """Load it again."""
        self.page.reload()
        self.wait()

    def wait(self) -> None:
        """Until the header says something."""
        self.page.locator("#header .fact").first.wait_for()

    def shot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(400)
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)

    def open(self, tab: str) -> None:
        """Open a tab by its name, as a person does."""
        self.page.get_by_role("tab", name=tab, exact=True).first.click()

    def turn_to(self, tab: str) -> None:
        """Open a tab by its id, also where the window is so narrow that it stands in a menu."""
        self.page.evaluate('tab => document.querySelector(`button[data-tab-id="${tab}"]`).click()', tab)
        self.page.wait_for_timeout(600)

    def press(self, name: str) -> None:
        """Press the first button of that name."""
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def see(self, text: str, minutes: float = 0.5) -> None:
        """Wait until a text that matches is there."""
        self.page.get_by_text(re.compile(text)).first.wait_for(timeout=minutes * MINUTE)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser; it ends with the block."""
    playwright_api = pytest.importorskip("playwright.sync_api")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


def new_visit(browser: Any, folder: Path, *, scheme: str = "light", width: int = 1280, height: int = 900) -> Visit:
    """A fresh page of its own context, with no address yet."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(MINUTE)
    return Visit(page, folder)
