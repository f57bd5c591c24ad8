"""`cdcda-cloud pretrain`: makes a task base from a folder of public data and puts it where the service offers it.

    cdcda-cloud pretrain --task LaMP_5 --data DIR

Ctrl-C stops it; the same command goes on where it was.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence

from app.device.catalogue import EMBEDDED, find_model
from app.device.threads import share_cores
from app.device.training import FineTuning, Progress
from app.errors import SHOWN, BadInput
from app.tasks import find_task
from cloud_stub.pretraining.recipe import NOT_STATED, USUAL, About, Recipe, Stopped, make_base

HOME = pathlib.Path("~/.cdcda")
INTERRUPTED = 130
EVERY_SECONDS = 10.0
"""How often a progress line is printed where the output is no terminal."""


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="cdcda-cloud pretrain",
        description="Fine-tunes a device model on other people's public data, as a base for personal adapters.",
        epilog="Ctrl-C stops it; the same command goes on where it was.",
    )
    parser.add_argument("--task", required=True, metavar="NAME", help="a LaMP task, like LaMP_5")
    parser.add_argument("--data", required=True, type=pathlib.Path, metavar="DIR", help="folder with LaMP's files")
    parser.add_argument("--model", default=EMBEDDED, metavar="NAME_OR_PATH", help="device model (%(default)s)")
    parser.add_argument("--name", metavar="NAME", help="what the base is called (the task's name)")
    parser.add_argument("--out", type=pathlib.Path, default=HOME / "bases", metavar="DIR", help="(%(default)s)")
    parser.add_argument("--models-dir", type=pathlib.Path, default=HOME / "models", metavar="DIR", help="(%(default)s)")
    parser.add_argument("--cache", type=pathlib.Path, default=HOME / "prepared", metavar="DIR", help="(%(default)s)")
    parser.add_argument("--epochs", type=_positive, default=USUAL.epochs, help="(%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=USUAL.learning_rate, help="(%(default)s)")
    parser.add_argument("--rank", type=_positive, default=USUAL.rank, help="(%(default)s)")
    parser.add_argument("--alpha", type=_positive, default=USUAL.alpha, help="(%(default)s)")
    parser.add_argument("--batch", type=_positive, default=USUAL.batch, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=USUAL.seed, help="(%(default)s)")
    parser.add_argument("--max-tokens", type=_positive, default=USUAL.max_tokens, help="of an example (%(default)s)")
    parser.add_argument("--score", type=int, default=Recipe.questions, metavar="N", help="dev questions (%(default)s)")
    parser.add_argument(
        "--as-asked", action="store_true", help="learn under the instruction of the data's questions, not the app's own"
    )
    parser.add_argument("--anew", action="store_true", help="do not go on with a stopped one, begin again")
    told = parser.add_argument_group("what the base tells of its data")
    told.add_argument("--title", dest="about_title", default="", metavar="TEXT", help="for people")
    for field in ("data", "licence", "attribution"):
        flag = "--about" if field == "data" else f"--{field}"
        told.add_argument(flag, dest=f"about_{field}", default=NOT_STATED, metavar="TEXT")
    return parser.parse_args(arguments)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """What is to be made; raises BadInput, ModelMissing and ModelDamaged."""
    task = find_task(options.task)
    if options.score < 0:
        raise BadInput(f"The number of questions to score by is 0 or more, got {options.score}; correct --score.")
    named = ("epochs", "learning_rate", "rank", "alpha", "batch", "seed", "max_tokens")
    return Recipe(
        task,
        options.data.expanduser(),
        find_model(options.model, options.models_dir.expanduser()),
        options.name or task.name,
        options.out.expanduser().absolute(),
        options.cache.expanduser().absolute(),
        FineTuning(**{name: getattr(options, name) for name in named}),
        About(options.about_title, options.about_data, options.about_licence, options.about_attribution),
        options.score,
        options.as_asked,
    )


class Screen:
    """See Listener: lines on standard error, one that is written over where it is a terminal."""

    def __init__(self) -> None:
        self._last = 0.0

    def say(self, sentence: str) -> None:
        """See Listener."""
        print(sentence, file=sys.stderr, flush=True)

    def _line(self, text: str, last: bool) -> None:
        if sys.stderr.isatty():
            print(f"\r{text:<79}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif last or time.monotonic() - self._last > EVERY_SECONDS:
            self._last = time.monotonic()
            self.say(text)

    def train(self, progress: Progress) -> None:
        """See Listener."""
        held_out = "" if progress.held_out_loss is None else f", held out {progress.held_out_loss:.3f}"
        self._line(
            f"step {progress.step} of {progress.steps}, epoch {progress.epoch}, loss {progress.loss:.3f}{held_out},"
            f" about {progress.seconds_left / 60:.1f} min left",
            progress.held_out_loss is not None or progress.step == progress.steps,
        )

    def score(self, done: int, total: int) -> None:
        """See Listener."""
        self._line(f"scoring, question {done} of {total}", done == total)


def _until_signal() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set."""
    asked = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: asked.set())
    return asked


def main(arguments: Sequence[str]) -> int:
    """Make a base; 0, 1 with one sentence where it cannot be made, 2 for bad usage, 130 when it was stopped."""
    options = parse_options(arguments)
    # Read by OpenMP when torch is imported, which comes later.
    share_cores()
    os.environ["HF_HUB_OFFLINE"] = "1"
    asked = _until_signal()
    try:
        recipe = recipe_of(options)
        if options.anew:
            shutil.rmtree(recipe.unfinished, ignore_errors=True)
        base = make_base(recipe, Screen(), asked.is_set)
    except Stopped:
        print("cdcda-cloud: stopped; the same command goes on where it was.", file=sys.stderr)
        return INTERRUPTED
    except SHOWN as error:
        print(f"cdcda-cloud: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    print(
        json.dumps({"name": base.name, "folder": str(base.folder), "bytes": base.size, "scores": base.manifest.scores})
    )
    return 0
