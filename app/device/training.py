"""What a training is told and what it tells: its settings, where it is, what it came to.

Knows no network; the training itself is app.device.finetuning.
"""

import dataclasses
import math

from app.device.precision import Precision
from app.device.weights import Quantisation


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """How an adapter is trained; rank, alpha and NF4 are those of the CDCDA-PLM paper."""

    rank: int = 16
    """Size of the bottleneck that each linear layer gets; more learns more and weighs more."""
    alpha: int = 8
    """The adapter's output is scaled by alpha / rank."""
    epochs: int = 3
    """How often every example is seen."""
    learning_rate: float = 1e-3
    """AdamW's highest rate, reached after the warm-up; it then falls linearly to zero."""
    batch: int = 4
    """Examples a step."""
    warmup: float = 0.1
    """Share of all steps over which the rate rises from zero."""
    max_tokens: int = 512
    """Longest example, prompt and completion together; the renderer cuts to it."""
    micro_tokens: int = 1024
    """Tokens, padding counted, that go through the network at once; it decides the memory, not the result."""
    seed: int = 0
    """Decides the adapter's first weights and the order of the examples."""
    quantisation: Quantisation = "nf4"
    """How the base's linear layers are held: "nf4" takes 4.5 bits a weight, "none" is bfloat16."""
    patience: int | None = None
    """Epochs without a lower held-out loss after which training ends; None: all epochs are trained."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a training is, after a step."""

    step: int
    """Steps done, of `steps`."""
    steps: int
    epoch: int
    """The epoch of this step, from 1."""
    loss: float
    """Mean cross-entropy of this step's completion tokens, in nats."""
    held_out_loss: float | None
    """The same of the held-out examples, after an epoch's last step; None elsewhere."""
    tokens_per_second: float
    """Tokens trained on, padding not counted, since the start."""
    seconds_left: float
    peak_memory_mb: float
    """The most memory that this process has had, on the GPU where it trains on one."""
    micro_tokens: int | None = None
    """Tokens at once since memory ran out; None: as the settings say."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    final_loss: float
    """Mean loss over the last epoch's steps; NaN when it was stopped before the first."""
    held_out_loss: float | None
    """Of the adapter that was kept; None without held-out examples."""
    base_held_out_loss: float | None
    """Of the base model, measured before the first step."""
    best_epoch: int
    """The epoch whose adapter was kept: the one with the least held-out loss, else the last."""
    best_step: int
    """The steps that it had taken."""
    losses: tuple[float, ...]
    """One a step."""
    held_out_losses: tuple[float, ...]
    """One an epoch."""
    tokens_per_second: float
    peak_memory_mb: float
    seconds: float
    """Spent in training steps, loading and scoring not counted, those before a resume counted."""
    steps: int
    planned_steps: int
    """What all epochs would have taken; more than `steps` where it ended early."""
    ended: bool
    """`should_end` ended it."""
    stopped: bool
    """It was stopped before its end: there is a checkpoint and no adapter."""
    quantisation: Quantisation
    """What was really used; Apple GPUs have no NF4."""
    precision: Precision
    """What it was computed in."""
    device: str


def count_steps(examples: int, settings: FineTuning) -> int:
    """Optimiser steps that a training on so many examples takes."""
    return math.ceil(examples / settings.batch) * settings.epochs
