"""The service's routes: who may ask, what is asked, and the answer as a stream of JSON lines.

It keeps nothing: no text that a person sent is written to a disk or a log, and no error repeats it. Requests that are
there together have their records done in turn; a bounded number are let in, the rest are told to come back.
"""

import asyncio
import contextlib
import http
import pathlib
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from typing import Annotated, Any

import anyio
import fastapi
import fastapi.exceptions
import fastapi.security
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from cloud_stub import bases
from cloud_stub.augmenting import Outcome, Parts, Tally, Work, augment_group, groups
from cloud_stub.description import LINES, describe
from cloud_stub.gate import ComeBack, Gate, address, problem, too_fast
from cloud_stub.limits import Bounds, Rate
from cloud_stub.page import HEADERS, render_page
from cloud_stub.scheduling import Batch, Pool
from cloud_stub.schemas import (
    SKIP_HEADER,
    AugmentRequest,
    Capabilities,
    Health,
    Limits,
    Problem,
    RecordLine,
    SharedRecord,
)

TOGETHER = 96
"""Samples that a group of records should ask for where models are in process: some more than are decoded together,
because some end early; with many more, the other clients and a group's first records would wait too long."""
STOP_SECONDS = 1.0
"""A stream notices within so long that the service is to end."""


UNREAD_SECONDS = 120.0
"""A client that takes in nothing of its answer for so long has left, whatever its connection says."""


class Places:
    """So many requests may be there at the same time."""

    def __init__(self, most: int, retry_seconds: int) -> None:
        self._most = most
        self._retry_seconds = retry_seconds
        self._present = 0

    def enter(self) -> None:
        """Take a place; raises ComeBack when there is none."""
        if self._present >= self._most:
            raise ComeBack(503, "The service is busy and its queue is full", self._retry_seconds)
        self._present += 1

    def leave(self) -> None:
        """Give the place back."""
        self._present -= 1


class LineStream(StreamingResponse):
    """A stream of JSON lines that stops the work behind it when the client leaves."""

    media_type = LINES

    # FastAPI reads the status for its OpenAPI page off this signature.
    def __init__(self, lines: AsyncGenerator[bytes, None], leave: Callable[[], None], status_code: int = 200) -> None:
        super().__init__(lines, status_code)
        self._lines = lines
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def sent(message: Message) -> None:
            await asyncio.wait_for(send(message), UNREAD_SECONDS)

        try:
            await super().__call__(scope, receive, sent)
        finally:
            # Whoever is next must find the model free: wait for the work to stop, whatever cancelled this one.
            with anyio.CancelScope(shield=True):
                await self._lines.aclose()
            self._leave()


class Service:
    """What the routes share: the parts that work, and how much they take on."""

    def __init__(self, capabilities: Capabilities, parts: "Future[Parts]", bounds: Bounds, room: int) -> None:
        self.capabilities = capabilities.model_copy(update={"limits": _limits(bounds, room)})
        self.bounds = bounds
        self.places = Places(room + bounds.waiting, bounds.retry_seconds)
        self.records = Rate(bounds.records_per_minute)
        self.stopping = threading.Event()
        """Set when the service is to end: work in progress stops."""
        self._parts = parts
        # Half of it keeps the models busy while the other half is scored.
        self._pool = Pool(2 * room if room > 1 else 1)
        self._together = 1 if room > 1 else TOGETHER

    @property
    def ready(self) -> bool:
        """Whether model and scorer are loaded."""
        return self._parts.done() and not self._parts.exception()

    def admit(self, scope: Scope, records: int) -> None:
        """Take a place for a request of so many records; raises ComeBack."""
        if seconds := self.records.take(address(scope), records):
            raise too_fast(self.bounds.records_per_minute, "records", seconds)
        self.places.enter()

    async def lines(self, request: AugmentRequest, skip: frozenset[str]) -> AsyncGenerator[bytes, None]:
        """The answer's lines as they are made; closing the generator stops the work."""
        parts = await asyncio.shield(asyncio.wrap_future(self._parts))
        loop, told, left = asyncio.get_running_loop(), asyncio.Queue[Outcome](), threading.Event()

        def should_stop() -> bool:
            return left.is_set() or self.stopping.is_set()

        work = Work(request, self.capabilities.models, self.bounds.record_seconds, should_stop, _report)

        def tell(outcome: Outcome) -> None:
            if not should_stop():
                loop.call_soon_threadsafe(told.put_nowait, outcome)

        def more() -> Sequence[SharedRecord]:
            return (self._pool.take(batch) if self._together > 1 else None) or ()

        def do(group: Sequence[SharedRecord]) -> None:
            if not should_stop():
                asyncio.run(augment_group(work, parts, group, tell, more))

        records = [record for record in request.records if record.reference not in skip]
        batch = Batch(groups(work, records, self._together), do, request.k)
        self._pool.add(batch)
        try:
            async with contextlib.aclosing(self._told(told, len(records))) as lines:
                async for line in lines:
                    yield line
        finally:
            left.set()
            self._pool.drop(batch)
            # Whoever is next must find the models free.
            with anyio.CancelScope(shield=True):
                await asyncio.wrap_future(batch.ended)

    async def _told(self, told: "asyncio.Queue[Outcome]", records: int) -> AsyncGenerator[bytes, None]:
        """The lines of so many records; it ends without a summary when the service does, or when time is up."""
        tally, deadline = Tally(), time.monotonic() + self.bounds.request_seconds
        for _ in range(records):
            outcome = await self._next(told, deadline)
            if outcome is None:
                return
            tally.add(outcome)
            lines = [*outcome.lines, RecordLine(reference=outcome.reference)]
            yield b"".join(line.model_dump_json().encode() + b"\n" for line in lines)
        yield tally.summary().model_dump_json().encode() + b"\n"

    async def _next(self, told: "asyncio.Queue[Outcome]", deadline: float) -> Outcome | None:
        """What became of the next record; None when nothing more is to be told."""
        while not self.stopping.is_set() and (left := deadline - time.monotonic()) > 0:
            try:
                outcome = await asyncio.wait_for(told.get(), min(left, STOP_SECONDS))
            except TimeoutError:
                continue
            # A record that was stopped half-way has not been done.
            return None if self.stopping.is_set() else outcome
        return None


def _limits(bounds: Bounds, room: int) -> Limits:
    return Limits(
        waiting=bounds.waiting,
        at_once=room,
        requests_per_minute=bounds.requests_per_minute,
        records_per_minute=bounds.records_per_minute,
        record_seconds=bounds.record_seconds,
        request_seconds=bounds.request_seconds,
    )


def _report(line: str) -> None:
    print(f"cdcda-cloud: {line}", file=sys.stderr, flush=True)


async def _http_problem(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    sentence = error.detail if isinstance(error, ComeBack) else None
    return problem(error.status_code, sentence, headers=dict(error.headers or {}))


def _first_fault(error: fastapi.exceptions.RequestValidationError) -> str:
    """Where the body is wrong and what was expected there; never what came."""
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"] if part != "body"]
    if fault["type"] == "extra_forbidden":
        # The name of an unknown field is the client's own text.
        return f"{'.'.join(place[:-1]) or 'The body'} should hold the fields of protocol 1 alone and has another one"
    if fault["type"] == "json_invalid":
        return "The body should be JSON and is not"
    return f"{'.'.join(place) or 'The body'} is not as protocol 1 has it ({fault['msg']})"


async def _validation_problem(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, fastapi.exceptions.RequestValidationError)
    return problem(422, f"{_first_fault(error)}; see /openapi.json.")


async def _defect_problem(_: fastapi.Request, error: Exception) -> JSONResponse:
    _report(f"a request failed ({type(error).__name__})")
    return problem(500, "The service failed on this request; try again, and report it if it goes on.")


def _skipped(header: str) -> frozenset[str]:
    return frozenset(name.strip() for name in header.split(",") if name.strip())


def _add_routes(app: fastapi.FastAPI, service: Service, bases_dir: pathlib.Path | None) -> None:
    secured = [fastapi.Depends(fastapi.security.HTTPBearer(auto_error=False))]
    refusals: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (401, 429)}
    # With "model" they would be described as of the stream's own type.
    problem_body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    stream_refusals: dict[int | str, dict[str, Any]] = {
        status: {"description": http.HTTPStatus(status).phrase, "content": problem_body}
        for status in (400, 401, 408, 413, 422, 429, 503)
    }
    skip_header = fastapi.Header(alias=SKIP_HEADER, description="References that need not be done, between commas.")

    @app.get("/v1/health")
    async def health() -> Health:
        """Whether the service can work yet; needs no token."""
        return Health(status="ready" if service.ready else "loading")

    @app.get("/v1/capabilities", dependencies=secured, responses=refusals)
    def capabilities() -> Capabilities:
        """Models, scorer, limits and the names of the bases."""
        names = tuple(bases.offered(bases_dir)) if bases_dir else ()
        return service.capabilities.model_copy(update={"bases": names})

    @app.post("/v1/augment", dependencies=secured, responses=stream_refusals, response_class=LineStream)
    async def augment_records(
        request: AugmentRequest, connection: fastapi.Request, skip: Annotated[str, skip_header] = ""
    ) -> fastapi.Response:
        """Synthetic pairs with their scores, one JSON line each as they are made, and a summary at the end."""
        if len({record.reference for record in request.records}) < len(request.records):
            return problem(422, "records should have references of their own and two share one; give each another.")
        left_out = _skipped(skip)
        service.admit(connection.scope, sum(record.reference not in left_out for record in request.records))
        return LineStream(service.lines(request, left_out), service.places.leave)

    if bases_dir:
        app.include_router(bases.build_router(bases_dir))


def _add_page(app: fastapi.FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        """What /openapi.json says, to read."""
        return HTMLResponse(render_page(app.openapi()), headers=HEADERS)


def build_app(
    capabilities: Capabilities,
    parts: "Future[Parts]",
    token: str,
    bounds: Bounds | None = None,
    room: int = 1,
    bases_dir: pathlib.Path | None = None,
) -> fastapi.FastAPI:
    """The service as an ASGI application; `parts` may still be loading. `app.state.service` is the Service.

    `room` is the number of samples that the models write at the same time; with 1, a record at a time is done. Task
    bases are offered where a folder is given: its own and those of the install.
    """
    bounds = bounds or Bounds()
    app = fastapi.FastAPI(
        title="CDCDA augmentation service",
        version=capabilities.protocol,
        # The pages that FastAPI offers for reading the API would have the browser ask other hosts for scripts.
        docs_url=None,
        redoc_url=None,
        # Whatever a client calls its JSON: the token, not the type, keeps pages of other origins out.
        strict_content_type=False,
    )
    app.state.service = Service(capabilities, parts, bounds, room)
    app.add_middleware(Gate, token=token, requests_per_minute=bounds.requests_per_minute)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(fastapi.exceptions.RequestValidationError, _validation_problem)
    app.add_exception_handler(Exception, _defect_problem)
    _add_routes(app, app.state.service, bases_dir)
    describe(app)
    _add_page(app)
    return app
