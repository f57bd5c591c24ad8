"""A record that leaves with placeholders: what they stand for stays at home and is put back into what returns."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.pipeline import editing, jobs
from app.pipeline.payload import build_payload, destination_of
from app.pipeline.sharing import share_ids
from app.pipeline.workspace import Workspace, open_workspace
from personal_store import pairs
from tests.pipeline.recording_service import SUMMARY, encoded, pair_line, recording_service

ADDRESS, PHONE = "jo@example.org", "+49 170 1234567"
TEXT = f"Write to {ADDRESS} or call {PHONE} about the found dog."


def echo(request: dict[str, Any], skip: list[str]) -> Iterator[bytes]:
    """A pair that repeats the record, in capitals at the second time."""
    (record,) = request["records"]
    for number, texts in enumerate(((record["input"], record["output"]), (record["input"].upper(), "A dog")), 1):
        yield from encoded(pair_line(record["reference"], number, input=texts[0], output=texts[1]))
    yield from encoded({"type": "record", "reference": record["reference"]}, SUMMARY)


def augmented(workspace: Workspace, url: str, address: Any) -> None:
    """Send what is shared, approved, and wait until the job has ended."""
    payload = build_payload(workspace, destination_of(url), k=2)
    job = jobs.start_augment(workspace, payload, payload.approval, address)
    for _ in jobs.follow(workspace, job.id, poll=0.05):
        pass
    jobs.end_workers()
    assert jobs.get(workspace, job.id).state == "done"


@pytest.mark.parametrize("unticked", [False, True], ids=["as it was", "unticked while the service answers"])
def test_placeholders_leave_and_the_originals_come_back(tmp_path: Path, unticked: bool) -> None:
    workspace = open_workspace(tmp_path)
    record = editing.add(workspace, "title", TEXT, f"Dog seeks {ADDRESS}")
    share_ids(workspace, [record.id], True, "redacted")
    asked = threading.Event()

    def answer(request: dict[str, Any], skip: list[str]) -> Iterator[bytes]:
        if unticked:
            share_ids(workspace, [record.id], False)
        asked.set()
        yield from echo(request, skip)

    with recording_service() as service:
        service.answer = answer
        augmented(workspace, service.url, service.address)
    (body,) = service.bodies
    assert asked.is_set()
    assert ADDRESS.encode() not in body
    assert PHONE.encode() not in body
    assert body.count(b"[e-mail address 1]") == 2
    with workspace.store() as store:
        first, second = pairs.find_pairs(store)
    assert (first.input, first.output) == (TEXT, f"Dog seeks {ADDRESS}")
    assert ADDRESS in second.input
    assert PHONE in second.input
