"""The app's own augmentation service, the real one, killed under a page that goes on."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.pipeline import cloud, jobs
from app.pipeline.generation import Writer
from app.pipeline.local_service import OwnService
from app.pipeline.sharing import share_ids
from app.ui import share, strings
from app.ui.services import Services
from app.ui.settings import chosen_cloud
from personal_store.nouns import ENDED, Job
from tests.pipeline.support import workspace_with
from tests.ui.conftest import NOWHERE

PATIENCE = 120.0
"""Seconds that an augmentation of one record may take."""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """A page with a service of its own, and one record that is shared."""
    workspace, ids = workspace_with(tmp_path, 1)
    share_ids(workspace, ids)
    with contextlib.closing(OwnService(workspace)) as own:
        yield Services(workspace, own.address, Writer(workspace), own)
    jobs.end_workers()


def kill(services: Services) -> None:
    """End the service as the system does when it needs memory."""
    assert services.own is not None
    process = services.own._service._process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ended(services: Services) -> Job:
    until = time.monotonic() + PATIENCE
    while (job := jobs.listing(services.workspace)[0]).state not in ENDED:
        assert time.monotonic() < until, job
        time.sleep(0.1)
    return job


def test_a_service_that_was_killed_is_started_again_once(services: Services) -> None:
    before = services.cloud
    kill(services)
    now = services.reached()
    assert now != before
    assert cloud.capabilities(services.workspace, now).models
    assert services.reached() == services.cloud == chosen_cloud(services, "", "") == now


def test_one_that_was_chosen_instead_is_not_replaced(services: Services) -> None:
    kill(services)
    services.cloud = chosen_cloud(services, "http://127.0.0.1:9", "token")
    assert services.reached() == services.cloud
    assert services.cloud.url == NOWHERE.url


def test_a_weak_service_that_was_killed_is_still_said_to_be_weak(services: Services) -> None:
    kill(services)
    assert share.weak_view(services)["title"] == strings.WEAK_TITLE


@pytest.mark.slow
def test_what_was_approved_before_the_service_was_killed_is_sent_and_resumed(services: Services) -> None:
    actions = share.Actions(services)
    _, approved, _ = actions.preview(1, "")
    kill(services)
    actions.approve(approved, 1, "")
    kill(services)
    failed = ended(services)
    assert (failed.state, (failed.error or "").split(";")[0]) == (
        "failed",
        "The augmentation service cannot be reached",
    )
    actions.resume()
    assert ended(services).state == "done"
