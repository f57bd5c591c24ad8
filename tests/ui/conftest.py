"""The real page on a free port and a private folder, driven by gradio_client; models are tiny and random."""

import contextlib
import dataclasses
import gc
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from gradio_client import Client

from app.__main__ import claim_port
from app.pipeline.generation import Writer
from app.pipeline.local_service import CloudAddress
from app.pipeline.workspace import Workspace, open_workspace
from app.ui.page import build_ui, launch_options
from app.ui.services import Services
from personal_store import pairs, records
from personal_store.jobs import create_job, set_state
from personal_store.nouns import NewPair, NewRecord, Scores
from tests.browsing import Visit, chromium, new_visit
from tests.tiny import tiny_gguf

NOWHERE = CloudAddress("http://127.0.0.1:9", "token", local=True)
"""No service answers there; these tests never ask one."""
HOSTILE = "<img src=x onerror=alert(1)> ${document.title='taken'} {{value}} `"


@dataclasses.dataclass(frozen=True)
class Page:
    """A running page and a client of it."""

    client: Client
    services: Services

    @property
    def workspace(self) -> Workspace:
        return self.services.workspace


def some_records(workspace: Workspace, count: int = 12) -> tuple[int, ...]:
    """A small history; the newest record tries to break out of the page."""
    new = [
        NewRecord(
            "title", f"Note {number} about the river.", f"river: note {number}", f"2024-01-{number + 1:02}", "test"
        )
        for number in range(count - 1)
    ]
    new.append(NewRecord("title", f"Hostile {HOSTILE}", f"title {HOSTILE}", "2024-02-01", "test"))
    with workspace.store() as store:
        return records.add_records(store, new).added


def some_pairs(workspace: Workspace, record_id: int) -> tuple[int, ...]:
    """One pair that the filters keep and one that they reject, as a finished augmentation leaves them."""
    scores = (Scores(0.9, 0.9, 0.4, 1.1), Scores(0.1, 0.9, 0.4, 1.1))
    with workspace.store() as store:
        job = create_job(store, "augment", {})
        made = tuple(
            pairs.add_pair(store, NewPair(record_id, job.id, number, f"input {number}", "output", "tiny", 0, score))
            for number, score in enumerate(scores, start=1)
        )
        set_state(store, job.id, "running")
        set_state(store, job.id, "done", result={"records": 1, "pairs": 2, "kept": 1})
    return made


def _collect() -> None:
    """Gradio and its client leave event loops to the collector; their warnings belong to no test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One running page for all tests of this folder; building and closing it takes three seconds."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as environment, contextlib.ExitStack() as tidy:
        environment.setenv("CDCDA_DEVICE_MODEL", str(tiny_gguf(folder)))
        environment.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        workspace = open_workspace(folder / "data")
        services = Services(workspace, NOWHERE, Writer(workspace))
        tidy.callback(_collect)
        blocks = build_ui(services)
        # Left to itself Gradio takes the first free port from 7860 up, and two processes that test can take the same.
        _, address, _ = blocks.launch(
            server_name="127.0.0.1", server_port=claim_port(0), prevent_thread_lock=True, **launch_options()
        )
        tidy.callback(blocks.close, verbose=False)
        tidy.callback(services.writer.close)
        client = Client(address, verbose=False)
        tidy.callback(client.close)
        yield Page(client, services)


@pytest.fixture
def page(served: Page, tmp_path: Path) -> Page:
    """The running page, moved to an empty folder."""
    # The workspace is frozen and shared by all handlers, so it is moved rather than replaced.
    object.__setattr__(served.workspace, "data_dir", open_workspace(tmp_path / "data").data_dir)
    served.services.cloud = NOWHERE
    # What a page keeps for its visitor, like a conversation, begins anew.
    served.client.reset_session()
    return served


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(page: Page, browser: Any, tmp_path: Path) -> Iterator[Visit]:
    visit = new_visit(browser, tmp_path)
    yield visit
    assert visit.faults == []
    visit.page.context.close()
