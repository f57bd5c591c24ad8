"""The models in the Settings tab: which are here, which can be fetched, and which one writes and learns."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.device.catalogue import find_entry
from app.pipeline import models, pulling
from app.pipeline.models import ModelRow
from app.ui import strings, views
from app.ui.downloads import Download
from app.ui.notices import answered, shown
from app.ui.parts import UNCHECKED, drawn
from app.ui.services import Services


@dataclasses.dataclass(frozen=True)
class ModelsPart:
    """What the tab needs of this part."""

    listing: gr.HTML
    poll: Callable[[], views.View]
    """Draws `listing` from the whole state."""
    loaded: list[gr.components.Component]
    load: Callable[[], tuple[Any, ...]]


def _download_words(row: ModelRow, download: Download | None) -> tuple[str, float | None]:
    """What stands beside a model, and how far its fetch is."""
    if row.installed:
        used = [name for name, on in (("writes here", row.device), ("writes pairs", row.cloud)) if on]
        return ", ".join(used) or "On this computer", None
    if download is None:
        return "", None
    if download.error:
        return download.error, None
    share = download.done / download.total if download.total else 0.0
    return f"{views.bytes_text(download.done)} of {views.bytes_text(download.total)}", share


def _about(row: ModelRow) -> tuple[str, str]:
    """What a model is, and its licence."""
    entry = row.entry
    if entry is None:
        return "A model of your own.", ""
    size = views.bytes_text(entry.bytes) if entry.bytes else "size unknown"
    uses = {"device": "for this computer", "cloud": "for the service", "both": "for either"}
    return f"{entry.parameters} parameters, {size}, {uses[entry.use]}.", f"Licence: {entry.licence}"


def model_view(row: ModelRow, download: Download | None) -> views.View:
    """One model of the catalogue, or one that lies beside it."""
    words, share = _download_words(row, download)
    detail, licence = _about(row)
    running = download is not None and download.running
    return {
        "id": row.name,
        "name": row.name,
        "title": row.entry.title if row.entry else row.name,
        "detail": detail,
        "licence": licence,
        "here": row.installed,
        "state": words,
        "share": share,
        "pull": not row.installed and not running,
    }


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services) -> None:
        self._services, self._workspace = services, services.workspace

    def poll(self) -> views.View:
        """The models and how far their fetches are, from the whole state."""
        downloads = self._services.downloads
        return {"rows": [model_view(row, downloads.state(row.name)) for row in models.model_rows(self._workspace)]}

    def _device_models(self) -> Any:
        rows = models.model_rows(self._workspace)
        here = [(row.entry.title if row.entry else row.name, row.name) for row in rows if row.installed]
        chosen = models.device_model(self._workspace).name
        if chosen not in [name for _, name in here]:
            here.append((chosen, chosen))
        return gr.Dropdown(choices=here, value=chosen)

    def load(self) -> tuple[Any, ...]:
        """Everything of this part as it is now."""
        return self._device_models(), self.poll()

    def use_model(self, name: str) -> None:
        """Write and train with that model from now on."""
        models.use_model(self._workspace, name, "device")
        gr.Info(strings.MODEL_SAVED)

    def fetch(self, name: str) -> dict[str, Any]:
        """Start fetching a model of the catalogue."""
        known = find_entry(name).name
        self._services.downloads.start(known, functools.partial(pulling.pull, self._workspace, known))
        return {"started": name}

    def pull_model(self, name: Any) -> dict[str, Any]:
        """The same for the list's buttons."""
        return self.fetch(str(name))


def build_models(services: Services) -> ModelsPart:
    """Lay out and wire the part; must stand inside the Settings tab."""
    actions = Actions(services)
    gr.Markdown(strings.MODELS_TITLE)
    chosen = gr.Dropdown([], label=strings.DEVICE_MODEL)
    listing = drawn("models", server_functions=[answered(actions.pull_model)], elem_id="models")
    chosen.input(shown(actions.use_model), chosen, None, api_name="use_model", **UNCHECKED)
    gr.api(shown(actions.fetch), api_name="pull_model")
    return ModelsPart(listing, actions.poll, [chosen, listing], actions.load)
