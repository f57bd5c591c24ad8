"""The augmentation service as a program: `cdcda-cloud`, or `python -m cloud_stub`.

It answers on one address, opens no connection of its own, and writes no text of a person anywhere.
"""

import argparse
import contextlib
import errno
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import uvicorn

from cloud_stub.augmenting import Parts
from cloud_stub.errors import PortInUse, ServiceError
from cloud_stub.options import TOKEN_VARIABLE, bounds, choose_models, parse_options
from cloud_stub.server import Service, build_app

GRACE_SECONDS = 2
"""Requests in progress may take so long to end once the service is told to stop."""
HARD_EXIT_SECONDS = 3.5
"""After so long the process ends whatever is still running in it."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises PortInUse, and ServiceError for an address that is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {port} on {host} is in use by another program; choose another with --port, or 0 for a free one."
            ) from error
        raise ServiceError(
            f"The service cannot listen on port {port} of {host} ({error.strerror or error}); choose others with --host"
            " and --port."
        ) from error


def in_background(load: Callable[[], Parts]) -> "Future[Parts]":
    """What a function loads, while the service already answers."""
    future: Future[Parts] = Future()

    def run() -> None:
        try:
            future.set_result(load())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="load").start()
    return future


class Server(uvicorn.Server):
    """uvicorn, which says when it answers, and stops the model when it is told to end."""

    def __init__(self, config: uvicorn.Config, service: Service, address: str) -> None:
        super().__init__(config)
        self._service = service
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and say so."""
        await super().startup(sockets)
        if self.started:
            print(f"cdcda-cloud listening on {self._address}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the requests in progress; the process ends soon, whatever they do."""
        self._service.stopping.set()
        timer = threading.Timer(HARD_EXIT_SECONDS, os._exit, (0,))
        timer.daemon = True
        timer.start()
        await super().shutdown(sockets)

    def end(self, *_: Any) -> None:
        """Have the service end; may be called from any thread."""
        self.should_exit = True


def _end_with_parent(server: Server) -> None:
    """Have the server end when nobody holds the other end of standard input any more, even if they were killed."""

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        server.end()

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _keep_signals_quiet() -> None:
    """uvicorn ends gracefully on a signal and then raises it again; the second time it is to do nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)


def choose_token() -> str:
    """The token of the environment, else a new one, which is printed."""
    if given := os.environ.get(TOKEN_VARIABLE):
        return given
    made = secrets.token_urlsafe(32)
    print(f"cdcda-cloud token (made for this run): {made}", flush=True)
    return made


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(options: argparse.Namespace) -> None:
    """Serve until told to end; raises ServiceError."""
    models = choose_models(options)
    with listen(options.host, options.port) as listening:
        parts = in_background(lambda: models.load(options.nli))
        described = models.describe(options.nli)
        app = build_app(described, parts, choose_token(), bounds(options), models.room, options.bases_dir)
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="critical",
            server_header=False,
            # The limits go by address, and a header could name any.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            lifespan="off",
        )
        server = Server(config, app.state.service, _address(listening))
        parts.add_done_callback(lambda loaded: server.end() if loaded.exception() else None)
        if options.exit_with_parent:
            _end_with_parent(server)
        _keep_signals_quiet()
        server.run([listening])
    if parts.done() and (error := parts.exception()):
        raise error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service; the exit code is 0 when it was told to end, 1 with one sentence when it cannot serve.

    `pretrain` as the first word makes a base instead (cloud_stub.pretraining).
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["pretrain"]:
        from cloud_stub.pretraining import command

        return command.main(given[1:])
    try:
        serve(parse_options(given))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
