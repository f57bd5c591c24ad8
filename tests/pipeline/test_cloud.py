import dataclasses
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import ApprovalMismatch, BadInput, CloudError, Offline
from app.pipeline import cloud
from app.pipeline.cloud import CloudLine, find_destination, send_approved
from app.pipeline.editing import edit
from app.pipeline.forgetting import forget
from app.pipeline.local_service import CloudAddress
from app.pipeline.network import is_this_computer, require_allowed, set_offline
from app.pipeline.payload import LOCAL_DESTINATION, NOT_SAID, Payload, build_payload, destination_of
from app.pipeline.sharing import share_ids
from app.pipeline.workspace import Workspace
from cloud_stub.schemas import FailureLine, PairLine
from personal_store import ledger
from tests.pipeline.recording_service import SUMMARY, RecordingService, encoded, pair_line
from tests.pipeline.support import workspace_with


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made, ids = workspace_with(tmp_path, 3)
    share_ids(made, ids[:2])
    return made


def payload_for(workspace: Workspace, service: RecordingService, k: int = 2) -> Payload:
    return build_payload(workspace, find_destination(workspace, service.address), k=k)


def send(workspace: Workspace, service: RecordingService, **options: Any) -> list[CloudLine]:
    payload = payload_for(workspace, service)
    return list(send_approved(workspace, payload, payload.approval, service.address, **options))


def outcomes(workspace: Workspace) -> list[str]:
    with workspace.store() as store:
        return [upload.outcome for upload in ledger.uploads(store)]


def test_exactly_the_approved_bytes_arrive_and_the_ledger_says_so(
    workspace: Workspace, service: RecordingService
) -> None:
    payload = payload_for(workspace, service)
    lines = list(send_approved(workspace, payload, payload.approval, service.address))
    assert service.bodies == [payload.body]
    assert service.tokens == ["Bearer token"]
    assert sum(isinstance(line, PairLine) for line in lines) == 4
    with workspace.store() as store:
        (upload,) = ledger.uploads(store)
    assert (upload.sha256, upload.bytes, upload.record_ids, upload.outcome) == (
        service.hashes[0],
        len(payload.body),
        payload.record_ids,
        "sent",
    )


def test_another_hash_sends_nothing(workspace: Workspace, service: RecordingService) -> None:
    payload = payload_for(workspace, service)
    with pytest.raises(ApprovalMismatch):
        list(send_approved(workspace, payload, "0" * 64, service.address))
    assert (service.bodies, outcomes(workspace)) == ([], [])


def test_an_approval_for_one_service_is_none_for_another(workspace: Workspace, service: RecordingService) -> None:
    payload = build_payload(workspace, destination_of("https://elsewhere.example"))
    with pytest.raises(ApprovalMismatch, match="approved for https://elsewhere"):
        list(send_approved(workspace, payload, payload.approval, service.address))
    local = build_payload(workspace)
    far = CloudAddress("https://elsewhere.example", "token", local=True)
    with pytest.raises(ApprovalMismatch):
        list(send_approved(workspace, local, local.approval, far))
    assert (service.bodies, outcomes(workspace)) == ([], [])


def test_a_service_that_is_down_leaves_a_line_that_nothing_left(workspace: Workspace) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    payload = build_payload(workspace, destination_of(url))
    with pytest.raises(CloudError, match="cannot be reached"):
        list(send_approved(workspace, payload, payload.approval, CloudAddress(url, "token")))
    (outcome,) = outcomes(workspace)
    assert outcome.startswith("not sent: The augmentation service cannot be reached")


def test_the_offline_switch_keeps_everything_on_this_computer(workspace: Workspace) -> None:
    set_offline(workspace, True)
    url = "https://elsewhere.example"
    payload = build_payload(workspace, destination_of(url))
    with pytest.raises(Offline, match=r"elsewhere\.example"):
        list(send_approved(workspace, payload, payload.approval, CloudAddress(url, "token")))
    assert outcomes(workspace)[0].startswith("not sent: The offline switch")
    require_allowed(workspace, "http://127.0.0.1:1")
    set_offline(workspace, False)
    require_allowed(workspace, url)


def test_the_offline_switch_is_closed_to_a_service_here_that_passes_records_on(
    workspace: Workspace, service: RecordingService
) -> None:
    set_offline(workspace, True)
    for said, named in (("api.example:8443", "api.example:8443"), (" \x07", "a server that it does not name")):
        service.passes_on_to = said
        with pytest.raises(Offline, match=f"passes on to {named} what"):
            send(workspace, service)
    service.says_what_it_can = False
    with pytest.raises(CloudError, match="status 404"):
        send(workspace, service)
    assert service.bodies == []
    assert all(outcome.startswith("not sent: ") for outcome in outcomes(workspace))
    service.says_what_it_can = True
    for host in ("127.0.0.1:8000", None):
        service.passes_on_to = host
        send(workspace, service)
    set_offline(workspace, False)
    service.passes_on_to = "api.example"
    send(workspace, service)
    assert len(service.bodies) == 3


def test_a_service_is_asked_where_records_go_on_to(workspace: Workspace, service: RecordingService) -> None:
    assert find_destination(workspace, None) == LOCAL_DESTINATION
    assert find_destination(workspace, dataclasses.replace(service.address, local=True)) == LOCAL_DESTINATION
    address = f"{service.url}/v1/augment"
    assert str(find_destination(workspace, service.address)) == address
    service.passes_on_to = "api.example\x1b[31m\nand nobody"
    said = str(find_destination(workspace, service.address))
    assert said == f"{address}, which passes records on to api.example[31m and nobody"
    service.says_what_it_can = False
    said = str(find_destination(workspace, service.address))
    assert said == f"{address}, which did not say whether it passes records on"


def test_records_go_on_to_no_other_server_than_the_one_approved(
    workspace: Workspace, service: RecordingService
) -> None:
    payload = payload_for(workspace, service)
    service.passes_on_to = "api.example"
    with pytest.raises(ApprovalMismatch, match=r"would go to http.*, which passes records on to api\.example; nothing"):
        list(send_approved(workspace, payload, payload.approval, service.address))
    assert service.bodies == []
    assert outcomes(workspace)[0].startswith("not sent: The payload was approved for")
    send(workspace, service)
    with workspace.store() as store:
        assert (
            ledger.uploads(store)[-1].destination == f"{service.url}/v1/augment, which passes records on to api.example"
        )
        assert ledger.broken_line(store) is None


def test_who_approved_without_knowing_where_records_go_on_to_is_not_asked_again(
    workspace: Workspace, service: RecordingService
) -> None:
    service.says_what_it_can = False
    payload = payload_for(workspace, service)
    assert payload.destination.passes_on_to == NOT_SAID
    list(send_approved(workspace, payload, payload.approval, service.address))
    assert service.hashes == [payload.sha256]


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8765", True),
        ("http://localhost", True),
        ("http://[::1]:5", True),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1@example.org/", False),
        ("https://example.org", False),
    ],
)
def test_only_loopback_addresses_are_this_computer(url: str, here: bool) -> None:
    assert is_this_computer(url) == here


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://[::1", "http://a:b"])
def test_an_address_that_is_none_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput):
        is_this_computer(url)


def test_resuming_sends_the_same_bytes_and_names_what_is_done(workspace: Workspace, service: RecordingService) -> None:
    payload = payload_for(workspace, service)
    done = next(iter(payload.references))
    lines = list(send_approved(workspace, payload, payload.approval, service.address, {done}))
    assert service.bodies == [payload.body]
    assert service.skips == [[done]]
    assert done not in {line.reference for line in lines if isinstance(line, PairLine)}


@pytest.mark.parametrize(("status", "says"), [(401, "refused the token"), (413, "status 413"), (500, "status 500")])
def test_a_refusal_is_one_sentence(workspace: Workspace, service: RecordingService, status: int, says: str) -> None:
    service.status = status
    with pytest.raises(CloudError, match=says):
        send(workspace, service)
    assert outcomes(workspace) == ["sent"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(
    workspace: Workspace, service: RecordingService, status: int
) -> None:
    service.busy, service.headers = [status], {"Retry-After": "1"}
    said: list[str] = []
    started = time.monotonic()
    lines = send(workspace, service, waiting=said.append)
    assert time.monotonic() - started >= 1
    assert sum(isinstance(line, PairLine) for line in lines) == 4
    assert said == ["The augmentation service is busy; asking again in 1 second (1 of 5)"]
    assert outcomes(workspace) == ["sent", "sent"]


@pytest.mark.parametrize("what", ["forgotten", "unticked", "edited"])
def test_a_busy_service_is_not_sent_again_what_the_person_took_back(
    workspace: Workspace, service: RecordingService, what: str
) -> None:
    service.busy, service.headers = [503] * 9, {"Retry-After": "1"}
    payload = payload_for(workspace, service)
    first = payload.record_ids[0]

    def waiting(sentence: str) -> None:
        if what == "forgotten":
            forget(workspace, first)
        elif what == "unticked":
            share_ids(workspace, [first], False)
        else:
            edit(workspace, first, output="Another title")

    with pytest.raises(ApprovalMismatch, match="have changed since they were approved"):
        list(send_approved(workspace, payload, payload.approval, service.address, waiting=waiting))
    assert service.bodies == [payload.body]
    sent, refused = outcomes(workspace)
    assert sent == "sent"
    assert refused.startswith("not sent: The shared records have changed")


def test_a_service_that_stays_busy_is_given_up_after_some_times(
    workspace: Workspace, service: RecordingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "TIMES_BACK", 1)
    service.busy, service.headers = [503] * 9, {"Retry-After": "0"}
    with pytest.raises(CloudError, match="is busy"):
        send(workspace, service)
    assert len(service.bodies) == 2


@pytest.mark.parametrize("said", ["", "soon", "-1", "9999999", "²", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_busy_service_that_names_no_sensible_time_is_not_asked_again(
    workspace: Workspace, service: RecordingService, said: str
) -> None:
    service.busy, service.headers = [429], {"Retry-After": said}
    with pytest.raises(CloudError, match="resume the job, in a while"):
        send(workspace, service)
    assert len(service.bodies) == 1


def test_a_redirect_is_not_followed(workspace: Workspace, service: RecordingService) -> None:
    service.status, service.headers = 307, {"Location": service.url + "/elsewhere"}
    with pytest.raises(CloudError, match="points to another address"):
        send(workspace, service)
    assert len(service.bodies) == 1


def bad_lines(reference: str) -> dict[str, dict[str, Any]]:
    scores = pair_line(reference)["scores"]
    return {
        "is not of protocol 1": pair_line(reference, extra="field"),
        "not of protocol 1": pair_line(reference, scores={**scores, "entails": 1.5}),
        "of protocol 1": pair_line(reference, input="x" * 20_001),
        "a record that was not sent": pair_line("f" * 16),
        "more than the 2 pairs": pair_line(reference, 3),
    }


@pytest.mark.parametrize("says", list(bad_lines("")))
def test_a_line_that_should_not_come_ends_the_stream(
    workspace: Workspace, service: RecordingService, says: str
) -> None:
    service.answer = lambda request, skip: encoded(bad_lines(request["records"][0]["reference"])[says], SUMMARY)
    with pytest.raises(CloudError, match=says):
        send(workspace, service)


def test_an_endless_line_and_endless_lines_are_cut(workspace: Workspace, service: RecordingService) -> None:
    service.answer = lambda request, skip: iter([b"x" * 100_000] * 1000)
    with pytest.raises(CloudError, match="line longer than"):
        send(workspace, service)
    service.answer = lambda request, skip: encoded(*[pair_line(request["records"][0]["reference"])] * 1000)
    with pytest.raises(CloudError, match="more lines than were asked for"):
        send(workspace, service)


def test_a_stream_without_a_summary_broke_off(workspace: Workspace, service: RecordingService) -> None:
    service.answer = lambda request, skip: encoded(pair_line(request["records"][0]["reference"]))
    with pytest.raises(CloudError, match="broke off"):
        send(workspace, service)


def test_control_characters_of_a_service_are_stripped(workspace: Workspace, service: RecordingService) -> None:
    def answer(request: dict[str, Any], skip: list[str]) -> Iterator[bytes]:
        reference = request["records"][0]["reference"]
        nasty = {"input": "a\x1b[31m b\u202e\nc", "output": "fine\x00"}
        yield from encoded(pair_line(reference, 1, **nasty), pair_line(reference, 2, output="\x07"), SUMMARY)

    service.answer = answer
    pair, empty, _ = send(workspace, service)
    assert isinstance(pair, PairLine)
    assert (pair.input, pair.output) == ("a[31m b\nc", "fine")
    assert isinstance(empty, FailureLine)


def test_the_token_is_not_in_the_addresss_text() -> None:
    assert "secret" not in repr(CloudAddress("http://127.0.0.1", "secret"))
