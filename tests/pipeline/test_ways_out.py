"""The list of everything that uses the network is the whole list."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import AppError, Offline
from app.evaluation.downloading import download
from app.evaluation.spreading import RayEngine
from app.pipeline import cloud
from app.pipeline.base_pulling import pull_base
from app.pipeline.local_service import CloudAddress
from app.pipeline.network import set_offline
from app.pipeline.payload import build_payload, destination_of
from app.pipeline.pulling import pull
from app.pipeline.sharing import share_ids
from app.pipeline.ways_out import WAYS_OUT
from app.pipeline.workspace import Workspace
from tests.pipeline.support import workspace_with

ROOT = Path(__file__).resolve().parents[2]
REACHES_OUT = re.compile(
    r"network\.connection\(|\bconnection\(\n|urllib\.request|\bsocket\.|\"pip\"|server_name=|http\.client|\bray\.remote\("
)
"""What a module does that uses the network. (The service of this package only listens on the loopback interface.)"""


def modules() -> set[str]:
    """Modules of the app that use the network."""
    found = set()
    for path in (ROOT / "app").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name != "app.pipeline.network" and REACHES_OUT.search(path.read_text(encoding="utf-8")):
            found.add(name)
    return found


def test_every_module_that_uses_the_network_is_on_the_list() -> None:
    assert modules() == {module for way in WAYS_OUT for module in way.modules}


def test_the_privacy_page_lists_every_way_out() -> None:
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8").lower()
    for way in WAYS_OUT:
        assert f"| {way.what.lower()} |" in page


FAR = CloudAddress("https://service.example", "token")


def quiet(*_: object) -> None:
    """Hears nothing."""


def augments(workspace: Workspace, folder: Path) -> None:
    payload = build_payload(workspace, destination_of(FAR.url))
    list(cloud.send_approved(workspace, payload, payload.approval, FAR))


CLOSED: dict[str, Callable[[Workspace, Path], object]] = {
    "Augmentation elsewhere": augments,
    "Asking a service what it can do": lambda workspace, folder: cloud.capabilities(workspace, FAR),
    "Fetching a model": lambda workspace, folder: pull(workspace, "qwen2.5-coder-0.5b", quiet),
    "Bases of a service": lambda workspace, folder: pull_base(workspace, FAR, "titles", quiet),
    "Fetching LaMP's files": lambda workspace, folder: download(workspace, "LaMP_5", folder, "time", quiet),
    "Comparing on other machines": lambda workspace, folder: RayEngine.check(workspace),
}
"""What each way that leaves the computer does first."""


def test_every_way_that_leaves_the_computer_is_tried_below() -> None:
    assert set(CLOSED) == {way.what for way in WAYS_OUT if not way.offline.startswith("stays open")}


@pytest.mark.parametrize("what", CLOSED)
def test_the_offline_switch_closes_a_way_before_a_name_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    tried: list[Any] = []

    def refuse(*address: Any, **_: Any) -> None:
        tried.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("app.pipeline.pulling.subprocess.run", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head.example:10001")
    workspace, ids = workspace_with(tmp_path / "data", 2)
    share_ids(workspace, ids)
    set_offline(workspace, True)
    with pytest.raises(Offline, match=r"\.example|huggingface|umass"):
        CLOSED[what](workspace, tmp_path)
    assert tried == []
    set_offline(workspace, False)
    if what == "Comparing on other machines":
        CLOSED[what](workspace, tmp_path)
    else:
        with pytest.raises((AppError, OSError)):
            CLOSED[what](workspace, tmp_path)
        assert tried


@pytest.mark.parametrize("address", ["auto", "local", "127.0.0.1:6379", "ray://localhost:10001", None])
def test_a_cluster_on_this_computer_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    workspace, _ = workspace_with(tmp_path, 0)
    set_offline(workspace, True)
    RayEngine.check(workspace)
