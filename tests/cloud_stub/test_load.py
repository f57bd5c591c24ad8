"""Two hundred clients at once on the real service, in front of an upstream that takes its time. Loopback, bounded."""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx
import pytest

from cloud_stub.options import TOKEN_VARIABLE
from tests.cloud_stub.fakes import TOKEN, record, request_body
from tests.cloud_stub.resuming import Received, ResumingClient
from tests.cloud_stub.stand_in import standing_in

CLIENTS = 200
RECORDS = 2
K = 2
READY = "cdcda-cloud listening on "
KILL_AFTER = 60
"""Finished records, of all clients together."""
TOPICS = ("the train was late again today", "the crew of our flight was kind", "no seat was left on the bus")

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def service(upstream: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address and process of `cdcda-cloud` as people start it, with its own scorer and fewer places than clients."""
    command = [sys.executable, "-m", "cloud_stub", "--port", "0", "--upstream", upstream, "--model", "stand-in"]
    command += ["--concurrency", "32", "--waiting", "64"]
    environment = os.environ | {TOKEN_VARIABLE: TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix(READY).strip(), process
        finally:
            process.kill()


@contextlib.contextmanager
def services(count: int) -> Iterator[list[tuple[str, subprocess.Popen[str]]]]:
    """So many, in front of one upstream, which writes a sample in about a fifth of a second."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(standing_in(slots=64, first_token_seconds=0.05, seconds_per_token=0.005))
        started = [stack.enter_context(service(upstream.url)) for _ in range(count)]
        for url, _ in started:
            until_ready(url)
        yield started


def until_ready(url: str) -> None:
    deadline = time.monotonic() + 120
    while httpx.get(f"{url}/v1/health", timeout=30).json() != {"status": "ready"}:
        assert time.monotonic() < deadline
        time.sleep(0.5)


class Balancer:
    """Hands each connection to the next service that takes it; the smallest that can do without one of them."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._ports = [int(url.rsplit(":", 1)[1]) for url in urls]
        self._turn = 0
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self._ports:
            self._turn = (self._turn + 1) % len(self._ports)
            with contextlib.suppress(ConnectionError):
                return await asyncio.open_connection("127.0.0.1", self._ports[self._turn])
        raise ConnectionError

    @staticmethod
    async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while block := await source.read(65_536):
                sink.write(block)
                await sink.drain()
        sink.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        writers = [writer]
        try:
            there = await self._connect()
            writers.append(there[1])
            await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))
        except ConnectionError:
            pass
        finally:
            for one in writers:
                one.close()
                with contextlib.suppress(ConnectionError):
                    await one.wait_closed()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address; in the end it waits for its connections to end."""
        async with await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*filter(None, self._tasks))


def mark(client: int) -> str:
    return f"mark{client:03}x"


def clients_of(web: httpx.AsyncClient, url: str) -> list[ResumingClient]:
    """Each has records of its own, every one of which bears its mark."""
    made = []
    for client in range(CLIENTS):
        texts = [f"{mark(client)} {TOPICS[(client + number) % len(TOPICS)]}" for number in range(RECORDS)]
        # References mean nothing across clients: everybody uses the same ones.
        records = [record(number, text, f"{mark(client)} said") for number, text in enumerate(texts)]
        made.append(ResumingClient(web, url, request_body(*records, k=K)))
    return made


def open_web() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))


def check(received: Sequence[Received]) -> None:
    """Nothing is lost, nothing is another client's, nothing came twice."""
    assert len(received) == CLIENTS
    for client, one in enumerate(received):
        assert len(one.records) == RECORDS, client
        assert one.repeated == 0
        pairs = [line for lines in one.records.values() for line in lines]
        assert {line["type"] for line in pairs} == {"pair"}, pairs
        assert len(pairs) == RECORDS * K
        for pair in pairs:
            words = f"{pair['input']} {pair['output']}".split()
            assert {word for word in words if word.startswith("mark")} == {mark(client)}


def report(title: str, received: Sequence[Received]) -> None:
    """Print how long it took; nothing about it is asserted."""
    for what in ("first_line_seconds", "seconds"):
        times = sorted(getattr(one, what) for one in received)
        cuts = statistics.quantiles(times, n=20)
        print(f"{title}: {what} median {cuts[9]:.1f}, 95th of a hundred {cuts[18]:.1f}, longest {times[-1]:.1f}")
    refusals, breaks = (sum(getattr(one, what) for one in received) for what in ("refusals", "breaks"))
    print(f"{title}: told to come back {refusals} times, streams broken {breaks} times")


def test_two_hundred_clients_get_all_of_their_own_and_nothing_else() -> None:
    async def talk(url: str) -> list[Received]:
        async with open_web() as web:
            return list(await asyncio.gather(*(client.run() for client in clients_of(web, url))))

    with services(1) as ((url, _),):
        received = asyncio.run(talk(url))
    report("one service", received)
    check(received)
    # More came than it has places for, and they came back as told.
    assert sum(one.refusals for one in received) > 0
    assert sum(one.breaks for one in received) == 0


def test_a_killed_replica_costs_its_clients_a_resumption_and_nothing_else() -> None:
    async def kill(process: subprocess.Popen[str], clients: Sequence[ResumingClient]) -> None:
        while sum(len(client.received.records) for client in clients) < KILL_AFTER:
            await asyncio.sleep(0.02)
        process.kill()

    async def talk(running: Sequence[tuple[str, subprocess.Popen[str]]]) -> list[Received]:
        async with Balancer([url for url, _ in running]).listening() as url, open_web() as web:
            clients = clients_of(web, url)
            killing = asyncio.create_task(kill(running[0][1], clients))
            received = list(await asyncio.gather(*(client.run() for client in clients)))
            await killing
            return received

    with services(2) as running:
        received = asyncio.run(talk(running))
        assert running[0][1].wait(10) != 0
    report("one of two killed", received)
    check(received)
    assert sum(one.breaks for one in received) > 0
