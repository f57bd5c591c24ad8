import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ApprovalMismatch, BadInput, NothingShared
from app.pipeline.estimating import estimate
from app.pipeline.local_service import CloudAddress
from app.pipeline.payload import (
    LOCAL_DESTINATION,
    NOT_SAID,
    PROMPTS,
    build_payload,
    destination_of,
    rebuild_payload,
    require_approved,
    require_destination,
)
from app.pipeline.sharing import share_ids, share_none, share_ratio
from cloud_stub.schemas import AugmentRequest, PromptForm
from personal_store import forgetting, ledger, records
from tests.pipeline.support import new_record, workspace_with


def test_the_payload_is_the_shared_records_in_the_protocols_words(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 3)
    share_ids(workspace, ids[:2])
    payload = build_payload(workspace, k=2, seed=7)
    request = AugmentRequest.model_validate_json(payload.body)
    assert [record.output for record in request.records] == ["Title 0", "Title 1"]
    assert (request.k, request.seed, request.temperature, request.answer) == (2, 7, 0.7, "text")
    assert payload.sha256 == hashlib.sha256(payload.body).hexdigest()
    assert [payload.references[record.reference] for record in request.records] == list(ids[:2])
    assert payload.destination == LOCAL_DESTINATION


def test_what_is_asked_for_is_said_in_words(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 1)
    share_ids(workspace, ids)
    assert set(PROMPTS) == set(get_args(PromptForm))
    for prompt, words in PROMPTS.items():
        said = build_payload(workspace, k=3, seed=7, prompt=prompt).asked
        assert said.startswith(f"3 new pairs for each record, asked for {words} (prompt '{prompt}')")
        assert "temperature 0.7, seed 7; meaning kept at least 0.7" in said


def test_the_body_is_canonical_and_holds_no_id(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 1)
    share_ids(workspace, ids)
    body = json.loads(build_payload(workspace).body)
    assert build_payload(workspace).body == json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    assert set(body["records"][0]) == {"reference", "input", "output"}


def test_an_approval_holds_until_the_next_upload_and_references_then_change(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    share_ids(workspace, ids)
    first = build_payload(workspace)
    assert build_payload(workspace) == first
    with workspace.store() as store:
        ledger.append_upload(store, str(first.destination), ids, 1, "0" * 64, "sent")
    second = build_payload(workspace)
    assert not set(first.references) & set(second.references)


def test_references_of_two_stores_have_nothing_in_common(tmp_path: Path) -> None:
    payloads = []
    for name in ("a", "b"):
        workspace, ids = workspace_with(tmp_path / name, 2)
        share_ids(workspace, ids)
        payloads.append(build_payload(workspace))
    assert not set(payloads[0].references) & set(payloads[1].references)


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_nothing_that_is_not_shared_is_in_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, marks: list[bool]
) -> None:
    workspace, _ = workspace_with(tmp_path_factory.mktemp("canary"), 0)
    with workspace.store() as store:
        new = [new_record(number, text=f"canary-{number:03} sings") for number in range(len(marks))]
        ids = records.add_records(store, new).added
    share_ids(workspace, [id for id, mark in zip(ids, marks, strict=True) if mark])
    body = build_payload(workspace).body.decode()
    for number, mark in enumerate(marks):
        assert (f"canary-{number:03} sings" in body) == mark


def test_a_payload_is_of_the_task_that_is_shared_most_unless_one_is_named(tmp_path: Path) -> None:
    workspace, titles = workspace_with(tmp_path, 3, "title")
    with workspace.store() as store:
        tags = records.add_records(store, [new_record(number, "tag") for number in range(2)]).added
    share_ids(workspace, [*titles, *tags])
    assert (build_payload(workspace).task, build_payload(workspace).other_tasks) == ("title", {"tag": 2})
    named = build_payload(workspace, task="LaMP_2")
    assert (named.task, named.record_ids, named.request["answer"]) == ("tag", tags, "label")
    with pytest.raises(NothingShared, match="'chat'"):
        build_payload(workspace, task="chat")


def test_nothing_shared_is_said(tmp_path: Path) -> None:
    workspace, _ = workspace_with(tmp_path, 2)
    with pytest.raises(NothingShared, match="cdcda share"):
        build_payload(workspace)


@pytest.mark.parametrize("settings", [{"k": 0}, {"k": 21}, {"seed": -1}])
def test_settings_out_of_range_are_refused_without_repeating_a_record(tmp_path: Path, settings: dict[str, int]) -> None:
    workspace, ids = workspace_with(tmp_path, 1)
    share_ids(workspace, ids)
    with pytest.raises(BadInput) as refused:
        build_payload(workspace, **settings)  # type: ignore[arg-type]
    assert "Input number" not in str(refused.value)


def test_only_the_approved_hash_is_accepted(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    share_ids(workspace, ids)
    payload = build_payload(workspace)
    require_approved(payload, payload.approval.upper())
    for wrong in ("", "0" * 64, payload.approval[:-1], payload.sha256, "é"):
        with pytest.raises(ApprovalMismatch):
            require_approved(payload, wrong)
    share_none(workspace)
    share_ratio(workspace, 0.0)


def test_an_approval_is_for_one_place_alone(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    share_ids(workspace, ids)
    places = (
        LOCAL_DESTINATION,
        *(destination_of("http://127.0.0.1:9", host) for host in (None, NOT_SAID, "a.example")),
    )
    payloads = [build_payload(workspace, place) for place in places]
    assert len({payload.sha256 for payload in payloads}) == 1
    for payload in payloads:
        for other in payloads:
            if other is not payload:
                with pytest.raises(ApprovalMismatch, match="nothing was sent"):
                    require_approved(other, payload.approval)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "http://127.0.0.1/", "http://127.0.0.1:80"])
def test_a_service_that_is_named_by_this_computers_bare_address_is_not_the_apps_own(tmp_path: Path, url: str) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    share_ids(workspace, ids)
    named = build_payload(workspace, destination_of(url))
    assert str(named.destination) == "http://127.0.0.1:80/v1/augment"
    assert estimate(workspace, named).cost is None
    with pytest.raises(ApprovalMismatch):
        require_approved(named, build_payload(workspace).approval)
    with pytest.raises(ApprovalMismatch):
        require_destination(LOCAL_DESTINATION.url, CloudAddress(url, "token"))


def test_an_approval_can_be_reckoned_by_hand(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    share_ids(workspace, ids)
    payload = build_payload(workspace)
    lines = f"http://127.0.0.1/v1/augment\n{hashlib.sha256(payload.body).hexdigest()}\n"
    assert payload.approval == hashlib.sha256(lines.encode()).hexdigest()


def test_what_was_approved_is_rebuilt_byte_for_byte_or_not_at_all(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 3)
    share_ids(workspace, ids[:2])
    payload = build_payload(workspace, k=3)

    def again(**changes: Any) -> bytes:
        settings = dataclasses.replace(payload.settings, **changes)
        rebuilt = rebuild_payload(
            workspace, payload.destination, payload.record_ids, settings, payload.uploads, payload.sha256
        )
        return rebuilt.body

    share_ids(workspace, [ids[2]])
    assert again() == payload.body
    with pytest.raises(ApprovalMismatch):
        again(k=4)
    with workspace.store() as store:
        records.update_record(store, ids[0], output="Another title")
    with pytest.raises(ApprovalMismatch, match="changed"):
        again()
    with workspace.store() as store:
        records.update_record(store, ids[0], output="Title 0")
    assert again() == payload.body
    share_ids(workspace, [ids[0]], shared=False)
    with pytest.raises(ApprovalMismatch, match="changed"):
        again()
    with workspace.store() as store:
        forgetting.forget_record(store, ids[0])
    with pytest.raises(ApprovalMismatch, match="changed"):
        again()
