"""The service on many processes or machines: the ASGI app of `cdcda-cloud` as a Ray Serve deployment.

    python -m cloud_stub.scale --replicas 2 --upstream URL --model NAME    all options of cdcda-cloud are taken
    serve run cloud_stub.scale:application replicas=4 upstream=URL model=NAME    on a Ray cluster that already runs

The service keeps nothing between requests, so its replicas share nothing and any of them may be lost: its clients
resume with the records that are unfinished. Queue bound and rate limits are each replica's own. Needs the extra
`scale`. Ray's reports of its use to its makers are off, and what it listens on here is loopback.
"""

import argparse
import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import fastapi

from cloud_stub.__main__ import GRACE_SECONDS, choose_token, listen
from cloud_stub.augmenting import Parts
from cloud_stub.errors import ServiceError
from cloud_stub.options import bounds, choose_models, parse_options
from cloud_stub.ray_cluster import cluster
from cloud_stub.server import build_app

NAME = "cdcda-cloud"
PROXY_TAKES = 10_000
"""Requests that Ray hands to a replica at a time: more than it takes, so that its own queue says who comes back."""
QUIET = {"log_level": "WARNING", "enable_access_log": False}
"""What Ray's own processes say."""

Build = Callable[[], fastapi.FastAPI]


def deployment(build: Build, replicas: int) -> Any:
    """The ASGI app that a function builds, once in each replica, as a Ray Serve application."""
    from ray import serve

    made = serve.deployment(
        serve.ingress(build)(),
        name=NAME,
        num_replicas=replicas,
        max_ongoing_requests=PROXY_TAKES,
        graceful_shutdown_timeout_s=GRACE_SECONDS,
        logging_config=QUIET,
    )
    return made.bind()


def builder(options: argparse.Namespace, token: str) -> Build:
    """What builds the service of these options where it is called; raises ServiceError for options that cannot do."""
    models = choose_models(options)

    def build() -> fastapi.FastAPI:
        loaded: Future[Parts] = Future()
        # Ray sends no request to a replica before it is built.
        loaded.set_result(models.load(options.nli))
        described = models.describe(options.nli)
        return build_app(described, loaded, token, bounds(options), models.room, options.bases_dir)

    return build


def application(arguments: Mapping[str, str]) -> Any:
    """For `serve run`: options without their dashes, `replicas` among them; raises ServiceError."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    replicas, options = _options(given)
    return deployment(builder(options, choose_token()), replicas)


def _check_room(replicas: int) -> None:
    import ray

    cores = int(ray.cluster_resources().get("CPU", 0))
    if replicas > cores:
        raise ServiceError(
            f"Each replica needs a core and {replicas} were asked for where Ray has {cores}; lower --replicas, or name"
            " a larger cluster in RAY_ADDRESS."
        )


def _wait_to_be_told() -> None:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


@contextlib.contextmanager
def held(host: str, port: int) -> Iterator[int]:
    """The port, or a free one for 0, kept from other programs but not from Ray's proxy; raises ServiceError.

    Ray takes twenty seconds to start and opens dozens of ports of the system's choice meanwhile, of which one could be
    this. A socket that is bound and does not listen keeps it; the proxy binds beside it, with SO_REUSEPORT as it does.
    """
    with listen(host, port) as found:
        family, address = found.family, found.getsockname()
    with socket.socket(family) as keeper:
        if hasattr(socket, "SO_REUSEPORT"):
            # Without the other one a port whose last connections have just ended is not to be had.
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                keeper.setsockopt(socket.SOL_SOCKET, option, 1)
            keeper.bind(address)
        yield address[1]


def run(build: Build, replicas: int, host: str, port: int) -> None:
    """Serve so many replicas of an app at one address until told to end by a signal; raises ServiceError."""
    with held(host, port) as port, cluster():
        from ray import serve
        from ray.serve.config import HTTPOptions

        _check_room(replicas)
        http = HTTPOptions(host=host, port=port)
        serve.start(proxy_location="HeadOnly", http_options=http, logging_config=QUIET)
        try:
            serve.run(deployment(build, replicas), name=NAME)
            print(f"cdcda-cloud listening on http://{host}:{port}", flush=True)
            _wait_to_be_told()
        finally:
            serve.shutdown()


def _options(arguments: Sequence[str] | None) -> tuple[int, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m cloud_stub.scale",
        description="Runs cdcda-cloud as several replicas behind one address, on Ray Serve.",
        epilog="All options of cdcda-cloud are taken too, and mean the same for each replica; see cdcda-cloud --help.",
        allow_abbrev=False,
    )
    parser.add_argument("--replicas", type=int, default=2, metavar="N", help="processes that serve (%(default)s)")
    own, rest = parser.parse_known_args(arguments)
    if own.replicas < 1:
        parser.error(f"argument --replicas: a number from 1 was expected, not {own.replicas}")
    return own.replicas, parse_options(rest)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the replicas; the exit code is 0 when they were told to end, 1 with one sentence when they cannot serve."""
    replicas, options = _options(arguments)
    try:
        run(builder(options, choose_token()), replicas, options.host, options.port)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
