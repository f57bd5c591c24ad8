"""Which models this person uses, and which there are."""

import dataclasses
import os
from pathlib import Path
from typing import Literal

from app.device.catalogue import CATALOGUE, EMBEDDED, LocalModel, ModelEntry, find_model, installed, strongest_cloud
from app.errors import AppError, BadInput
from app.pipeline.local_service import MODEL_PREFERENCE, configured_model
from app.pipeline.workspace import Workspace
from personal_store import preferences

DEVICE_PREFERENCE = "device_model"
DEVICE_VARIABLE = "CDCDA_DEVICE_MODEL"


@dataclasses.dataclass(frozen=True)
class ModelRow:
    """A model of the catalogue, or a local one that the catalogue does not have."""

    name: str
    entry: ModelEntry | None
    installed: bool
    device: bool
    """Is made personal and writes here."""
    cloud: bool
    """Writes pairs in the local service."""


def device_model(workspace: Workspace, name: str | None = None) -> LocalModel:
    """The model that learns and writes here: the one named, else the person's choice, else the embedded one."""
    if name is None:
        with workspace.store() as store:
            name = os.environ.get(DEVICE_VARIABLE) or preferences.get(store, DEVICE_PREFERENCE, EMBEDDED)
    return find_model(name, workspace.models)


def cloud_model(workspace: Workspace) -> LocalModel:
    """The model that the local service takes."""
    named = configured_model(workspace)
    return find_model(named, workspace.models) if named else strongest_cloud(workspace.models)


def use_model(workspace: Workspace, name_or_path: str, use: Literal["device", "cloud"] = "device") -> LocalModel:
    """Choose a model by name or path; raises ModelMissing, ModelDamaged, and BadInput where it cannot serve so."""
    model = find_model(name_or_path, workspace.models)
    if use == "cloud" and model.kind != "gguf":
        raise BadInput(
            f"The service needs a GGUF file, but {model.path} is a folder of safetensors; choose a GGUF model."
        )
    known = any(entry.name == name_or_path for entry in CATALOGUE)
    chosen = name_or_path if known and use == "device" else str(Path(model.path).absolute())
    with workspace.store() as store:
        preferences.put(store, DEVICE_PREFERENCE if use == "device" else MODEL_PREFERENCE, chosen)
    return model


def _chosen(workspace: Workspace, use: Literal["device", "cloud"]) -> Path | None:
    """Where the chosen model is; None while it is missing or damaged, which a list of models should survive."""
    try:
        return (device_model if use == "device" else cloud_model)(workspace).path
    except AppError:
        return None


def model_rows(workspace: Workspace) -> tuple[ModelRow, ...]:
    """The catalogue, then the local models beside it."""
    here = {model.name: model for model in installed(workspace.models)}
    device, cloud = _chosen(workspace, "device"), _chosen(workspace, "cloud")
    entries: dict[str, ModelEntry | None] = {entry.name: entry for entry in CATALOGUE}
    entries |= {name: None for name in here if name not in entries}
    rows = []
    for name, entry in entries.items():
        path = here[name].path if name in here else None
        rows.append(
            ModelRow(
                name, entry, path is not None, path is not None and path == device, path is not None and path == cloud
            )
        )
    return tuple(rows)
