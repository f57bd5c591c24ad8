"""`cdcda`: the whole journey without a browser.

Every command takes `--data-dir DIR` and `--json`. Exit codes: 0 only if the thing was done, 2 for bad usage, 130 after
Ctrl-C, 1 with one sentence otherwise. Nothing heavy is imported before a command needs it.
"""

import errno
import os
import sys
from collections.abc import Sequence

from app.cli.arguments import parse
from app.errors import SHOWN, BadInput

INTERRUPTED = 130


def _say(sentence: str) -> None:
    print(f"cdcda: {sentence}", file=sys.stderr)


def _run(arguments: Sequence[str] | None) -> int:
    options = parse(arguments)
    # A model hub is asked by `cdcda models pull` alone, and not through the libraries that read this.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from app.cli.commands import run
    from app.device.threads import share_cores

    share_cores()
    return run(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    try:
        return _run(arguments)
    except SHOWN as error:
        _say(str(error))
        return 2 if isinstance(error, BadInput) else 1
    except KeyboardInterrupt:
        _say("stopped.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output went away; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _say("The disk is full, and nothing half-written was kept; make room and try again.")
        return 1
