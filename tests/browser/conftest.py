"""The app as a process and a page of it in Chromium; the model that is trained is tiny and random."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.pipeline.workspace import Workspace, open_workspace
from tests.browsing import MINUTE, Visit, chromium, new_visit
from tests.tiny import tiny_gguf

READY = "CDCDA is ready at "


class App:
    """`cdcda-app` on one data folder, which can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.environment = os.environ | {"CDCDA_DEVICE_MODEL": str(tiny_gguf(folder / "model"))}
        self._process: subprocess.Popen[str] | None = None

    @property
    def workspace(self) -> Workspace:
        """Its data."""
        return open_workspace(self.data_dir)

    def start(self, port: int = 0) -> str:
        """Begin, and wait until it says where it is."""
        command = [sys.executable, "-m", "app", "--port", str(port), "--data-dir", str(self.data_dir), "--no-browser"]
        process = self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.environment)
        assert process.stdout is not None
        found = next((line.removeprefix(READY).strip() for line in process.stdout if line.startswith(READY)), None)
        assert found is not None, f"the app ended with {process.wait()}"
        return found

    def end(self, kind: signal.Signals) -> int:
        """Send it a signal and wait; the exit status."""
        assert self._process is not None
        self._process.send_signal(kind)
        with self._process:
            return self._process.wait(60)


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where pictures are kept."""
    return Path(os.environ.get("CDCDA_SCREENSHOTS") or tmp_path / "screenshots")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app that is not started yet."""
    app = App(tmp_path)
    yield app
    assert app.end(signal.SIGTERM) == 0


@pytest.fixture
def address(app: App) -> str:
    """Where a running app shows its page."""
    return app.start()


@pytest.fixture
def browser() -> Iterator[Any]:
    """Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(address: str, browser: Any, screenshots: Path) -> Visit:
    """The page, open."""
    visit = new_visit(browser, screenshots)
    visit.goto(address)
    return visit


def import_sample(visit: Visit) -> None:
    """Press the button that does it."""
    visit.press("Try it with a sample")
    visit.see("120 imported")


def share_first(visit: Visit, count: int) -> None:
    """Tick the first boxes of the Share tab."""
    visit.open("Share")
    for number in range(count):
        visit.page.locator("#share-records input[type=checkbox]").nth(number).click()
    visit.see(f"{count} of 120 records shared")


def approve(visit: Visit, pairs_each: int) -> None:
    """Preview what leaves, and approve it."""
    field = visit.page.get_by_label("number input for New pairs")
    field.fill(str(pairs_each))
    field.press("Tab")
    visit.press("Preview what leaves")
    visit.page.locator("#payload pre").first.wait_for()
    visit.press("Approve and augment")


def pairs_from(visit: Visit, records: int) -> int:
    """Wait for the end of an augmentation; the new pairs that it counts, which differ from run to run."""
    visit.see(f"new pairs? from {records} records", minutes=5)
    found = re.search(rf"(\w+) new pairs? from {records} records", visit.page.locator("#augmenting").inner_text())
    assert found
    return int(found.group(1).replace("No", "0"))


LONG = 20
"""Epochs that keep even the tiny model busy for a while."""


def begin_training(visit: Visit) -> None:
    """Press Train for a long training, and wait for the first steps."""
    visit.open("Personalise")
    visit.see("examples for Title")
    epochs_field = visit.page.get_by_label("number input for Epochs")
    if not epochs_field.is_visible():
        visit.press("Settings of the training")
    epochs_field.fill(str(LONG))
    epochs_field.press("Tab")
    visit.page.locator("#train-button").click()
    visit.page.locator("#training .curve").wait_for(timeout=5 * MINUTE)
