"""Two replicas of the real service around a hand-written model, on a Ray cluster of their own; ends when told to.

python -m tests.cloud_stub.replicas 2       prints its address
"""

import asyncio
import os
import sys
import weakref
from collections.abc import Callable, Sequence

import fastapi

from cloud_stub import scale
from cloud_stub.prompts import Prompt
from cloud_stub.server import build_app
from cloud_stub.writing import Sample
from tests.cloud_stub.fakes import CAPABILITIES, TOKEN, FakeModel, loaded

SECONDS = 0.02
"""What a sample takes."""


class OneByOne(FakeModel):
    """Writes a sample after the other, in the order in which they are asked for."""

    def __init__(self) -> None:
        super().__init__(by_this_process)
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    async def write(
        self, prompt: Prompt, seeds: Sequence[int], temperature: float, should_stop: Callable[[], bool]
    ) -> list[Sample]:
        """See LanguageModel."""
        async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            await asyncio.sleep(SECONDS * len(seeds))
            return await super().write(prompt, seeds, temperature, should_stop)


def by_this_process(prompt: Prompt, seed: int) -> Sample:
    """A sample that says in its output which process wrote it."""
    return Sample(f"{prompt.input_like} again {seed}", f"{prompt.output_like} by {os.getpid()}", 7)


def build() -> fastapi.FastAPI:
    """The service in a replica."""
    return build_app(CAPABILITIES, loaded(OneByOne()), TOKEN)


if __name__ == "__main__":
    scale.run(build, int(sys.argv[1]), "127.0.0.1", 0)
