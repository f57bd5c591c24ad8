"""An adapter's folder and the manifest that tells its story.

The folder holds the PEFT files, the GGUF form and, written last, manifest.json: where it is, the adapter is complete.
An adapter serves only with the base and the prompt template that it learned with. Nothing that can run code is read:
the weights are safetensors and GGUF, and the configuration is that of a plain LoRA.
"""

import dataclasses
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from app.device import checkpoints
from app.device.catalogue import LocalModel
from app.device.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from app.device.weights import file_hash, model_hash
from app.device.writing import replacing, writing
from app.errors import AdapterRefused

MANIFEST = "manifest.json"
GGUF_ADAPTER = "adapter.gguf"
LICENCE = "LICENCE.txt"
FILES = frozenset({ADAPTER_WEIGHTS, ADAPTER_CONFIG, GGUF_ADAPTER, LICENCE})
"""What may lie in an adapter's folder beside its manifest."""

_FORMAT = 1
_PLAIN: Mapping[str, Callable[[Any], bool]] = {
    "peft_type": lambda value: value == "LORA",
    "task_type": lambda value: value == "CAUSAL_LM",
    "r": lambda value: type(value) is int and value > 0,
    "lora_alpha": lambda value: type(value) in (int, float) and value > 0,
    "lora_dropout": lambda value: type(value) in (int, float),
    "target_modules": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "bias": lambda value: value == "none",
    "init_lora_weights": lambda value: value is True,
    "inference_mode": lambda value: value is True,
    "base_model_name_or_path": lambda value: value is None or isinstance(value, str),
    "peft_version": lambda value: isinstance(value, str),
    # Of no effect unless another setting, which is refused, switches them on.
    "megatron_core": lambda value: value == "megatron.core",
    "qalora_group_size": lambda value: type(value) is int,
}
"""What a plain LoRA's configuration says; whatever else there is must be unset."""
_M = TypeVar("_M")
_STORY = "The adapter's manifest"
_VERSIONS_OF = ("torch", "transformers", "peft", "bitsandbytes", "gguf", "llama-cpp-python")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What an adapter is, what it learned from and how, and how well it did."""

    base: str
    """Name of the base model."""
    base_hash: str
    """weights.model_hash of the base: SHA-256 (hex)."""
    quantisation: str
    """How the base's weights were held in training: "nf4" or "none"."""
    template_hash: str
    """rendering.template_hash of what turned texts into tokens: SHA-256 (hex)."""
    task: str
    training_set: int
    """Its id in the store."""
    training_set_hash: str
    examples: int
    """Records and pairs learned from."""
    held_out: int
    """Records kept aside to score it."""
    settings: Mapping[str, Any]
    """training.FineTuning as it was resolved."""
    seed: int
    created_at: str
    """ISO 8601, UTC."""
    final_loss: float
    """Mean training loss of the last epoch, nats per completion token."""
    held_out_loss: float | None
    base_held_out_loss: float | None
    best_epoch: int
    losses: tuple[float, ...]
    """One a step."""
    held_out_losses: tuple[float, ...]
    """One an epoch."""
    tokens_per_second: float
    peak_memory_mb: float
    seconds: float
    device: str
    best_step: int | None = None
    """The steps that the adapter had taken; None where an earlier version made it."""
    steps: int | None = None
    """All that were taken."""
    planned_steps: int | None = None
    """What all epochs would have taken; more than `steps` where the training ended early."""
    precision: str = "bfloat16"
    """What training computed in; earlier versions knew bfloat16 alone."""
    scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What base and adapter got on the held-out records, by metric; empty where nothing was held out."""
    task_base: Mapping[str, str] | None = None
    """Name and hash of the task base that it was trained on top of, and serves with; None: the bare model."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the libraries that made it; `finish` fills it in."""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """SHA-256 (hex) by file name; `finish` fills it in."""
    format: int = _FORMAT


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _VERSIONS_OF}


def finish(folder: Path, manifest: _M) -> _M:
    """Writes a dataclass as the manifest, its `files` and `versions` filled in: from now on the adapter is complete.

    The training's checkpoint is no part of it; `checkpoints.remove_checkpoint` takes it away once the adapter is where
    it belongs. Raises DiskFull and NotWritten.
    """
    with writing(_STORY, folder):
        # What a killed process was about to rename is no part of the adapter.
        for part in folder.glob("*.part"):
            part.unlink()
    files = {
        path.name: file_hash(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (MANIFEST, checkpoints.CHECKPOINT)
    }
    finished: Any = dataclasses.replace(cast(Any, manifest), files=files, versions=_versions())
    with replacing(folder / MANIFEST, _STORY) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(finished), indent=2) + "\n", "utf-8")
    return cast(_M, finished)


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a finished adapter; raises AdapterRefused."""
    try:
        content = json.loads((folder / MANIFEST).read_text("utf-8"))
        if content["format"] != _FORMAT:
            raise AdapterRefused(
                f"The adapter {folder.name} has manifest format {content['format']} but this version reads format"
                f" {_FORMAT}; train it again."
            )
        return Manifest(
            **content | {"losses": tuple(content["losses"]), "held_out_losses": tuple(content["held_out_losses"])}
        )
    except FileNotFoundError as error:
        raise AdapterRefused(
            f"The adapter {folder.name} has no {MANIFEST}, so its training did not end; resume it or train again."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterRefused(
            f"The {MANIFEST} of adapter {folder.name} cannot be read; train the adapter again."
        ) from error


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raises AdapterRefused unless the folder holds these files with these SHA-256 (hex)."""
    for name, expected in files.items():
        path = folder / name
        # A manifest that came with an imported adapter must not name files elsewhere.
        if path.parent != folder or not path.is_file():
            raise AdapterRefused(f"The adapter {folder.name} should hold {name} but does not; train it again.")
        if file_hash(path) != expected:
            raise AdapterRefused(
                f"The file {name} of adapter {folder.name} is not the one that training wrote; train it again."
            )


def _read_config(folder: Path) -> Mapping[str, Any]:
    try:
        content = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise AdapterRefused(
            f"The {ADAPTER_CONFIG} of adapter {folder.name} should be a JSON object but cannot be read; train it again."
        )
    return content


def check_config(folder: Path) -> None:
    """Raises AdapterRefused unless adapter_config.json is a plain LoRA's: other settings of PEFT import modules."""
    config = _read_config(folder)
    for name, value in config.items():
        if not (_PLAIN[name](value) if name in _PLAIN else not value):
            raise AdapterRefused(
                f"The adapter {folder.name} should be a plain LoRA, but its {ADAPTER_CONFIG} sets {name}; only adapters"
                " that this program trained can be used."
            )
    if not {"peft_type", "r", "lora_alpha", "target_modules"} <= set(config):
        raise AdapterRefused(
            f"The {ADAPTER_CONFIG} of adapter {folder.name} should say rank, alpha and layers but does not; train the"
            " adapter again."
        )


def check_weights(folder: Path) -> None:
    """Raises AdapterRefused unless the weights are pairs of matrices of the rank that the configuration says.

    A look at the header of a file that came from elsewhere; `check_files` has seen that it is whole.
    """
    from safetensors import SafetensorError, safe_open

    rank, found = _read_config(folder)["r"], set[bool]()
    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                side = name.endswith(".lora_B.weight")
                shape = file.get_slice(name).get_shape()
                found.add((side or name.endswith(".lora_A.weight")) and len(shape) == 2 and shape[side] == rank)
    except SafetensorError:
        found.add(False)
    if found != {True}:
        raise AdapterRefused(
            f"The {ADAPTER_WEIGHTS} of adapter {folder.name} should hold two matrices of rank {rank} for each layer but"
            " does not; export or train the adapter again."
        )


def _check_names(folder: Path, files: Mapping[str, str]) -> None:
    """An adapter without its weights, or with files of another kind, is none of ours."""
    if strange := set(files) - FILES:
        raise AdapterRefused(
            f"The adapter {folder.name} should hold {', '.join(sorted(FILES))} alone but names {min(strange)}; only"
            " adapters that this program made can be used."
        )
    if not {ADAPTER_WEIGHTS, ADAPTER_CONFIG} <= set(files):
        raise AdapterRefused(f"The adapter {folder.name} names no weights in its {MANIFEST}; train it again.")


def _check_task_base(folder: Path, manifest: Manifest, hash: str | None) -> None:
    wanted = manifest.task_base
    if (wanted or {}).get("hash") == hash:
        return
    raise AdapterRefused(
        f"The adapter {folder.name} was trained on top of"
        f" {'the base ' + wanted['name'] if wanted else 'the bare model'} and not on"
        f" {'another one' if hash else 'the bare model'}; `cdcda bases list` shows which are here, or train it again."
    )


def check_adapter(folder: Path, model: LocalModel, template_hash: str, task_base: str | None = None) -> Manifest:
    """The manifest of an adapter that may be served with this model, template and task base (its hash).

    Raises AdapterRefused where it is unfinished, a file was changed, or model, template or task base are others.
    """
    manifest = load_manifest(folder)
    _check_names(folder, manifest.files)
    check_files(folder, manifest.files)
    check_config(folder)
    _check_task_base(folder, manifest, task_base)
    if manifest.base_hash != model_hash(model):
        raise AdapterRefused(
            f"The adapter {folder.name} was trained on {manifest.base} and not on this {model.name}; choose its base"
            " model again, or train an adapter on this one."
        )
    if manifest.template_hash != template_hash:
        raise AdapterRefused(
            f"The adapter {folder.name} learned with another prompt template than {model.name} has now; train it again."
        )
    return manifest
