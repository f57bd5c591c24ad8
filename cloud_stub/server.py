"""The service's routes: who may ask, what is asked, and the answer as a stream of JSON lines.

It keeps nothing: no text that a person sent is written to a disk or a log, and no error repeats it. One augmentation
is done at a time; a few wait, the rest are told to come back.
"""

import asyncio
import hmac
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from typing import Annotated, Any

import anyio
import fastapi
import fastapi.exceptions
import fastapi.security
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_stub.augmenting import AnswerLine, Parts, Work, augment
from cloud_stub.schemas import MAX_BODY, SKIP_HEADER, AugmentRequest, Capabilities, Health, Problem

WAITING = 4
"""Requests that may wait for their turn."""
RETRY_SECONDS = 30
"""When those that found no place are told to come back."""
OPEN_PATHS = ("/v1/health", "/openapi.json")
"""What needs no token."""

_WORDS = {
    400: "A JSON body in UTF-8 was expected and something else came; see /openapi.json.",
    401: "A bearer token was expected and none that fits came; send the one that the service printed or was given.",
    404: "There is nothing at this address; the service answers at /v1/augment, /v1/capabilities and /v1/health.",
    405: "This address does not take that method; see /openapi.json.",
    413: f"A body of at most {MAX_BODY:,} bytes was expected and a longer one came; send fewer records at a time.",
    503: f"The service is busy and its queue is full; try again in {RETRY_SECONDS} seconds.",
}


def _problem(status: int, sentence: str | None = None, headers: dict[str, str] | None = None) -> JSONResponse:
    error = sentence or _WORDS.get(status, f"The request was refused with status {status}; see /openapi.json.")
    return JSONResponse(Problem(error=error).model_dump(), status, headers)


class Gate:
    """Lets in only those who have the token, and bodies that are not too large."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    def _has_token(self, headers: dict[bytes, bytes]) -> bool:
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["path"] not in OPEN_PATHS and not self._has_token(headers):
            return await _problem(401, headers={"WWW-Authenticate": "Bearer"})(scope, receive, send)
        if not headers.get(b"content-length", b"0").isdigit() or int(headers.get(b"content-length", b"0")) > MAX_BODY:
            return await _problem(413)(scope, receive, send)
        return await self._app(scope, _bounded(receive), send)


def _bounded(receive: Receive) -> Receive:
    """What comes in, up to MAX_BODY bytes: a body sent in chunks does not say how long it is."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise HTTPException(413)
        return message

    return bounded


class Turns:
    """One request has its turn at a time; a bounded number wait."""

    def __init__(self) -> None:
        self._present = 0
        self.lock = asyncio.Lock()

    def enter(self) -> None:
        """Take a place; raises 503 when there is none."""
        if self._present > WAITING:
            raise HTTPException(503, headers={"Retry-After": str(RETRY_SECONDS)})
        self._present += 1

    def leave(self) -> None:
        """Give the place back."""
        self._present -= 1


class LineStream(StreamingResponse):
    """A stream of JSON lines that stops the work behind it when the client leaves."""

    media_type = "application/x-ndjson"

    # FastAPI reads the status for its OpenAPI page off this signature.
    def __init__(self, lines: AsyncGenerator[bytes, None], leave: Callable[[], None], status_code: int = 200) -> None:
        super().__init__(lines, status_code)
        self._lines = lines
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Whoever is next must find the model free: wait for the work to stop, whatever cancelled this one.
            with anyio.CancelScope(shield=True):
                await self._lines.aclose()
            self._leave()


class Service:
    """What the routes share: the parts that work, and whose turn it is."""

    def __init__(self, capabilities: Capabilities, parts: "Future[Parts]") -> None:
        self.capabilities = capabilities
        self.turns = Turns()
        self.stopping = threading.Event()
        """Set when the service is to end: work in progress stops."""
        self._parts = parts

    @property
    def ready(self) -> bool:
        """Whether model and scorer are loaded."""
        return self._parts.done() and not self._parts.exception()

    def _work(self, request: AugmentRequest, skip: frozenset[str], left: threading.Event) -> Work:
        model = self.capabilities.models[0]
        form = model.prompt if request.prompt == "auto" else request.prompt
        assert form != "auto"
        return Work(request, model.name, form, skip, lambda: left.is_set() or self.stopping.is_set(), _report)

    async def lines(self, request: AugmentRequest, skip: frozenset[str]) -> AsyncGenerator[bytes, None]:
        """The answer's lines as they are made, in a thread of their own; closing the generator stops the work."""
        async with self.turns.lock:
            parts = await asyncio.shield(asyncio.wrap_future(self._parts))
            loop, told, left = asyncio.get_running_loop(), asyncio.Queue[AnswerLine | None](), threading.Event()
            work = self._work(request, skip, left)

            def run() -> None:
                try:
                    for line in augment(work, parts):
                        loop.call_soon_threadsafe(told.put_nowait, line)
                finally:
                    loop.call_soon_threadsafe(told.put_nowait, None)

            thread = loop.run_in_executor(None, run)
            try:
                while (line := await told.get()) is not None:
                    yield line.model_dump_json().encode() + b"\n"
            finally:
                left.set()
                with anyio.CancelScope(shield=True):
                    await thread


def _report(line: str) -> None:
    print(f"cdcda-cloud: {line}", file=sys.stderr, flush=True)


async def _http_problem(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, headers=dict(error.headers or {}))


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
    return _problem(422, f"{_first_fault(error)}; see /openapi.json.")


async def _defect_problem(_: fastapi.Request, error: Exception) -> JSONResponse:
    _report(f"a request failed ({type(error).__name__})")
    return _problem(500, "The service failed on this request; try again, and report it if it goes on.")


def _skipped(header: str) -> frozenset[str]:
    return frozenset(name.strip() for name in header.split(",") if name.strip())


def _add_routes(app: fastapi.FastAPI, service: Service) -> None:
    secured = [fastapi.Depends(fastapi.security.HTTPBearer(auto_error=False))]
    refusals: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (401, 413, 422, 503)}
    skip_header = fastapi.Header(alias=SKIP_HEADER, description="References that need not be done, between commas.")

    @app.get("/v1/health")
    async def health() -> Health:
        """Whether the service can work yet; needs no token."""
        return Health(status="ready" if service.ready else "loading")

    @app.get("/v1/capabilities", dependencies=secured, responses={401: refusals[401]})
    async def capabilities() -> Capabilities:
        """Models, scorer and limits."""
        return service.capabilities

    @app.post("/v1/augment", dependencies=secured, responses=refusals, response_class=LineStream)
    async def augment_records(request: AugmentRequest, skip: Annotated[str, skip_header] = "") -> fastapi.Response:
        """Synthetic pairs with their scores, one JSON line each as they are made, and a summary at the end."""
        if len({record.reference for record in request.records}) < len(request.records):
            return _problem(422, "records should have references of their own and two share one; give each another.")
        service.turns.enter()
        return LineStream(service.lines(request, _skipped(skip)), service.turns.leave)


def build_app(capabilities: Capabilities, parts: "Future[Parts]", token: str) -> fastapi.FastAPI:
    """The service as an ASGI application; `parts` may still be loading. `app.state.service` is the Service."""
    app = fastapi.FastAPI(
        title="CDCDA augmentation service",
        version=capabilities.protocol,
        # The pages that FastAPI offers for reading the API would have the browser ask other hosts for scripts.
        docs_url=None,
        redoc_url=None,
        # Whatever a client calls its JSON: the token, not the type, keeps pages of other origins out.
        strict_content_type=False,
    )
    app.state.service = Service(capabilities, parts)
    app.add_middleware(Gate, token=token)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(fastapi.exceptions.RequestValidationError, _validation_problem)
    app.add_exception_handler(Exception, _defect_problem)
    _add_routes(app, app.state.service)
    return app
