"""The routes of `cdcda serve`: OpenAI's `/v1/models` and `/v1/chat/completions` on loopback, for those with the token.

One answer is written at a time; who comes meanwhile waits. A client that leaves ends its answer at the next token.
Nothing of a conversation is kept or logged.
"""

import asyncio
import contextlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import anyio.to_thread
import fastapi
import fastapi.exceptions
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app.device.engines import Piece, Sampling, Stream
from app.errors import SHOWN, AppError
from app.pipeline.shelf import Order, Served, Shelf, some_seed
from app.serving.errors import error_body, of_app_error, of_invalid, refusal
from app.serving.schemas import ChatRequest
from personal_store.errors import StoreError

FINISHES = {"end": "stop", "stop": "stop", "length": "length"}
"""Why an answer ended, in OpenAI's words."""


class Gate:
    """Lets in only those who have the token, before anything of their request is read."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        kind, _, token = dict(scope.get("headers", ())).get(b"authorization", b"").partition(b" ")
        known = kind.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)
        if scope["type"] == "http" and not known:
            await refusal(401, code="invalid_api_key")(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Answering:
    """One answer on its way, and what is told about it."""

    def __init__(self, order: Order, request: ChatRequest) -> None:
        self.order = order
        self._request = request
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self.created = int(time.time())
        self._stream: Stream | None = None

    def _sampling(self, context: int) -> Sampling:
        asked = self._request
        room = context - len(self.order.prompt_ids)
        return Sampling(
            temperature=asked.temperature or 0.0,
            top_p=Sampling.top_p if asked.top_p is None else asked.top_p,
            max_tokens=min(room, asked.most_tokens or room),
            seed=some_seed() if asked.seed is None else asked.seed,
        )

    async def pieces(self, shelf: Shelf, turn: asyncio.Lock) -> AsyncGenerator[Piece]:
        """The answer's pieces, once it is this answer's turn; the engine computes on another thread."""
        async with turn:
            sampling = self._sampling(shelf.context)
            stream = await anyio.to_thread.run_sync(shelf.begin, self.order, sampling, self._request.stops)
            self._stream = stream
            try:
                while (piece := await anyio.to_thread.run_sync(next, stream, None)) is not None:
                    yield piece
            finally:
                stream.close()

    @property
    def finish(self) -> str | None:
        """None until the answer has ended."""
        return FINISHES.get(self._stream.account.finish or "") if self._stream else None

    def usage(self) -> dict[str, Any]:
        """Tokens read and written, and how many of those read were still known from before."""
        assert self._stream is not None
        read, written = len(self.order.prompt_ids), len(self._stream.account.token_ids)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": self._stream.account.reused},
        }

    def body(self, kind: str, choice: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is common to an answer and to each part of a stream."""
        choices = [] if choice is None else [{"index": 0, "logprobs": None, **choice}]
        about = {"id": self.id, "object": kind, "created": self.created, "model": self.order.served.name}
        return {**about, "choices": choices}


def _model(one: Served) -> dict[str, Any]:
    return {"id": one.name, "object": "model", "created": one.created, "owned_by": "cdcda"}


def _event(body: Any) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def _part(answer: Answering, delta: Mapping[str, str], finish: str | None = None) -> bytes:
    return _event(answer.body("chat.completion.chunk", {"delta": delta, "finish_reason": finish}))


async def _events(answer: Answering, pieces: AsyncGenerator[Piece], usage: bool) -> AsyncGenerator[bytes]:
    """The answer as server-sent events; an error on the way is the last of them."""
    yield _part(answer, {"role": "assistant", "content": ""})
    try:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                yield _part(answer, {"content": piece.text})
    except SHOWN as error:
        yield _event({"error": error_body(str(error), "server_error")})
        return
    yield _part(answer, {}, answer.finish)
    if usage:
        yield _event({**answer.body("chat.completion.chunk", None), "usage": answer.usage()})
    yield b"data: [DONE]\n\n"


async def _whole(answer: Answering, pieces: AsyncGenerator[Piece]) -> dict[str, Any]:
    async with contextlib.aclosing(pieces):
        text = "".join([piece.text async for piece in pieces])
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": answer.finish}
    return {**answer.body("chat.completion", choice), "usage": answer.usage()}


def _unknown(name: str, shelf: Shelf) -> fastapi.Response:
    names = ", ".join(one.name for one in shelf.models())
    return refusal(404, f"There is no model {name!r}; there are {names}.", "model_not_found", "model")


def _add_routes(app: fastapi.FastAPI, shelf: Shelf) -> None:
    turn = asyncio.Lock()

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        """The base and each adapter."""
        return {"object": "list", "data": [_model(one) for one in shelf.models()]}

    @app.get("/v1/models/{name}", response_model=None)
    def model(name: str) -> fastapi.Response | dict[str, Any]:
        """One of them."""
        one = shelf.find(name)
        return _model(one) if one else _unknown(name, shelf)

    def prepare(request: ChatRequest) -> Order | fastapi.Response:
        one = shelf.find(request.model)
        if one is None:
            return _unknown(request.model, shelf)
        return shelf.order(one, [message.as_message() for message in request.messages])

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(request: ChatRequest) -> fastapi.Response | dict[str, Any]:
        """An answer, whole or as a stream."""
        order = await anyio.to_thread.run_sync(prepare, request)
        if isinstance(order, fastapi.Response):
            return order
        answer = Answering(order, request)
        pieces = answer.pieces(shelf, turn)
        if not request.stream:
            return await _whole(answer, pieces)
        usage = bool(request.stream_options and request.stream_options.include_usage)
        return StreamingResponse(_events(answer, pieces, usage), media_type="text/event-stream")


async def _refuse_app_error(_: fastapi.Request, error: Exception) -> fastapi.Response:
    assert isinstance(error, AppError | StoreError)
    return of_app_error(error)


async def _refuse_invalid(_: fastapi.Request, error: Exception) -> fastapi.Response:
    assert isinstance(error, fastapi.exceptions.RequestValidationError)
    return of_invalid(error)


async def _refuse_status(_: fastapi.Request, error: Exception) -> fastapi.Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code)


async def _refuse_defect(_: fastapi.Request, error: Exception) -> fastapi.Response:
    return refusal(500, f"The request failed ({type(error).__name__}); try again, and report it if it goes on.")


def build_app(shelf: Shelf, token: str) -> fastapi.FastAPI:
    """The service as an ASGI application."""
    app = fastapi.FastAPI(title="cdcda serve", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate, token=token)
    app.add_exception_handler(AppError, _refuse_app_error)
    app.add_exception_handler(StoreError, _refuse_app_error)
    app.add_exception_handler(fastapi.exceptions.RequestValidationError, _refuse_invalid)
    app.add_exception_handler(HTTPException, _refuse_status)
    app.add_exception_handler(Exception, _refuse_defect)
    _add_routes(app, shelf)
    return app
