"""A training under way, and its next step: taken on a batch in as many pieces as memory asks for.

Knows neither where a training begins nor when it ends.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from app.device import batching, losses, memory
from app.device.checkpoints import Log
from app.device.precision import Precision, computing
from app.device.rendering import Example
from app.device.training import FineTuning
from app.device.weights import Quantisation
from app.errors import BadInput, OutOfMemory

_Result = TypeVar("_Result")

_CLIP = 1.0
"""Largest norm of a step's gradient."""
_LEAST_MICRO_TOKENS = 16
"""Below this every example has long gone through the network alone."""


@dataclasses.dataclass
class Run:
    """What is loaded, and how far it is."""

    settings: FineTuning
    folder: Path
    held_out: Sequence[Example]
    device: str
    quantisation: Quantisation
    precision: Precision
    """What it computes in."""
    network: Any
    """The base with the adapter set in its layers."""
    adapted: Any
    """PEFT's view of it."""
    parameters: dict[str, Any]
    """The adapter's weights, by PEFT's names."""
    optimiser: Any
    plan: list[list[Example]]
    """The batch of every step of every epoch."""
    log: Log
    best: dict[str, Any]
    """Copy of the adapter that is kept if training ends now; empty before the first epoch has ended."""
    ended: bool = False
    """It was asked to end, with what it has."""
    loss: losses.Loss = losses.completion_loss
    """What is learned by; held-out examples are always scored by cross-entropy."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every example is seen once."""
        return len(self.plan) // self.settings.epochs

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1."""
        return math.ceil(self.log.step / self.steps_per_epoch)


def learning_rate(step: int, steps: int, settings: FineTuning) -> float:
    """The learning rate of a step, from 0: up during the warm-up, then down in a line that ends at zero."""
    warmup = max(1, round(steps * settings.warmup))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * (steps - step) / (steps - warmup + 1)


_TOO_MUCH = (
    "Training needs more memory than there is, even with one example at a time; close other programs, or choose a"
    " smaller model with `cdcda models list`, and resume."
)


def with_room(run: Run, work: Callable[[int], _Result]) -> _Result:
    """What `work` gives for a limit of tokens at once; the limit is halved, and kept, each time memory runs out.

    Raises OutOfMemory where one example at a time is too much already.
    """
    while True:
        limit = run.log.micro_tokens or run.settings.micro_tokens
        try:
            return work(limit)
        except (MemoryError, RuntimeError) as error:
            if not memory.ran_out(error):
                raise
            if limit <= _LEAST_MICRO_TOKENS:
                raise OutOfMemory(_TOO_MUCH) from error
        # Outside the handler, where the exception no longer holds the tensors of the failed attempt.
        run.log.micro_tokens = limit // 2
        run.optimiser.zero_grad(set_to_none=True)
        memory.give_back(run.device)


def _gather_gradient(run: Run, examples: Sequence[Example], limit: int) -> float:
    """Adds up the gradient of a batch in micro-batches of at most `limit` tokens; the mean loss per token."""
    total, tokens = 0.0, losses.count_completion(examples)
    for group in batching.micro_batches(examples, limit):
        with computing(run.device, run.precision):
            loss = run.loss(run.network, group, run.device) / tokens
        loss.backward()
        total += loss.item()
    return total


def _train_on(run: Run, examples: Sequence[Example]) -> float:
    """One optimiser step on a batch, in as many micro-batches as memory asks for; the mean loss per token."""
    import torch

    total = with_room(run, lambda limit: _gather_gradient(run, examples, limit))
    try:
        torch.nn.utils.clip_grad_norm_(run.parameters.values(), _CLIP)
        run.optimiser.step()
    except (MemoryError, RuntimeError) as error:
        # Some weights may have moved already: the step cannot be tried again, and nothing of it is saved.
        if memory.ran_out(error):
            raise OutOfMemory(_TOO_MUCH) from error
        raise
    run.optimiser.zero_grad(set_to_none=True)
    return total


def take_step(run: Run) -> None:
    """The next optimiser step, written into the log; raises OutOfMemory, and BadInput where the loss blows up."""
    started = time.monotonic()
    batch = run.plan[run.log.step]
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(run.log.step, len(run.plan), run.settings)
    loss = _train_on(run, batch)
    if not math.isfinite(loss):
        raise BadInput(
            f"The loss is no longer a number after step {run.log.step + 1}, so the learning rate of"
            f" {run.settings.learning_rate:g} is too high for this model; train again with a lower one."
        )
    run.log.step += 1
    run.log.losses.append(loss)
    run.log.tokens += batching.count_tokens([batch])
    run.log.seconds += time.monotonic() - started
