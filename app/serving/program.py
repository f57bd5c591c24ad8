"""`cdcda serve` as a program: a socket on loopback, a token, and uvicorn until it is told to end."""

import errno
import os
import secrets
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from app.errors import PortNotOpened
from app.pipeline.shelf import Shelf
from app.serving.server import build_app

HOST = "127.0.0.1"
TOKEN_VARIABLE = "CDCDA_SERVE_TOKEN"
GRACE_SECONDS = 2
"""Answers in progress may take so long to end once the service is told to stop."""


def choose_token() -> tuple[str, bool]:
    """The token of the environment, else a new one; and whether it is new, so that somebody has to be told."""
    given = os.environ.get(TOKEN_VARIABLE)
    return given or secrets.token_urlsafe(32), not given


def listen(port: int) -> socket.socket:
    """A socket that listens there, on this computer alone; 0 takes a free port. Raises PortNotOpened."""
    try:
        return socket.create_server((HOST, port), backlog=64)
    except OSError as error:
        reason = "another program has it" if error.errno == errno.EADDRINUSE else error.strerror
        raise PortNotOpened(
            f"Port {port} should be free for other programs' requests but is not ({reason}); choose another with"
            " --port, or 0 for a free one."
        ) from None


class _Server(uvicorn.Server):
    """uvicorn, which says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and say so."""
        await super().startup(sockets)
        self._ready()


def _ignore(*_: Any) -> None:
    """uvicorn ends gracefully on a signal and then raises it again; the second time it is to do nothing."""


def serve(shelf: Shelf, listening: socket.socket, token: str, ready: Callable[[], None]) -> None:
    """Answer until a signal asks to end; `ready` is called once requests are taken."""
    config = uvicorn.Config(
        build_app(shelf, token),
        access_log=False,
        log_level="critical",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        lifespan="off",
    )
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, _ignore) for kind in kinds]
    try:
        _Server(config, ready).run([listening])
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
