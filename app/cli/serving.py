"""`cdcda serve`: the device model and its adapters for other programs, until Ctrl-C."""

import argparse
import json
from typing import TYPE_CHECKING

from app.cli.printing import say

if TYPE_CHECKING:
    from app.pipeline.workspace import Workspace

PORT = 7870
MOST_CONTEXT = 131_072


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, got {text!r}")


def _context(text: str) -> int:
    if text.isascii() and text.isdigit() and 128 <= int(text) <= MOST_CONTEXT:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected 128 to {MOST_CONTEXT:,} tokens, got {text!r}")


def add_serve(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    """What can be typed after `cdcda serve`."""
    serve = commands.add_parser(
        "serve", parents=common, help="answer other programs on this computer, as OpenAI's server would"
    )
    serve.add_argument("--port", type=_port, default=PORT, help="0 for a free one (%(default)s)")
    serve.add_argument("--model", metavar="NAME_OR_PATH", help="the model to serve (your device model)")
    serve.add_argument(
        "--context", type=_context, default=2048, metavar="N", help="tokens of conversation and answer (%(default)s)"
    )


def serve(workspace: "Workspace", options: argparse.Namespace) -> None:
    """`cdcda serve`: says its address and token once it answers, and nothing at the end."""
    from app.pipeline.shelf import Shelf
    from app.serving import program

    with program.listen(options.port) as listening:
        shelf = Shelf(workspace, options.model, options.context)
        token, new = program.choose_token()
        address = f"http://{program.HOST}:{listening.getsockname()[1]}/v1"
        names = [one.name for one in shelf.models()]

        def ready() -> None:
            if options.json:
                print(json.dumps({"url": address, "token": token if new else None, "models": names}), flush=True)
                return
            told = f"token (made for this run): {token}" if new else f"token: that of {program.TOKEN_VARIABLE}"
            say(f"cdcda serve answers at {address}", told, f"models: {', '.join(names)}", "Ctrl-C ends it.")

        try:
            program.serve(shelf, listening, token, ready)
        finally:
            shelf.close()
