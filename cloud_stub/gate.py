"""Who is let in, with how large a body and how often; and what those are told who are not. Knows no route."""

import asyncio
import hmac
import time

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_stub.limits import Rate
from cloud_stub.schemas import MAX_BODY, Problem

OPEN_PATHS = ("/", "/v1/health", "/openapi.json")
"""What needs no token."""

SILENT_SECONDS = 30.0
"""Longest wait for the next part of a body."""
BODY_SECONDS = 900.0
"""What a whole body may take to come in."""

_WORDS = {
    400: "A JSON body in UTF-8 was expected and something else came; see /openapi.json.",
    401: "A bearer token was expected and none that fits came; send the one that the service printed or was given.",
    404: "There is nothing at this address; the service answers at /v1/augment, /v1/capabilities and /v1/health.",
    405: "This address does not take that method; see /openapi.json.",
    408: "The whole body was expected and did not come in time; send it again.",
    413: f"A body of at most {MAX_BODY:,} bytes was expected and a longer one came; send fewer records at a time.",
}


def problem(status: int, sentence: str | None = None, headers: dict[str, str] | None = None) -> JSONResponse:
    """A refusal: one sentence, by default that of the status."""
    error = sentence or _WORDS.get(status, f"The request was refused with status {status}; see /openapi.json.")
    return JSONResponse(Problem(error=error).model_dump(), status, headers)


class ComeBack(HTTPException):
    """The service cannot take this on now; says in whole seconds when to come back."""

    def __init__(self, status: int, sentence: str, seconds: int) -> None:
        when = f"in {seconds} seconds" if seconds != 1 else "in a second"
        super().__init__(status, f"{sentence}; try again {when}.", {"Retry-After": str(seconds)})


def too_fast(most: int, what: str, seconds: int) -> ComeBack:
    """A refusal of who asked more often than `most` times a minute."""
    return ComeBack(429, f"At most {most:,} {what} a minute were expected from one address and more came", seconds)


def address(scope: Scope) -> str:
    """Where a connection comes from."""
    return str((scope.get("client") or ("",))[0])


class Gate:
    """Lets in only those who have the token and do not ask too often, and bodies that are not too large."""

    def __init__(self, app: ASGIApp, token: str, requests_per_minute: int) -> None:
        self._app = app
        self._token = token.encode()
        self._most = requests_per_minute
        self._rate = Rate(requests_per_minute)

    def _has_token(self, headers: dict[bytes, bytes]) -> bool:
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> JSONResponse | None:
        # Those who guess tokens are held up too.
        if scope["path"] != "/v1/health" and (seconds := self._rate.take(address(scope))):
            refused = too_fast(self._most, "requests", seconds)
            return problem(429, refused.detail, dict(refused.headers or {}))
        if scope["path"] not in OPEN_PATHS and not self._has_token(headers):
            return problem(401, headers={"WWW-Authenticate": "Bearer"})
        length = headers.get(b"content-length", b"0")
        return problem(413) if not length.isdigit() or int(length) > MAX_BODY else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if refusal := self._refusal(scope, dict(scope["headers"])):
            return await refusal(scope, receive, send)
        return await self._app(scope, _bounded(receive), send)


def _bounded(receive: Receive) -> Receive:
    """What comes in, up to MAX_BODY bytes and in time: a body sent in chunks does not say how long it is."""
    received, whole, deadline = 0, False, time.monotonic() + BODY_SECONDS

    async def in_time() -> Message:
        try:
            return await asyncio.wait_for(receive(), min(SILENT_SECONDS, deadline - time.monotonic()))
        except TimeoutError:
            raise HTTPException(408) from None

    async def bounded() -> Message:
        nonlocal received, whole
        # After the body comes nothing but the client's leaving, for which there is no hurry.
        message = await (receive() if whole else in_time())
        whole = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise HTTPException(413)
        return message

    return bounded
