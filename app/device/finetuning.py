"""Fine-tuning a small model on one person's examples: a LoRA on every linear layer, over weights held in NF4.

A recipe, to be read from top to bottom. It knows token ids and folders, neither records nor texts. The loss is the
cross-entropy of the completion tokens alone.
"""

import dataclasses
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from app.device import batching, checkpoints, losses, memory, weights
from app.device.checkpoints import Log
from app.device.rendering import Example
from app.errors import BadInput, NothingToTrain, OutOfMemory

_Result = TypeVar("_Result")

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"

_CLIP = 1.0
"""Largest norm of a step's gradient."""
_LEAST_MICRO_TOKENS = 16
"""Below this every example has long gone through the network alone."""
_CHECKPOINT_EVERY = 60.0
"""Seconds; an epoch of a long history would be much to lose."""


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
    quantisation: weights.Quantisation = "nf4"
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
    quantisation: weights.Quantisation
    """What was really used; Apple GPUs have no NF4."""
    device: str


def _add_adapter(network: Any, settings: FineTuning) -> Any:
    """Puts a fresh LoRA into every linear layer except the head; the seed decides its weights."""
    import peft
    import torch

    torch.manual_seed(settings.seed)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules="all-linear",
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    network.requires_grad_(False)
    with warnings.catch_warnings():
        # This peft asks the network for a property that this transformers calls by a new name.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(network, config)


def _adapter_parameters(adapted: Any) -> dict[str, Any]:
    """The trained parameters under the names that they have in PEFT's files."""
    trained = ((name, parameter) for name, parameter in adapted.named_parameters() if parameter.requires_grad)
    return {name.replace(".default.", "."): parameter for name, parameter in trained}


def _rate(step: int, steps: int, settings: FineTuning) -> float:
    """The learning rate of a step, from 0: up during the warm-up, then down in a line that ends at zero."""
    warmup = max(1, round(steps * settings.warmup))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * (steps - step) / (steps - warmup + 1)


def _run_hash(prepared: Path, examples: Sequence[Example], held_out: Sequence[Example], settings: FineTuning) -> str:
    """Tells a run from any other: the same hash, the same adapter."""
    everything = [
        prepared.name,
        dataclasses.asdict(settings),
        [dataclasses.astuple(example) for example in (*examples, *held_out)],
        len(examples),
    ]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


def count_steps(examples: int, settings: FineTuning) -> int:
    """Optimiser steps that a training on so many examples takes."""
    return math.ceil(examples / settings.batch) * settings.epochs


def _count_tokens(batches: Sequence[Sequence[Example]]) -> int:
    """Tokens that the network reads of these batches, padding not counted."""
    return sum(batching.length(example) for batch in batches for example in batch)


def _check(examples: Sequence[Example], settings: FineTuning) -> None:
    if not examples:
        raise NothingToTrain("There is no example to learn from; import records, or keep some pairs, and train again.")
    if any(not example.prompt_ids or not example.completion_ids for example in examples):
        raise NothingToTrain("An example has an empty prompt or answer; leave its record out and train again.")
    for name in ("rank", "alpha", "epochs", "batch", "learning_rate", "micro_tokens", "patience"):
        if getattr(settings, name) is not None and getattr(settings, name) <= 0:
            raise BadInput(f"The setting {name} must be above 0 but is {getattr(settings, name)}; choose another.")


@dataclasses.dataclass
class _Run:
    """A training under way: what is loaded, and how far it is."""

    settings: FineTuning
    prepared: Path
    folder: Path
    held_out: Sequence[Example]
    device: str
    quantisation: weights.Quantisation
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
        return len(self.plan) // self.settings.epochs

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1."""
        return math.ceil(self.log.step / self.steps_per_epoch)


def _load(
    prepared: Path, examples: Sequence[Example], held_out: Sequence[Example], settings: FineTuning, folder: Path
) -> _Run:
    """The base, a fresh adapter in it or the checkpoint's, and the plan of every step."""
    import torch

    device = weights.best_device()
    quantisation, _ = weights.possible_quantisation(settings.quantisation, device)
    network = weights.load_for_training(prepared, quantisation, device)
    adapted = _add_adapter(network, settings)
    # In evaluation mode bitsandbytes repacks NF4 weights on a CPU, and gradients silently stop at them.
    adapted.train()
    parameters = _adapter_parameters(adapted)
    optimiser = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate, weight_decay=0.0)
    plan = [
        batch
        for epoch in range(1, settings.epochs + 1)
        for batch in batching.plan_epoch(examples, settings.batch, settings.seed, epoch)
    ]
    key = _run_hash(prepared, examples, held_out, settings)
    log, best = checkpoints.load_checkpoint(folder, key, parameters, optimiser)
    return _Run(
        settings,
        prepared,
        folder,
        held_out,
        device,
        quantisation,
        network,
        adapted,
        parameters,
        optimiser,
        plan,
        log,
        best,
    )


def _save_adapter(run: _Run) -> None:
    """Writes the adapter as PEFT reads it: the same training gives the same bytes, and no path of this computer."""
    from safetensors.torch import save_file

    config = run.adapted.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": run.prepared.name, "inference_mode": True}
    config["target_modules"] = sorted(config["target_modules"])
    with weights.room_on_disk(run.folder):
        save_file(run.best, run.folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        (run.folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


_TOO_MUCH = (
    "Training needs more memory than there is, even with one example at a time; close other programs, or choose a"
    " smaller model with `cdcda models list`, and resume."
)


def _with_room(run: _Run, work: Callable[[int], _Result]) -> _Result:
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


def _score(run: _Run) -> float | None:
    return _with_room(run, lambda limit: losses.held_out_loss(run.network, run.held_out, run.device, limit))


def _end_epoch(run: _Run) -> float | None:
    """Scores the adapter on the held-out examples and keeps a copy of it if it is the best so far."""
    loss = _score(run)
    if loss is None or loss < min(run.log.held_out_losses, default=math.inf):
        run.log.best_epoch, run.log.best_step = run.epoch, run.log.step
        run.best = {name: parameter.detach().clone() for name, parameter in run.parameters.items()}
    if loss is not None:
        run.log.held_out_losses.append(loss)
    return loss


def _save_checkpoint(run: _Run) -> None:
    checkpoints.save_checkpoint(run.folder, run.log, run.parameters, run.optimiser, run.best)


def _gather_gradient(run: _Run, examples: Sequence[Example], limit: int) -> float:
    """Adds up the gradient of a batch in micro-batches of at most `limit` tokens; the mean loss per token."""
    total, tokens = 0.0, losses.count_completion(examples)
    for group in batching.micro_batches(examples, limit):
        with losses.bfloat16(run.device):
            loss = run.loss(run.network, group, run.device) / tokens
        loss.backward()
        total += loss.item()
    return total


def _train_on(run: _Run, examples: Sequence[Example]) -> float:
    """One optimiser step on a batch, in as many micro-batches as memory asks for; the mean loss per token."""
    import torch

    total = _with_room(run, lambda limit: _gather_gradient(run, examples, limit))
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


def _step(run: _Run) -> None:
    """The next optimiser step, written into the log."""
    started = time.monotonic()
    batch = run.plan[run.log.step]
    for group in run.optimiser.param_groups:
        group["lr"] = _rate(run.log.step, len(run.plan), run.settings)
    loss = _train_on(run, batch)
    if not math.isfinite(loss):
        raise BadInput(
            f"The loss is no longer a number after step {run.log.step + 1}, so the learning rate of"
            f" {run.settings.learning_rate:g} is too high for this model; train again with a lower one."
        )
    run.log.step += 1
    run.log.losses.append(loss)
    run.log.tokens += _count_tokens([batch])
    run.log.seconds += time.monotonic() - started


def _progress(run: _Run, held_out: float | None) -> Progress:
    rate = run.log.tokens / run.log.seconds
    return Progress(
        step=run.log.step,
        steps=len(run.plan),
        epoch=run.epoch,
        loss=run.log.losses[-1],
        held_out_loss=held_out,
        tokens_per_second=rate,
        seconds_left=_count_tokens(run.plan[run.log.step :]) / rate,
        peak_memory_mb=memory.peak_mb(run.device),
        micro_tokens=run.log.micro_tokens,
    )


def _has_settled(run: _Run) -> bool:
    """Whether as many epochs as the patience allows have passed since the best one."""
    patience = run.settings.patience
    return patience is not None and len(run.log.held_out_losses) - run.log.best_epoch >= patience


def _train(
    run: _Run, listener: Callable[[Progress], None], should_stop: Callable[[], bool], should_end: Callable[[], bool]
) -> bool:
    """Takes the steps that are left, or those until it should stop or end; true when it was stopped."""
    saved_at = time.monotonic()
    while run.log.step < len(run.plan) and not run.ended and not _has_settled(run):
        if should_stop():
            _save_checkpoint(run)
            return True
        _step(run)
        run.ended = should_end()
        # The last epoch of a training that is ended is scored where it is.
        ends_epoch = run.ended or run.log.step % run.steps_per_epoch == 0
        held_out = _end_epoch(run) if ends_epoch else None
        if ends_epoch or time.monotonic() - saved_at > _CHECKPOINT_EVERY:
            _save_checkpoint(run)
            saved_at = time.monotonic()
        listener(_progress(run, held_out))
    return False


def _outcome(run: _Run, stopped: bool) -> Outcome:
    log = run.log
    last = log.losses[-run.steps_per_epoch :]
    return Outcome(
        final_loss=sum(last) / len(last) if last else math.nan,
        held_out_loss=min(log.held_out_losses, default=None),
        base_held_out_loss=log.base_held_out_loss,
        best_epoch=log.best_epoch,
        best_step=log.best_step,
        losses=tuple(log.losses),
        held_out_losses=tuple(log.held_out_losses),
        tokens_per_second=log.tokens / log.seconds if log.seconds else 0.0,
        peak_memory_mb=memory.peak_mb(run.device),
        seconds=log.seconds,
        steps=log.step,
        planned_steps=len(run.plan),
        ended=run.ended,
        stopped=stopped,
        quantisation=run.quantisation,
        device=run.device,
    )


def never() -> bool:
    """Asks for nothing."""
    return False


def fine_tune(
    prepared: Path,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    settings: FineTuning,
    folder: Path,
    listener: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    resume: bool = False,
    loss: losses.Loss = losses.completion_loss,
    should_end: Callable[[], bool] = never,
) -> Outcome:
    """Trains an adapter on the examples and writes it into `folder` as PEFT safetensors.

    `prepared` is a folder of weights.prepare. `listener` hears of every step; `should_stop` is asked before each and
    leaves a checkpoint behind; `should_end` is asked after each and ends the training there, with the best adapter so
    far, that of this very step among them. With `resume`, a checkpoint in `folder` goes on to the same adapter as if
    never stopped (given the same `loss`, which the checkpoint cannot tell). The checkpoint stays until
    `checkpoints.remove_checkpoint`. Raises NothingToTrain, BadInput, ModelDamaged, DiskFull, JobRefused, OutOfMemory.
    """
    _check(examples, settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not resume:
        checkpoints.remove_checkpoint(folder)

    run = dataclasses.replace(_load(prepared, examples, held_out, settings, folder), loss=loss)
    if run.log.step == 0:
        run.log.base_held_out_loss = _score(run)
    stopped = _train(run, listener, should_stop, should_end)
    if not stopped:
        _save_adapter(run)
    return _outcome(run, stopped)
