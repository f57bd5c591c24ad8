"""`cdcda`: the whole journey without a browser.

Every command takes `--data-dir DIR` and `--json`. Exit codes: 0 only if the thing was done, 2 for bad usage, 130 after
Ctrl-C, 1 with one sentence otherwise. Nothing heavy is imported before a command needs it.
"""

import io
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
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Not every terminal has every letter of a record.
        sys.stdout.reconfigure(errors="replace")
    # A model hub is asked by `cdcda models pull` alone, and not through the libraries that read this.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from app.cli.commands import run
    from app.device.threads import share_cores

    share_cores()
    return run(options)


def _disk(error: OSError) -> int:
    """Say what is wrong with the disk; any other error is a defect and goes on."""
    from app.device.writing import OF_THE_DISK, explain

    if error.errno not in OF_THE_DISK:
        raise error
    _say(str(explain("A file", None, error, "read or written")))
    return 1


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
        return _disk(error)
