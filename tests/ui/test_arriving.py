"""An augmentation under way: how far it is, how long it still takes, and what has arrived."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.pipeline.generation import Writer
from app.pipeline.local_service import CloudAddress
from app.pipeline.workspace import Workspace, open_workspace
from app.ui import arriving
from app.ui.header import header_view
from app.ui.services import Services
from personal_store import jobs
from tests.ui import stages


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three of twelve records done, and two of five samples of another, each told two seconds after the one before."""
    workspace = open_workspace(tmp_path)
    stages.with_records(workspace)
    begun = now = time.time()

    def told(store: Any, job_id: int, kind: str, data: Any, add: Callable[..., Any] = jobs.add_event) -> Any:
        nonlocal now
        now += 2
        monkeypatch.setattr(time, "time", lambda: now)
        return add(store, job_id, kind, data)

    monkeypatch.setattr(jobs, "add_event", told)
    stages.begin_augmenting(workspace)
    assert now > begun
    monkeypatch.setattr(time, "time", lambda: now)
    return workspace


def test_time_left_and_pairs_so_far_are_told(workspace: Workspace) -> None:
    shown = arriving.augment_view(workspace)
    # A record took 12 seconds: five pairs and the word that it is done; 8.6 of them are undone.
    assert shown["state"] == "3 of 12 records, about 2 min left"
    assert shown["detail"] == "17 new pairs so far, 8 kept by the filters."
    assert shown["done"] == pytest.approx(3.4)
    assert len(shown["pairs"]) == 8


def test_the_header_says_how_long_it_still_takes(workspace: Workspace) -> None:
    service = CloudAddress("http://127.0.0.1:9", "t", local=True)
    view = header_view(Services(workspace, service, Writer(workspace)))
    (now,) = [fact for fact in view["facts"] if fact["label"] == "Now"]
    assert now["value"] == "Augmenting, 28%, 2 min left"


def test_where_no_pair_came_it_is_said_what_to_do_and_nobody_is_sent_to_review(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)

    def ended(pairs: int) -> tuple[str, Any]:
        result = {"records": 2, "pairs": pairs, "kept": pairs, "failed": 10 - pairs, "failed_because": ["too long"]}
        with workspace.store() as store:
            job = jobs.create_job(store, "augment", {})
            jobs.set_state(store, job.id, "done", result=result)
        shown = arriving.augment_view(workspace)
        return shown["detail"], shown["go"]

    detail, onward = ended(0)
    assert detail.startswith("No new pairs from 2 records. 10 samples came to nothing (too long). Share more records,")
    assert "Review" not in detail
    assert onward is None
    detail, onward = ended(9)
    assert detail.endswith("Look at them under Review.")
    assert onward is not None
    assert onward[0] == "review"
