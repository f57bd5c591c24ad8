"""Two replicas of the service on a real Ray cluster, from processes of their own."""

import asyncio
import contextlib
import http.client
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cloud_stub import scale
from cloud_stub.errors import PortInUse
from cloud_stub.schemas import MAX_BODY
from tests.cloud_stub.fakes import TOKEN, Client, record, request_body
from tests.cloud_stub.resuming import Received, ResumingClient

READY = "cdcda-cloud listening on "
STARTING = 120.0
"""Seconds; Ray takes twenty on an idle machine."""
HALF_WAY = 8
"""Lines after which a client's replica is killed."""
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra scale is not installed")


@contextlib.contextmanager
def replicas(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Address and process of two replicas; what they write goes to the folder."""
    command = [sys.executable, "-m", "tests.cloud_stub.replicas", "2"]
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        killer = psutil.Process(process.pid)
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            yield next(line for line in lines if line.startswith(READY)).removeprefix(READY).strip(), killer
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            for child in [*killer.children(recursive=True)] if process.poll() is None else []:
                child.kill()
            process.kill()


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[str, psutil.Process]]:
    # A path of Ray's sockets may not be longer than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="r") as folder, replicas(Path(folder)) as started:
        yield started


@pytest.fixture
def url(running: tuple[str, psutil.Process]) -> str:
    return running[0]


def body(client: int, records: int) -> dict[str, Any]:
    made = [record(client * 1000 + number, f"mark{client} text {number}", f"mark{client}") for number in range(records)]
    return request_body(*made, k=5)


def writers(received: Received) -> set[int]:
    """Processes that wrote what was received."""
    lines = [line for lines in received.records.values() for line in lines]
    return {int(line["output"].rsplit(" ", 1)[1]) for line in lines}


def announced(url: str, length: int) -> int:
    """The status of a request that says how long its body will be, and does not send it."""
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)) as connection:
        connection.putrequest("POST", "/v1/augment")
        connection.putheader("Authorization", f"Bearer {TOKEN}")
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        return connection.getresponse().status


async def ask(clients: list[ResumingClient]) -> list[Received]:
    return list(await asyncio.gather(*(client.run() for client in clients)))


async def kill_half_way(client: ResumingClient) -> int:
    while client.received.lines < HALF_WAY or not client.received.records:
        await asyncio.sleep(0.02)
    (pid,) = writers(client.received)
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.slow
@needs_ray
def test_both_replicas_answer(url: str) -> None:
    async def talk() -> list[Received]:
        async with httpx.AsyncClient(timeout=30) as web:
            return await ask([ResumingClient(web, url, body(client, 2)) for client in range(8)])

    received = asyncio.run(talk())
    assert len(set().union(*map(writers, received))) == 2
    for client, one in enumerate(received):
        assert len(one.records) == 2
        assert {line["output"].split()[0] for lines in one.records.values() for line in lines} == {f"mark{client}"}


@pytest.mark.slow
@needs_ray
def test_the_token_and_the_limits_hold_behind_ray(url: str) -> None:
    client = Client(url)
    assert client.post(body(0, 1), token="wrong").status_code == 401
    assert announced(url, MAX_BODY + 1) == 413
    assert client.post({"records": []}).status_code == 422


@pytest.mark.slow
@needs_ray
def test_a_full_queue_says_when_to_come_back(url: str) -> None:
    async def one(web: httpx.AsyncClient, number: int) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return await web.post(f"{url}/v1/augment", json=body(number, 2), headers=headers)

    async def talk() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as web:
            return await asyncio.gather(*(one(web, number) for number in range(24)))

    answers = asyncio.run(talk())
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status_code == 503)


@pytest.mark.slow
@needs_ray
def test_it_listens_on_loopback_and_writes_no_text(running: tuple[str, psutil.Process]) -> None:
    url, process = running
    Client(url).lines(body(77, 2))
    family = [process, *process.children(recursive=True)]
    folder = Path(process.environ()["TMPDIR"])
    listening = [
        (one.name(), connection.laddr.ip)
        for one in family
        for connection in one.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    open_to_all = [name for name, address in listening if "127.0.0.1" not in address]
    # Ray opens one port a replica to all addresses; whoever calls it needs the cluster's own token.
    assert len(listening) > 4
    assert all("Serve" in name for name in open_to_all), listening
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert written
    assert not any(b"mark77" in path.read_bytes() or TOKEN.encode() in path.read_bytes() for path in written)


@pytest.mark.slow
@needs_ray
def test_a_killed_replica_loses_only_unfinished_records(url: str) -> None:
    async def talk() -> tuple[list[Received], int]:
        async with httpx.AsyncClient(timeout=60) as web:
            clients = [ResumingClient(web, url, body(client, 6)) for client in range(4)]
            killing = asyncio.create_task(kill_half_way(clients[0]))
            received = await ask(clients)
            return received, await killing

    started = time.monotonic()
    received, killed = asyncio.run(talk())
    print(f"all served {time.monotonic() - started:.1f} s after the start; {received[0].breaks} breaks")
    assert received[0].breaks > 0
    assert len(writers(received[0])) == 2
    assert killed in writers(received[0])
    for client, one in enumerate(received):
        assert sorted(one.records) == sorted(made["reference"] for made in body(client, 6)["records"])
        assert one.repeated == 0
        assert {line["output"].split()[0] for lines in one.records.values() for line in lines} == {f"mark{client}"}
        assert {len(lines) for lines in one.records.values()} == {5}


def test_a_held_port_is_kept_from_others_and_open_to_the_proxy() -> None:
    with scale.held("127.0.0.1", 0) as port:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port), reuse_port=True) as proxy:
            for _ in range(8):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                proxy.accept()[0].close()
            with pytest.raises(PortInUse, match=str(port)), scale.held("127.0.0.1", port):
                pass


def test_a_port_whose_last_connection_has_just_ended_can_be_held() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            # Who ends a connection first keeps its end for a minute.
            server.accept()[0].close()
    with scale.held("127.0.0.1", port) as again:
        assert again == port


def test_its_own_option_goes_along_with_those_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scale.main(["--replicas", "0", "--port", "0"])
    assert "a number from 1 was expected, not 0" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_said_before_ray_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scale.main(["--replicas", "2", "--port", "0", "--model", str(tmp_path / "none.gguf")]) == 1
    assert re.search(r"should be a GGUF file but is not there.*--model", capsys.readouterr().err)
    assert "ray" not in sys.modules
