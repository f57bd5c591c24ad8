"""The estimate of a training's peak memory beside what was measured; nothing is asserted.

    python -m tests.benchmarks.forecast [--model NAME_OR_PATH ...] [--only CASE ...]

Each line is a training of some steps in a process of its own, through the trainer's front door and with the imports of
a training job; the model was unpacked before. The ids are drawn at random: memory does not depend on what they say.
Measured is the highest resident size of the process.
"""

import argparse
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from app.device.catalogue import EMBEDDED, find_model
from app.device.finetuning import fine_tune
from app.device.forecasting import forecast
from app.device.rendering import Example
from app.device.shapes import shape_of
from app.device.training import FineTuning
from app.device.weights import best_device, prepare
from app.pipeline.local_service import child_environment

STEPS = 2


@dataclasses.dataclass(frozen=True)
class Case:
    """A training to be held against its estimate."""

    name: str
    prompt: int
    """Tokens given in each example."""
    completion: int
    """Tokens learned."""
    settings: FineTuning


CASES = (
    Case("usual", 230, 20, FineTuning(epochs=1)),
    Case("half at once", 230, 20, FineTuning(epochs=1, micro_tokens=512)),
    Case("few at once", 100, 20, FineTuning(epochs=1, micro_tokens=256)),
    Case("long answers", 156, 100, FineTuning(epochs=1)),
    Case("longest rows", 480, 32, FineTuning(epochs=1, rank=32)),
)
"""The last two were not looked at when the estimate's constants were chosen."""


def examples_of(case: Case) -> list[Example]:
    """As many as the steps take, of random ids."""
    generator = random.Random(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(generator.randrange(1000, 40_000) for _ in range(count))

    count = STEPS * case.settings.batch
    return [Example(ids(case.prompt), ids(case.completion)) for _ in range(count)]


def estimated_mb(model: str, case: Case) -> float:
    """The forecast of that training."""
    shape = shape_of(find_model(model, Path()))
    return forecast(shape, case.settings, examples_of(case), device=best_device()).peak_mb


def _train(model: str, case: Case, cache: Path) -> None:
    """The work of a case's process; prints the peak in MB."""
    import app.evaluation.worker  # noqa: F401  What a job imports is part of what it takes.

    prepared = prepare(find_model(model, Path()), cache, lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        done = fine_tune(
            prepared, examples_of(case), [], case.settings, Path(folder), lambda _: None, should_stop=lambda: False
        )
    print(json.dumps(done.peak_memory_mb))


def measured_mb(model: str, case: Case, cache: Path) -> float:
    """The highest resident size of a process that does the training; `cache` keeps the unpacked model."""
    prepare(find_model(model, Path()), cache, print)
    command = [sys.executable, "-m", "tests.benchmarks.forecast", "--child", model, case.name, str(cache)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=child_environment())
    return float(json.loads(done.stdout.splitlines()[-1]))


def find_case(name: str) -> Case:
    """The case of that name."""
    return next(case for case in CASES if case.name == name)


def _print_table(models: Sequence[str], cases: Sequence[Case], cache: Path) -> None:
    print("| model | case | estimated MB | measured MB | estimated / measured |\n|---|---|---|---|---|")
    for model in models:
        for case in cases:
            estimated, measured = estimated_mb(model, case), measured_mb(model, case, cache)
            row = (Path(model).stem, case.name, f"{estimated:,.0f}", f"{measured:,.0f}", f"{estimated / measured:.2f}")
            print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Print the table, or be the process of one case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=[EMBEDDED])
    parser.add_argument("--only", nargs="+", default=[case.name for case in CASES], metavar="CASE")
    parser.add_argument("--cache", type=Path, help="folder that keeps unpacked models (a passing one)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        model, name, cache = options.child
        _train(model, find_case(name), Path(cache))
        return
    with tempfile.TemporaryDirectory() as passing:
        _print_table(options.model, [find_case(name) for name in options.only], options.cache or Path(passing))


if __name__ == "__main__":
    main()
