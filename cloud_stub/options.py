"""The service's command line, and the models that it names."""

import argparse
import dataclasses
import os
import pathlib
from collections.abc import Sequence

from cloud_stub import llama_library, loading, nli
from cloud_stub.errors import ServiceError
from cloud_stub.limits import Bounds
from cloud_stub.models import choose_model
from cloud_stub.upstream import ANSWER_SECONDS, THINKING_TOKENS, check_url

TOKEN_VARIABLE = "CDCDA_CLOUD_TOKEN"
KEY_VARIABLES = ("CDCDA_UPSTREAM_KEY", "OPENAI_API_KEY")
"""Where the key for an upstream server is looked for."""
CONCURRENCY = 8
UPSTREAM_WAITING = 64
UPSTREAM_RETRY_SECONDS = 10


def _above_zero(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _places(text: str) -> int:
    return int(_above_zero(str(int(text))))


def _add_upstream(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models on another server")
    group.add_argument("--upstream", metavar="URL", help="OpenAI-compatible server, like http://127.0.0.1:8000/v1")
    group.add_argument(
        "--upstream-key-variable",
        metavar="NAME",
        help=f"environment variable that holds its key (the first of {' and '.join(KEY_VARIABLES)} that is set)",
    )
    group.add_argument(
        "--concurrency", type=_places, metavar="N", help=f"samples it writes at the same time ({CONCURRENCY})"
    )
    group.add_argument(
        "--answer-seconds",
        type=_above_zero,
        default=ANSWER_SECONDS,
        metavar="S",
        help="what a sample may take there (%(default)g)",
    )
    group.add_argument(
        "--thinking-tokens",
        type=_places,
        metavar="N",
        help=f"what a model may think with before it answers ({THINKING_TOKENS}, once it is seen to think)",
    )


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--waiting", type=_count, metavar="N", help="requests that may wait (4; 64 with --upstream), the rest get a 503"
    )
    for name, words in (("requests", "requests"), ("records", "records")):
        group.add_argument(
            f"--{name}-per-minute",
            type=_count,
            default=getattr(Bounds, f"{name}_per_minute"),
            metavar="N",
            help=f"{words} of one address, more get a 429; 0: as many as come (%(default)s)",
        )
    for name, words in (("record", "a record's samples"), ("request", "a request")):
        group.add_argument(
            f"--{name}-seconds",
            type=_above_zero,
            default=getattr(Bounds, f"{name}_seconds"),
            metavar="S",
            help=f"what {words} may take (%(default)g)",
        )


def bounds(options: argparse.Namespace) -> Bounds:
    """The limits that the options set."""
    given = Bounds(
        requests_per_minute=options.requests_per_minute,
        records_per_minute=options.records_per_minute,
        record_seconds=options.record_seconds,
        request_seconds=options.request_seconds,
    )
    if options.upstream:
        given = dataclasses.replace(given, waiting=UPSTREAM_WAITING, retry_seconds=UPSTREAM_RETRY_SECONDS)
    return given if options.waiting is None else dataclasses.replace(given, waiting=options.waiting)


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
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="FILE",
        help="GGUF model that writes the pairs, or with --upstream a model's name there; given again, several models"
        " write in turn",
    )
    parser.add_argument(
        "--models-dir",
        type=pathlib.Path,
        default=pathlib.Path("~/.cdcda/models"),
        metavar="DIR",
        help="without --model its largest .gguf is taken, else the small one that comes along (%(default)s)",
    )
    parser.add_argument(
        "--bases-dir",
        type=pathlib.Path,
        default=pathlib.Path("~/.cdcda/bases"),
        metavar="DIR",
        help="task bases offered beside those that come along; `cdcda-cloud pretrain` makes them (%(default)s)",
    )
    parser.add_argument("--nli", metavar="MODEL", help="sentence-transformers CrossEncoder, in place of the own one")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input is closed")
    _add_upstream(parser)
    _add_bounds(parser)
    options = parser.parse_args(arguments)
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program with exit code 2 where the options do not go together."""
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: a number from 0 to 65535 was expected, not {options.port}")
    if len(set(options.model)) < len(options.model):
        parser.error("argument --model: models that differ were expected, and one is given twice")
    if options.upstream and not options.model:
        parser.error("argument --upstream: name the model there with --model")
    alone = (options.concurrency, options.thinking_tokens, options.upstream_key_variable)
    if options.upstream is None and any(alone):
        parser.error(
            "arguments --concurrency, --thinking-tokens and --upstream-key-variable: they go with --upstream alone"
        )


def _key(variable: str | None) -> str | None:
    """The key for the upstream server; raises ServiceError where the variable that was named is not set."""
    if variable and not os.environ.get(variable):
        raise ServiceError(
            f"The environment variable {variable} should hold the key for the upstream server and is not set;"
            " set it, or leave --upstream-key-variable out."
        )
    return next(filter(None, map(os.environ.get, [variable] if variable else KEY_VARIABLES)), None)


def choose_models(options: argparse.Namespace) -> loading.Models:
    """The models that the options name, checked as far as can be without loading; raises ServiceError."""
    nli.check_scorer(options.nli)
    if options.upstream:
        return loading.UpstreamModels(
            check_url(options.upstream),
            tuple(options.model),
            _key(options.upstream_key_variable),
            options.concurrency or CONCURRENCY,
            options.answer_seconds,
            options.thinking_tokens,
        )
    named: list[pathlib.Path | None] = [pathlib.Path(name) for name in options.model]
    files = tuple(choose_model(name, options.models_dir) for name in named or [None])
    for file in files:
        llama_library.check_model(file.path)
    return loading.ModelFiles(files)
