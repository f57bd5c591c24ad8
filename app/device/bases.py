"""Task bases: what a device model learned of a task from other people's public data (M_base), as a LoRA of a few MB.

A folder holds the PEFT files in half precision, LICENCE.txt and, written last, manifest.json. A personal adapter is
trained on top of a base and then serves with that very base alone. Knows no store, no service, no training.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.device.adapters import GGUF_ADAPTER, MANIFEST, check_config, check_files
from app.device.catalogue import LocalModel
from app.device.gguf_adapter import LAYOUT, write_gguf_adapter
from app.device.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from app.device.weights import model_hash
from app.device.writing import writing
from app.errors import AdapterRefused, BadInput

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
"""What a base may be called: it is a folder's name here and part of an address in the service."""
_FORMAT = 1
_MOST_LAYERS = 10_000
"""And heads; beyond any model."""


@dataclasses.dataclass(frozen=True)
class BaseManifest:
    """What a base is, whose data it learned from and how, and how well it did."""

    name: str
    title: str
    """For people."""
    task: str
    model: str
    """Name of the device model."""
    model_hash: str
    """weights.model_hash of the device model: SHA-256 (hex)."""
    quantisation: str
    template_hash: str
    """rendering.template_hash of what turned texts into tokens: SHA-256 (hex)."""
    layout: Mapping[str, Any]
    """gguf_adapter.layout_of the device model."""
    data: str
    """What it learned from, in words."""
    licence: str
    """Of the data."""
    attribution: str
    users: int
    """People whose texts it learned from."""
    examples: int
    held_out_users: int
    held_out: int
    """Examples of other people, kept aside to score it."""
    settings: Mapping[str, Any]
    """training.FineTuning as it was resolved."""
    seed: int
    created_at: str
    """ISO 8601, UTC."""
    final_loss: float
    held_out_loss: float | None
    untrained_held_out_loss: float | None
    """Of the device model as it came."""
    best_epoch: int
    losses: tuple[float, ...]
    """One a step."""
    held_out_losses: tuple[float, ...]
    """One an epoch."""
    tokens_per_second: float
    peak_memory_mb: float
    seconds: float
    device: str
    scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """`questions` asked of people it did not learn from, and by metric what was reached `untrained` and `trained`."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """SHA-256 (hex) by file name."""
    format: int = _FORMAT


@dataclasses.dataclass(frozen=True)
class TaskBase:
    """A finished base that is on this computer."""

    folder: Path
    manifest: BaseManifest
    embedded: bool = False
    """It came with the install."""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.manifest.name

    @property
    def hash(self) -> str:
        """SHA-256 (hex) that identifies what it computes: of its weights and their configuration."""
        lines = "".join(f"{self.manifest.files[name]}  {name}\n" for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum((self.folder / name).stat().st_size for name in (MANIFEST, *self.manifest.files))

    def story(self) -> dict[str, str]:
        """Name and hash, as an adapter's manifest names it."""
        return {"name": self.name, "hash": self.hash}


def check_name(name: str) -> str:
    """The name, where a base may have it; raises BadInput."""
    if not NAME.fullmatch(name):
        raise BadInput(
            f"The name of a base has at most 40 small letters, digits and hyphens, got {name!r}; choose another name."
        )
    return name


def _manifest(content: Any) -> BaseManifest:
    """Raises KeyError, TypeError or ValueError for what is no manifest of this format."""
    if content["format"] != _FORMAT or not NAME.fullmatch(content["name"]):
        raise ValueError("another format")
    if not {ADAPTER_CONFIG, ADAPTER_WEIGHTS} <= set(content["files"]):
        raise KeyError("files")
    # It may come from a service: numbers that no model has would keep the GGUF writer busy for ever.
    if not all(0 < content["layout"][name] <= _MOST_LAYERS for name in LAYOUT[1:] if name in content["layout"]):
        raise ValueError("no such model")
    lists = {name: tuple(content[name]) for name in ("losses", "held_out_losses")}
    return BaseManifest(**{**content, **lists})


def load_base(folder: Path, *, embedded: bool = False) -> TaskBase:
    """The base in a folder, its files not looked at; raises AdapterRefused where it is unfinished or unreadable."""
    try:
        return TaskBase(folder, _manifest(json.loads((folder / MANIFEST).read_text("utf-8"))), embedded)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AdapterRefused(
            f"The base {folder.name} has no {MANIFEST}, so it is unfinished; make or fetch it again."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterRefused(
            f"The {MANIFEST} of the base {folder.name} is not one that this version reads; remove the base and fetch it"
            " again."
        ) from error


def _folders(parent: Path) -> Iterator[Path]:
    """Those of finished bases; one that is being made or fetched begins with a dot."""
    yield from sorted(path.parent for path in parent.glob(f"[!.]*/{MANIFEST}"))


def find_bases(embedded: Path, fetched: Path) -> tuple[TaskBase, ...]:
    """The bases below the two folders, those of the install first; unreadable ones are left out."""
    found = []
    for parent in (embedded, fetched):
        for folder in _folders(parent):
            try:
                found.append(load_base(folder, embedded=parent == embedded))
            except AdapterRefused:
                continue
    return tuple(found)


def fits(base: TaskBase, task: str, model: LocalModel, template_hash: str) -> bool:
    """Whether a base is for this task and was made on this very model, with the template that it has now."""
    manifest = base.manifest
    # The model's hash last: it may have to be computed over a large file.
    return (
        manifest.task == task and manifest.template_hash == template_hash and manifest.model_hash == model_hash(model)
    )


def check_base(base: TaskBase, model: LocalModel, template_hash: str) -> None:
    """Raises AdapterRefused where a file was changed, or model or template are others than it learned with."""
    check_files(base.folder, base.manifest.files)
    check_config(base.folder)
    if base.manifest.model_hash != model_hash(model):
        raise AdapterRefused(
            f"The base {base.name} was made on {base.manifest.model} and not on this {model.name}; choose that model,"
            " or another base with `cdcda bases use`."
        )
    if base.manifest.template_hash != template_hash:
        raise AdapterRefused(
            f"The base {base.name} learned with another prompt template than {model.name} has now; choose another base"
            " with `cdcda bases use`."
        )


def served(base: TaskBase, model: LocalModel, cache: Path) -> Path:
    """The folder that an engine of this model reads the base from; its GGUF form is made below `cache` once.

    Raises AdapterRefused, DiskFull and NotWritten.
    """
    if model.kind == "safetensors":
        return base.folder
    folder = cache / f"base-{base.hash[:16]}"
    if not (folder / GGUF_ADAPTER).is_file():
        with writing("The base in the form of llama.cpp", folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_gguf_adapter(base.folder, base.manifest.layout, folder / GGUF_ADAPTER)
    return folder


def find_by_hash(found: Sequence[TaskBase], story: Mapping[str, str]) -> TaskBase:
    """The base that an adapter's manifest names; raises AdapterRefused where it is not here."""
    for base in found:
        if base.hash == story.get("hash"):
            return base
    same_name = any(base.name == story.get("name") for base in found)
    raise AdapterRefused(
        f"The adapter was trained on top of the base {story.get('name')}, "
        + ("but the one of that name here is another" if same_name else "which is not on this computer")
        + "; fetch it with `cdcda bases pull`, or train the adapter again."
    )
