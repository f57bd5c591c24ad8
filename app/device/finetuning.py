"""Fine-tuning a small model on one person's examples: a LoRA on every linear layer, over weights held in NF4.

A recipe, to be read from top to bottom. It knows token ids and folders, neither records nor texts. The loss is the
cross-entropy of the completion tokens alone.
"""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.device import batching, checkpoints, lora, losses, memory, weights
from app.device.precision import best_precision
from app.device.rendering import Example
from app.device.stepping import Run, take_step, with_room
from app.device.training import FineTuning, Outcome, Progress
from app.device.writing import writing
from app.errors import BadInput, NothingToTrain

_CHECKPOINT_EVERY = 60.0
"""Seconds; an epoch of a long history would be much to lose."""


def _run_hash(prepared: Path, examples: Sequence[Example], held_out: Sequence[Example], settings: FineTuning) -> str:
    """Tells a run from any other: the same hash, the same adapter."""
    everything = [
        prepared.name,
        dataclasses.asdict(settings),
        [dataclasses.astuple(example) for example in (*examples, *held_out)],
        len(examples),
    ]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


def _check(examples: Sequence[Example], settings: FineTuning) -> None:
    if not examples:
        raise NothingToTrain("There is no example to learn from; import records, or keep some pairs, and train again.")
    if any(not example.prompt_ids or not example.completion_ids for example in examples):
        raise NothingToTrain("An example has an empty prompt or answer; leave its record out and train again.")
    for name in ("rank", "alpha", "epochs", "batch", "learning_rate", "micro_tokens", "patience"):
        if getattr(settings, name) is not None and getattr(settings, name) <= 0:
            raise BadInput(f"The setting {name} must be above 0 but is {getattr(settings, name)}; choose another.")


def _plan(examples: Sequence[Example], settings: FineTuning) -> list[list[Example]]:
    """The batch of every step of every epoch."""
    epochs = range(1, settings.epochs + 1)
    plans = (batching.plan_epoch(examples, settings.batch, settings.seed, epoch) for epoch in epochs)
    return [batch for plan in plans for batch in plan]


def _load(
    prepared: Path, examples: Sequence[Example], held_out: Sequence[Example], settings: FineTuning, folder: Path
) -> Run:
    """The base, a fresh adapter in it or the checkpoint's, and the plan of every step."""
    import torch

    device = weights.best_device()
    quantisation, _ = weights.possible_quantisation(settings.quantisation, device)
    network = weights.load_for_training(prepared, quantisation, device)
    adapted = lora.add_adapter(network, settings)
    # In evaluation mode bitsandbytes repacks NF4 weights on a CPU, and gradients silently stop at them.
    adapted.train()
    parameters = lora.adapter_parameters(adapted)
    optimiser = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate, weight_decay=0.0)
    key = _run_hash(prepared, examples, held_out, settings)
    log, best = checkpoints.load_checkpoint(folder, key, parameters, optimiser)
    plan = _plan(examples, settings)
    return Run(
        settings,
        folder,
        held_out,
        device,
        quantisation,
        best_precision(device),
        network,
        adapted,
        parameters,
        optimiser,
        plan,
        log,
        best,
    )


def _score(run: Run) -> float | None:
    network, held_out = run.network, run.held_out
    return with_room(run, lambda limit: losses.held_out_loss(network, held_out, run.device, limit, run.precision))


def _end_epoch(run: Run) -> float | None:
    """Scores the adapter on the held-out examples and keeps a copy of it if it is the best so far."""
    loss = _score(run)
    if loss is None or loss < min(run.log.held_out_losses, default=math.inf):
        run.log.best_epoch, run.log.best_step = run.epoch, run.log.step
        run.best = {name: parameter.detach().clone() for name, parameter in run.parameters.items()}
    if loss is not None:
        run.log.held_out_losses.append(loss)
    return loss


def _save_checkpoint(run: Run) -> None:
    checkpoints.save_checkpoint(run.folder, run.log, run.parameters, run.optimiser, run.best)


def _progress(run: Run, held_out: float | None) -> Progress:
    rate = run.log.tokens / run.log.seconds
    return Progress(
        step=run.log.step,
        steps=len(run.plan),
        epoch=run.epoch,
        loss=run.log.losses[-1],
        held_out_loss=held_out,
        tokens_per_second=rate,
        seconds_left=batching.count_tokens(run.plan[run.log.step :]) / rate,
        peak_memory_mb=memory.peak_mb(run.device),
        micro_tokens=run.log.micro_tokens,
    )


def _has_settled(run: Run) -> bool:
    """Whether as many epochs as the patience allows have passed since the best one."""
    patience = run.settings.patience
    return patience is not None and len(run.log.held_out_losses) - run.log.best_epoch >= patience


def _train(
    run: Run, listener: Callable[[Progress], None], should_stop: Callable[[], bool], should_end: Callable[[], bool]
) -> bool:
    """Takes the steps that are left, or those until it should stop or end; true when it was stopped."""
    saved_at = time.monotonic()
    while run.log.step < len(run.plan) and not run.ended and not _has_settled(run):
        if should_stop():
            _save_checkpoint(run)
            return True
        take_step(run)
        run.ended = should_end()
        # The last epoch of a training that is ended is scored where it is.
        ends_epoch = run.ended or run.log.step % run.steps_per_epoch == 0
        held_out = _end_epoch(run) if ends_epoch else None
        if ends_epoch or time.monotonic() - saved_at > _CHECKPOINT_EVERY:
            _save_checkpoint(run)
            saved_at = time.monotonic()
        listener(_progress(run, held_out))
    return False


def _outcome(run: Run, stopped: bool) -> Outcome:
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
        precision=run.precision,
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
    `checkpoints.remove_checkpoint`. Raises NothingToTrain, BadInput, ModelDamaged, DiskFull, NotWritten,
    JobRefused, OutOfMemory.
    """
    _check(examples, settings)
    with writing("The adapter", folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not resume:
        checkpoints.remove_checkpoint(folder)

    run = dataclasses.replace(_load(prepared, examples, held_out, settings, folder), loss=loss)
    if run.log.step == 0:
        run.log.base_held_out_loss = _score(run)
    stopped = _train(run, listener, should_stop, should_end)
    if not stopped:
        lora.save_adapter(folder, run.adapted, run.best, prepared.name)
    return _outcome(run, stopped)
