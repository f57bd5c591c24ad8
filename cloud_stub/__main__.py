"""The augmentation service as a program: `cdcda-cloud`, or `python -m cloud_stub`.

It answers on one address, opens no connection of its own, and writes no text of a person anywhere.
"""

import argparse
import contextlib
import errno
import os
import pathlib
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import uvicorn

from cloud_stub import llama_library, nli
from cloud_stub.augmenting import Parts
from cloud_stub.errors import PortInUse, ServiceError
from cloud_stub.models import ModelFile, choose_model
from cloud_stub.prompts import Form
from cloud_stub.schemas import Capabilities, ModelDescription
from cloud_stub.scoring import rouge_l
from cloud_stub.server import Service, build_app

TOKEN_VARIABLE = "CDCDA_CLOUD_TOKEN"
GRACE_SECONDS = 2
"""Requests in progress may take so long to end once the service is told to stop."""
HARD_EXIT_SECONDS = 3.5
"""After so long the process ends whatever is still running in it."""


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="cdcda-cloud",
        description="Writes synthetic pairs for records that people share, and scores them.",
        epilog=f"Requests need a bearer token: that of the environment variable {TOKEN_VARIABLE}, else one that is"
        " made at the start and printed once.",
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8765, metavar="N", help="0 takes a free one (%(default)s)")
    parser.add_argument("--model", type=pathlib.Path, metavar="FILE", help="GGUF model that writes the pairs")
    parser.add_argument(
        "--models-dir",
        type=pathlib.Path,
        default=pathlib.Path("~/.cdcda/models"),
        metavar="DIR",
        help="without --model its largest .gguf is taken, else the small one that comes along (%(default)s)",
    )
    parser.add_argument("--nli", metavar="MODEL", help="sentence-transformers CrossEncoder, in place of the own one")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input is closed")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: a number from 0 to 65535 was expected, not {options.port}")
    return options


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


def describe(model: ModelFile, scorer: str | None) -> Capabilities:
    """What this service can do."""
    form: Form = "examples" if model.embedded else "rewrite"
    description = ModelDescription(name=model.name, embedded=model.embedded, prompt=form)
    return Capabilities(models=(description,), scorer=scorer or nli.EMBEDDED_NAME)


def load_parts(model: ModelFile, scorer: str | None) -> Parts:
    """Load model and scorer; raises ServiceError."""
    import torch

    from cloud_stub.llama_model import LlamaModel, processors

    torch.set_num_threads(processors())
    # rouge-score imports all of nltk, which takes seconds: now, and not within the first request.
    rouge_l("", "")
    return Parts(LlamaModel(model), nli.CrossEncoderNli(scorer) if scorer else nli.EmbeddedNli())


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
    model = choose_model(options.model, options.models_dir)
    llama_library.check_model(model.path)
    nli.check_scorer(options.nli)
    with listen(options.host, options.port) as listening:
        parts = in_background(lambda: load_parts(model, options.nli))
        app = build_app(describe(model, options.nli), parts, choose_token())
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="critical",
            server_header=False,
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
    """Run the service; the exit code is 0 when it was told to end, 1 with one sentence when it cannot serve."""
    try:
        serve(parse_options(arguments))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
