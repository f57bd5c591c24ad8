"""The routes under /v1/bases: what is offered, what is sent, and that nothing else can be had."""

import contextlib
import hashlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import uvicorn

from cloud_stub import bases
from cloud_stub.base_schemas import Bases
from cloud_stub.schemas import Capabilities, Problem
from cloud_stub.server import build_app
from tests.cloud_stub.fakes import CAPABILITIES, TOKEN, FakeModel, loaded
from tests.device.random_base import random_base
from tests.tiny import tiny_gguf

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@contextlib.contextmanager
def offering(folder: Path) -> Iterator[str]:
    """The real server with that folder of bases, on a free loopback port; its address."""
    app = build_app(CAPABILITIES, loaded(FakeModel()), TOKEN, bases_dir=folder)
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("offered")
    random_base(parent / "bases", tiny_gguf(parent))
    (parent / "secret.txt").write_text("mine")
    (parent / "bases" / "titles" / "extra.txt").write_text("not named in the manifest")
    return parent / "bases"


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with offering(folder) as address:
        yield address


def listed(url: str) -> Bases:
    return Bases.model_validate(requests.get(f"{url}/v1/bases", headers=HEADERS, timeout=10).json())


def test_a_base_is_described_with_its_files_licence_and_scores(url: str, folder: Path) -> None:
    (titles,) = [base for base in listed(url).bases if base.name == "titles" and base.model == "tiny-llama-0"]
    assert (titles.task, titles.licence, titles.attribution, titles.users) == ("title", "CC0", "nobody", 3)
    assert (titles.questions, titles.scores["rouge_1"].trained) == (2, 0.3)
    assert titles.files[-1].name == "manifest.json"
    assert titles.bytes == sum(file.bytes for file in titles.files)
    for file in titles.files:
        content = (folder / "titles" / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)


def test_each_file_is_sent_whole_or_from_where_it_broke_off(url: str, folder: Path) -> None:
    for name in ("adapter_model.safetensors", "manifest.json"):
        address = f"{url}/v1/bases/titles/files/{name}"
        content = (folder / "titles" / name).read_bytes()
        assert requests.get(address, headers=HEADERS, timeout=10).content == content
        rest = requests.get(address, headers={**HEADERS, "Range": "bytes=100-"}, timeout=10)
        assert (rest.status_code, rest.content) == (206, content[100:])


def test_the_capabilities_name_the_bases(url: str) -> None:
    answer = requests.get(f"{url}/v1/capabilities", headers=HEADERS, timeout=10)
    assert Capabilities.model_validate(answer.json()).bases == tuple(base.name for base in listed(url).bases)
    assert "titles" in answer.json()["bases"]


@pytest.mark.parametrize("path", ["", "/titles/files/manifest.json"])
def test_without_the_token_nothing_is_said(url: str, path: str) -> None:
    answer = requests.get(f"{url}/v1/bases{path}", timeout=10)
    assert answer.status_code == 401
    assert "token" in Problem.model_validate(answer.json()).error


@pytest.mark.parametrize(
    "path",
    [
        "titles/files/extra.txt",
        "titles/files/..%2f..%2fsecret.txt",
        "titles/files/%2e%2e%2f%2e%2e%2fsecret.txt",
        "titles/files/../../secret.txt",
        "..%2f/files/secret.txt",
        "%2e%2e/files/secret.txt",
        "../files/secret.txt",
        "./files/manifest.json",
        "titles/files/%2fetc%2fpasswd",
        "titles/files/manifest.json%00.txt",
        "none/files/manifest.json",
    ],
)
def test_nothing_but_the_named_files_of_an_offered_base_can_be_had(url: str, path: str) -> None:
    # requests would tidy the path up; the bytes go out as they are here.
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        lines = (
            f"GET /v1/bases/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(lines.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"mine" not in answer


def test_what_is_unfinished_or_unreadable_is_not_offered(tmp_path: Path, folder: Path) -> None:
    for name in ("growing", "broken", "lacking", ".hidden"):
        shutil.copytree(folder / "titles", tmp_path / name)
    (tmp_path / "growing" / "manifest.json").unlink()
    (tmp_path / "broken" / "manifest.json").write_text('{"name": "broken"')
    (tmp_path / "lacking" / "LICENCE.txt").unlink()
    own = {name for name, (place, _) in bases.offered(tmp_path).items() if place.parent == tmp_path}
    assert own == set()


def test_a_folder_that_is_not_there_offers_what_came_with_the_install_alone(tmp_path: Path) -> None:
    assert all(place.parent == bases.embedded_bases() for place, _ in bases.offered(tmp_path / "none").values())
