"""Decoding speed of the embedded model under the environment's thread settings; nothing is asserted.

python -m tests.benchmarks.spinning
GOMP_SPINCOUNT=3000 python -m tests.benchmarks.spinning
OMP_WAIT_POLICY=PASSIVE python -m tests.benchmarks.spinning
"""

import os
import time
from pathlib import Path

from app.device.catalogue import EMBEDDED, find_model
from app.device.engines import Sampling, open_engine
from app.device.rendering import render_task
from app.device.tokenising import open_tokeniser
from app.tasks import find_task

PROMPT = "Write a long story about a village, its council and its trains."


def main() -> None:
    """Print tokens a second of three runs of 200 greedy tokens."""
    model = find_model(EMBEDDED, Path("models"))
    engine, tokeniser = open_engine(model), open_tokeniser(model)
    ids = render_task(tokeniser, find_task("chat"), PROMPT)
    settings = {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    for _ in range(3):
        started, tokens = time.monotonic(), 0
        for piece in engine.stream(ids, None, Sampling(max_tokens=200)):
            tokens = piece.tokens
        print(settings, f"{tokens / (time.monotonic() - started):.0f} tokens/s")
    engine.close()


if __name__ == "__main__":
    main()
