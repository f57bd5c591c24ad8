"""A client as the protocol wants it: it comes back when it is told to, and resumes with the records unfinished."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from cloud_stub.schemas import SKIP_HEADER
from tests.cloud_stub.fakes import TOKEN

TRIES = 60
"""Nobody comes back for ever."""


@dataclasses.dataclass
class Received:
    """What a client got in the end, and what it took."""

    records: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    """Pairs and failures by reference; of finished records alone."""
    lines: int = 0
    """All that came, those of unfinished records too."""
    refusals: int = 0
    """Times it was told to come back later."""
    breaks: int = 0
    """Times the stream broke off."""
    repeated: int = 0
    """Records that came again although they were finished."""
    seconds: float = 0.0
    """From its first request to its last line."""
    first_line_seconds: float = 0.0


class Broken(Exception):
    """The stream ended before its summary."""


class ResumingClient:
    """One person's device."""

    def __init__(self, http: httpx.AsyncClient, url: str, body: Mapping[str, Any], token: str = TOKEN) -> None:
        self._http = http
        self._url = f"{url}/v1/augment"
        self._body = json.dumps(body).encode()
        self._token = token
        self.received = Received()

    def _headers(self) -> dict[str, str]:
        skip = ",".join(self.received.records)
        return {"Authorization": f"Bearer {self._token}", SKIP_HEADER: skip, "Content-Type": "application/json"}

    def _take(self, line: dict[str, Any], unfinished: dict[str, list[dict[str, Any]]]) -> bool:
        """Take a line; whether it was the last."""
        received = self.received
        received.lines += 1
        if line["type"] == "record":
            reference = line["reference"]
            received.repeated += reference in received.records
            received.records[reference] = unfinished.pop(reference, [])
        elif line["type"] != "summary":
            unfinished.setdefault(line["reference"], []).append(line)
        return bool(line["type"] == "summary")

    async def _read(self, answer: httpx.Response, started: float) -> None:
        unfinished: dict[str, list[dict[str, Any]]] = {}
        rest = b""
        async for block in answer.aiter_bytes():
            *whole, rest = (rest + block).split(b"\n")
            for text in whole:
                self.received.first_line_seconds = self.received.first_line_seconds or time.monotonic() - started
                if self._take(json.loads(text), unfinished):
                    return
        raise Broken

    async def _ask(self, started: float) -> float | None:
        """Ask once; seconds to wait before asking again, None when there is nothing left to ask for."""
        request = self._http.stream("POST", self._url, content=self._body, headers=self._headers())
        async with request as answer:
            if answer.status_code in (429, 503):
                self.received.refusals += 1
                return float(answer.headers["Retry-After"])
            assert answer.status_code == 200, await answer.aread()
            await self._read(answer, started)
        return None

    async def run(self) -> Received:
        """Ask until all is there."""
        started = time.monotonic()
        for _ in range(TRIES):
            try:
                wait = await self._ask(started)
            except (httpx.TransportError, Broken):
                self.received.breaks += 1
                wait = 0.1
            if wait is None:
                self.received.seconds = time.monotonic() - started
                return self.received
            await asyncio.sleep(wait)
        raise AssertionError(f"not served in {TRIES} tries: {self.received}")
