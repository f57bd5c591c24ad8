"""A training's forward and backward pass in bfloat16 beside float32, over the same NF4 weights, in turn.

python -m tests.benchmarks.precision [--model NAME_OR_PATH] [--rounds 3]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from app.device import lora, losses, weights
from app.device.batching import count_tokens
from app.device.catalogue import EMBEDDED, find_model
from app.device.precision import Precision, best_precision, computing
from app.device.rendering import Example
from app.device.training import FineTuning

EXAMPLES = [Example(tuple(range(100, 300)), tuple(range(300, 320)))] * 2
"""Two abstracts with their titles, so far as a network can tell."""


def tokens_per_second(network: Any, precision: Precision) -> float:
    """Of one pass forward and backward."""
    started = time.perf_counter()
    with computing("cpu", precision):
        loss = losses.completion_loss(network, EXAMPLES, "cpu")
    loss.backward()
    return count_tokens([EXAMPLES]) / (time.perf_counter() - started)


def measure(network: Any, rounds: int) -> dict[Precision, float]:
    """Medians of the rounds, after one that does not count."""
    found: dict[Precision, list[float]] = {precision: [] for precision in get_args(Precision)}
    for round in range(rounds + 1):
        for precision, speeds in found.items():
            speed = tokens_per_second(network, precision)
            speeds.extend([speed] if round else [])
    return {precision: statistics.median(speeds) for precision, speeds in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both speeds, their ratio, and which the program would take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        prepared = weights.prepare(find_model(options.model, Path(folder)), Path(folder), print)
        network = weights.load_for_training(prepared, "nf4", "cpu")
        lora.add_adapter(network, FineTuning()).train()
        found = measure(network, options.rounds)
    for precision, speed in found.items():
        print(f"{precision}: {speed:.0f} tokens/s")
    print(f"float32 is {found['float32'] / found['bfloat16']:.2f} times as fast; taken here: {best_precision('cpu')}")


if __name__ == "__main__":
    main()
