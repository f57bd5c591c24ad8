"""What the page says of where records go, and that an approval holds for the place that was shown alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import ApprovalMismatch
from app.pipeline import jobs, sharing
from app.pipeline.generation import Writer
from app.pipeline.local_service import CloudAddress
from app.pipeline.network import set_offline
from app.pipeline.workspace import open_workspace
from app.ui import settings, strings
from app.ui.header import header_view
from app.ui.left import newest_view
from app.ui.services import Services
from app.ui.share import Actions, weak_view
from personal_store import ledger
from tests.pipeline.recording_service import RecordingService, recording_service
from tests.tiny import tiny_gguf
from tests.ui.conftest import NOWHERE, some_records


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """A history with three shared records, and a service of the app's own."""
    workspace = open_workspace(tmp_path / "data")
    sharing.share_ids(workspace, some_records(workspace)[:3])
    return Services(workspace, NOWHERE, Writer(workspace))


@pytest.fixture
def gateway() -> Iterator[RecordingService]:
    """A service on this computer that passes on to another one."""
    with recording_service() as running:
        running.passes_on_to = "api.vendor.example"
        yield running


def cloud_fact(services: Services) -> tuple[str, str, str]:
    fact = header_view(services)["facts"][0]
    return fact["value"], fact["detail"], fact["tone"]


def goes_to(services: Services) -> str:
    view, *_ = Actions(services).preview(5, "")
    return str(view["facts"][0]["value"])


def test_an_approval_is_none_for_an_address_that_was_set_since(services: Services, gateway: RecordingService) -> None:
    gateway.passes_on_to = None
    actions = Actions(services)
    _, approval, _ = actions.preview(5, "")
    settings.Actions(services).save_cloud(gateway.url, "token")
    with pytest.raises(
        ApprovalMismatch, match=f"would be sent now to {gateway.url}.*nothing was sent: preview it again"
    ):
        actions.approve(approval, 5, "")
    assert gateway.bodies == []
    assert jobs.listing(services.workspace) == ()


def test_an_approval_is_none_for_a_server_that_the_service_passes_on_to_since(
    services: Services, gateway: RecordingService
) -> None:
    services.cloud, gateway.passes_on_to = gateway.address, None
    actions = Actions(services)
    _, approval, _ = actions.preview(5, "")
    gateway.passes_on_to = "api.vendor.example"
    with pytest.raises(ApprovalMismatch, match=r"passes records on to api\.vendor\.example"):
        actions.approve(approval, 5, "")
    assert jobs.listing(services.workspace) == ()


def test_only_of_the_apps_own_service_it_is_said_that_nothing_leaves(
    services: Services, gateway: RecordingService
) -> None:
    assert cloud_fact(services) == (strings.THIS_COMPUTER, strings.CLOUD_LOCAL, "plain")
    services.cloud = gateway.address
    host, detail, tone = cloud_fact(services)
    assert (host, tone) == ("127.0.0.1", "warn")
    assert strings.CLOUD_NOT_ASKED in detail
    assert goes_to(services) == f"{gateway.url}/v1/augment, which passes records on to api.vendor.example"
    host, detail, tone = cloud_fact(services)
    assert (host, tone) == ("127.0.0.1, then api.vendor.example", "warn")
    assert "passes them on to api.vendor.example" in detail
    set_offline(services.workspace, True)
    assert cloud_fact(services)[0] == "Offline (127.0.0.1, then api.vendor.example)"
    gateway.passes_on_to = None
    assert goes_to(services) == f"{gateway.url}/v1/augment"
    host, detail, tone = cloud_fact(services)
    assert (host, tone) == ("127.0.0.1", "plain")
    assert strings.CLOUD_KEEPS in detail


def test_a_server_with_an_impossible_name_counts_as_another_computer(
    services: Services, gateway: RecordingService
) -> None:
    services.cloud, gateway.passes_on_to = gateway.address, "[not a host"
    goes_to(services)
    set_offline(services.workspace, True)
    assert cloud_fact(services)[0] == "Offline (127.0.0.1, then [not a host)"


def test_what_left_names_the_server_that_records_went_on_to(services: Services) -> None:
    gateway = "http://127.0.0.1:8765/v1/augment, which passes records on to api.vendor.example"
    with services.workspace.store() as store:
        for destination in ("http://127.0.0.1/v1/augment", gateway):
            ledger.append_upload(store, destination, [1], 10, "a" * 64, "sent")
    places = [row["where"].split(" · ")[0] for row in newest_view(services.workspace)["rows"]]
    assert places == [gateway, strings.THIS_COMPUTER]


def test_the_note_on_a_weak_service_is_of_the_one_that_runs(services: Services, gateway: RecordingService) -> None:
    assert weak_view(services) == {}
    services.cloud = CloudAddress(gateway.url, "token", local=True)
    assert weak_view(services) == {}
    gateway.embedded = True
    assert "Fetch it in Settings" in weak_view(services)["text"]
    fetched = tiny_gguf(services.workspace.models)
    assert f"{fetched.stem} is on this computer too; start the app again" in weak_view(services)["text"]
    gateway.embedded = False
    assert weak_view(services) == {}
