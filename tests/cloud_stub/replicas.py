"""Two replicas of the real service around a hand-written model, on a Ray cluster of their own; ends when told to.

python -m tests.cloud_stub.replicas 2       prints its address
"""

import os
import sys
import time

import fastapi

from cloud_stub import scale
from cloud_stub.prompts import Prompt
from cloud_stub.server import build_app
from cloud_stub.writing import Sample
from tests.cloud_stub.fakes import CAPABILITIES, TOKEN, FakeModel, loaded

SECONDS = 0.02
"""What a sample takes."""


def write(prompt: Prompt, seed: int) -> Sample:
    """A sample that says in its output which process wrote it."""
    time.sleep(SECONDS)
    return Sample(f"{prompt.input_like} again {seed}", f"{prompt.output_like} by {os.getpid()}", 7)


def build() -> fastapi.FastAPI:
    """The service in a replica."""
    return build_app(CAPABILITIES, loaded(FakeModel(write)), TOKEN)


if __name__ == "__main__":
    scale.run(build, int(sys.argv[1]), "127.0.0.1", 0)
