"""The state of a training run in one safetensors file, replaced in one go, so that a killed run goes on where it was.

Nothing is pickled: tensors are safetensors, everything else is JSON in the file's metadata.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.device.writing import replacing, writing
from app.errors import JobRefused

CHECKPOINT = "checkpoint.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's running means of the gradient and of its square."""


@dataclasses.dataclass
class Log:
    """What a run remembers besides its tensors; it grows step by step."""

    run: str
    """SHA-256 (hex) of settings, base and examples: only the same run is resumed."""
    step: int = 0
    """Optimiser steps done."""
    losses: list[float] = dataclasses.field(default_factory=list)
    """Mean loss per completion token of each step."""
    base_held_out_loss: float | None = None
    """Of the base model, before the first step."""
    held_out_losses: list[float] = dataclasses.field(default_factory=list)
    """After each epoch."""
    best_epoch: int = 0
    """The epoch, from 1, whose adapter is kept; 0 before the first has ended."""
    best_step: int = 0
    """The steps that it had taken; 0 where a checkpoint of an earlier version does not say."""
    tokens: int = 0
    """Tokens trained on, padding not counted."""
    seconds: float = 0.0
    """Spent in training steps, over all the runs that were resumed."""
    micro_tokens: int | None = None
    """Tokens at once since memory ran out; None: as the settings say."""


def _moments(name: str, parameter: Any, optimiser: Any) -> dict[str, Any]:
    state = optimiser.state.get(parameter, {})
    return {f"{moment} {name}": state[moment] for moment in _MOMENTS if moment in state}


def save_checkpoint(
    folder: Path, log: Log, parameters: Mapping[str, Any], optimiser: Any, best: Mapping[str, Any]
) -> None:
    """Replaces the folder's checkpoint; the one before stays whole until this one is.

    Raises DiskFull and NotWritten.
    """
    from safetensors.torch import save_file

    tensors = {f"adapter {name}": parameter.detach() for name, parameter in parameters.items()}
    tensors |= {f"best {name}": tensor for name, tensor in best.items()}
    for name, parameter in parameters.items():
        tensors |= _moments(name, parameter, optimiser)
    with replacing(folder / CHECKPOINT, "The training's checkpoint") as temporary:
        save_file(tensors, temporary, metadata={"log": json.dumps(dataclasses.asdict(log))})


def make_moments(parameters: Mapping[str, Any], optimiser: Any) -> None:
    """Fill the state of a fresh AdamW with zeros: what does not fit into memory shows now, and not half through a
    step."""
    import torch

    for parameter in parameters.values():
        optimiser.state[parameter] = {"step": torch.tensor(0.0)} | {
            moment: torch.zeros_like(parameter) for moment in _MOMENTS
        }


def _read_log(file: Any) -> Log:
    return Log(**json.loads(file.metadata()["log"]))


def load_checkpoint(
    folder: Path, run: str, parameters: Mapping[str, Any], optimiser: Any
) -> tuple[Log, dict[str, Any]]:
    """Puts the checkpoint's state into parameters and optimiser; gives its log and its best adapter.

    Without a checkpoint the parameters stay, the optimiser begins, and the log is that of a fresh run. Raises
    JobRefused for another run's.
    """
    import safetensors
    import torch

    path = folder / CHECKPOINT
    if not path.is_file():
        make_moments(parameters, optimiser)
        return Log(run), {}
    with safetensors.safe_open(path, "pt") as file:
        log = _read_log(file)
        if log.run != run:
            raise JobRefused(
                f"The checkpoint in {folder} is of a training with other records, settings or base model, so it cannot"
                " go on from there; start the training anew."
            )
        names = set(file.keys())
        for name, parameter in parameters.items():
            with torch.no_grad():
                parameter.copy_(file.get_tensor(f"adapter {name}"))
            if f"{_MOMENTS[0]} {name}" in names:
                optimiser.state[parameter] = {"step": torch.tensor(float(log.step))} | {
                    moment: file.get_tensor(f"{moment} {name}").to(parameter.device) for moment in _MOMENTS
                }
        best = {name: file.get_tensor(f"best {name}") for name in parameters if f"best {name}" in names}
    return log, best


def remove_checkpoint(folder: Path) -> None:
    """Removes the checkpoint, if there is one; raises NotWritten."""
    with writing("The training's checkpoint", folder, "removed"):
        (folder / CHECKPOINT).unlink(missing_ok=True)
