"""A device model with a task base added to its weights, as a prepared folder that a personal adapter is trained on.

W + (alpha / rank) B A, computed in float32 and rounded to the precision of W; NF4 comes when the folder is loaded.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.device.bases import TaskBase
from app.device.catalogue import LocalModel
from app.device.gguf_adapter import PREFIX
from app.device.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from app.device.tidying import make_temporary, remove_abandoned, tidy, use
from app.device.weights import UNPACKED, prepare, prepared_name
from app.device.writing import replacing, settle, writing
from app.errors import AdapterRefused

_FIRST, _SECOND = ".lora_A.weight", ".lora_B.weight"


def halve(folder: Path) -> None:
    """Stores a folder's PEFT weights in float16: what a base is kept and served in.

    Raises DiskFull and NotWritten.
    """
    from safetensors.torch import load_file, save_file

    path = folder / ADAPTER_WEIGHTS
    tensors = {name: value.half().contiguous() for name, value in load_file(path).items()}
    with replacing(path, "The base") as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def _updates(base: TaskBase) -> dict[str, Any]:
    """What is added to each weight, in float32 under transformers' names."""
    from safetensors.torch import load_file

    config = json.loads((base.folder / ADAPTER_CONFIG).read_text("utf-8"))
    scale = config["lora_alpha"] / config["r"]
    tensors = load_file(base.folder / ADAPTER_WEIGHTS)
    layers = [name.removesuffix(_FIRST) for name in tensors if name.endswith(_FIRST)]
    return {
        f"{layer.removeprefix(PREFIX)}.weight": scale
        * tensors[layer + _SECOND].float()
        @ tensors[layer + _FIRST].float()
        for layer in layers
    }


def _merge_file(path: Path, updates: Mapping[str, Any], out: Path) -> set[str]:
    """Writes one safetensors file with the updates added; the names of those that it had."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    found = set(tensors) & set(updates)
    for name in found:
        tensors[name] = (tensors[name].float() + updates[name]).to(tensors[name].dtype)
    save_file(tensors, out, metadata={"format": "pt"})
    return found


def _write_weights(prepared: Path, base: TaskBase, out: Path) -> None:
    """Raises KeyError and RuntimeError where base and model do not fit together."""
    updates = _updates(base)
    left = set(updates)
    for path in sorted(prepared.glob("*.safetensors")):
        left -= _merge_file(path, updates, out / path.name)
    if left:
        raise KeyError(f"it changes {min(left)}, which that model has not")


def _write(prepared: Path, base: TaskBase, out: Path) -> None:
    try:
        _write_weights(prepared, base, out)
    except (KeyError, RuntimeError) as error:
        raise AdapterRefused(
            f"The base {base.name} should fit {prepared.name} but cannot be added to it ({error}); choose another base"
            " with `cdcda bases use`."
        ) from error
    for path in prepared.glob("*.json"):
        shutil.copyfile(path, out / path.name)


def _write_beside(prepared: Path, base: TaskBase, folder: Path) -> None:
    """Writes beside and renames, so that a folder of that name is always whole."""
    temporary = make_temporary(folder.parent)
    try:
        _write(prepared, base, temporary)
        settle(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def prepare_on(model: LocalModel, base: TaskBase | None, cache: Path, report: Callable[[str], None]) -> Path:
    """The model as `weights.prepare` gives it, with the base merged in where there is one; made once and kept.

    The folder's name holds both hashes. Raises BadInput, ModelDamaged, AdapterRefused, DiskFull and
    NotWritten.
    """
    prepared = prepare(model, cache, report)
    if base is None:
        return prepared
    folder = cache / f"{prepared_name(model)}-on-{base.hash[:16]}"
    if folder.is_dir():
        return use(folder)
    report(f"Adding the base {base.name} to {model.name}; this is done once.")
    with writing(UNPACKED, cache):
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_abandoned(cache)
        tidy(cache)
        _write_beside(prepared, base, folder)
    return folder
