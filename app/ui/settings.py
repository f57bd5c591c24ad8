"""The Settings tab: where things are, the cloud and the offline switch, the models, and the doctor."""

import dataclasses
import datetime
import functools
import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.device.catalogue import find_entry
from app.errors import BadInput
from app.pipeline import archive, estimating, forgetting, models, network, pulling
from app.pipeline.local_service import CloudAddress
from app.pipeline.models import ModelRow
from app.pipeline.ways_out import WAYS_OUT
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.ui.bases import BasesPart, build_bases
from app.ui.doctor import build_doctor
from app.ui.downloads import Download
from app.ui.notices import answered, shown
from app.ui.parts import drawn, lead
from app.ui.restoring import build_restoring
from app.ui.services import Services
from personal_store import ledger


@dataclasses.dataclass(frozen=True)
class SettingsTab:
    """What the page needs of this tab."""

    loaded: list[gr.components.Component]
    load: Callable[[], tuple[Any, ...]]
    polled: list[gr.components.Component]
    poll: Callable[[], tuple[Any, ...]]
    """Draws `polled` from the whole state."""


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


def places_view(services: Services) -> views.View:
    """The data folder and the service's address."""
    cloud = services.cloud
    where = f"{cloud.url}, started by this app" if cloud.local else cloud.url
    text = f"Everything of yours lies in {services.workspace.data_dir}. The augmentation service is at {where}."
    return views.notice(strings.PLACES_HEADLINE, text)


def chosen_cloud(services: Services, url: str, token: str) -> CloudAddress:
    """The service at that address, or for an empty one the app's own; raises BadInput."""
    if url:
        network.is_this_computer(url)
        return CloudAddress(url, token, local=False)
    if services.own_cloud is None:
        raise BadInput("The app was started with --cloud-url, so it has no service of its own; give an address.")
    return services.own_cloud


def ways_view(offline: bool) -> views.View:
    """Everything that ever uses the network."""
    rows = [[way.what, way.when, way.where, way.goes, way.offline] for way in WAYS_OUT]
    columns = ["What", "When", "Where to", "What goes", f"With the offline switch ({'on' if offline else 'off'} now)"]
    return {"columns": columns, "rows": rows}


def ledger_view(workspace: Workspace) -> views.View:
    """What left, or tried to; the newest line first."""
    with workspace.store() as store:
        lines, broken = ledger.uploads(store), ledger.broken_line(store)
    attempts = ledger.attempts(lines)
    rows = [
        [line.sent_at[:19].replace("T", " "), line.destination, str(len(line.record_ids)), f"{line.bytes:,}",
         line.sha256[:12], line.outcome, str(attempts[line.id])]
        for line in reversed(lines)
    ]  # fmt: skip
    summary = strings.LEDGER_WHOLE.format(count=len(lines))
    if broken is not None:
        summary = f"Line {broken} of the ledger is missing or was changed."
    exported = [json.dumps({**dataclasses.asdict(line), "attempt": attempts[line.id]}) for line in lines]
    return {
        "columns": list(strings.LEDGER_COLUMNS),
        "rows": rows[: views.LISTED],
        "summary": summary,
        "broken": broken is not None,
        "lines": "".join(f"{line}\n" for line in exported),
    }


@dataclasses.dataclass(frozen=True)
class _Layout:
    places: gr.HTML
    cloud: list[gr.components.Component]
    """Address, token."""
    save_button: gr.Button
    offline: gr.Checkbox
    device_model: gr.Dropdown
    models: gr.HTML
    bases: BasesPart
    prices: list[gr.components.Component]
    """Of a million tokens read, and written."""
    ways: gr.HTML
    ledger: gr.HTML
    export_button: gr.Button
    final_button: gr.Button
    wipe: list[gr.components.Component]
    """The word that is to be typed."""
    wipe_button: gr.Button
    said: gr.HTML


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
        """Everything of this tab as it is now."""
        cloud = self._services.cloud
        address = "" if cloud.local else cloud.url
        offline = network.is_offline(self._workspace)
        prices = estimating.prices(self._workspace) or (None, None)
        return (
            places_view(self._services),
            address,
            offline,
            self._device_models(),
            self.poll(),
            *prices,
            ways_view(offline),
            ledger_view(self._workspace),
        )

    def save_cloud(self, url: str, token: str) -> views.View:
        """Send to that service from now on; empty goes back to the one on this computer."""
        self._services.cloud = chosen_cloud(self._services, (url or "").strip().rstrip("/"), token or "")
        gr.Info(strings.CLOUD_SAVED)
        return places_view(self._services)

    def set_offline(self, on: bool) -> views.View:
        """Throw the offline switch."""
        network.set_offline(self._workspace, on)
        return ways_view(on)

    def set_prices(self, read: float | None, written: float | None) -> None:
        """Keep what a service takes for a million tokens."""
        estimating.set_prices(self._workspace, read or 0.0, written or 0.0)

    def export(self) -> views.View:
        """Write everything of the person into one archive in the data folder."""
        folder = self._workspace.data_dir / "exports"
        folder.mkdir(mode=0o700, exist_ok=True)
        made = archive.export_archive(self._workspace, folder / f"cdcda-{datetime.datetime.now():%Y-%m-%d-%H%M%S}.zip")
        return views.notice(strings.EXPORTED, f"{made.path}, {views.bytes_text(made.bytes)}.", "good")

    def make_final(self) -> views.View:
        """Leave no trace of deleted records and earlier texts."""
        forgetting.forget_deleted(self._workspace)
        return views.notice(strings.FINAL_DONE, strings.FINAL_TEXT, "good")

    def delete_everything(self, word: str) -> views.View:
        """Delete all data of the person, once they have typed the word."""
        if (word or "").strip().lower() != strings.WIPE_WORD:
            raise BadInput(f"This deletes all your data; type {strings.WIPE_WORD!r} into the field first.")
        forgetting.delete_everything(self._workspace)
        return views.notice(strings.WIPED, strings.WIPED_TEXT, "warn")

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


def _lay_out_cloud() -> tuple[list[gr.components.Component], gr.Button, gr.Checkbox]:
    with gr.Group():
        address = gr.Textbox(label=strings.CLOUD_ADDRESS, info=strings.CLOUD_ADDRESS_INFO)
        token = gr.Textbox(label=strings.CLOUD_TOKEN, type="password")
    return [address, token], gr.Button(strings.SAVE_CLOUD), gr.Checkbox(label=strings.OFFLINE)


def _lay_out_prices() -> list[gr.components.Component]:
    with gr.Accordion(strings.PRICES, open=False), gr.Row():
        return [
            gr.Number(label=label, minimum=0, min_width=140) for label in (strings.PRICE_READ, strings.PRICE_WRITTEN)
        ]


def _lay_out_data() -> tuple[gr.Button, gr.Button, list[gr.components.Component], gr.Button, gr.HTML]:
    gr.Markdown(strings.DATA_TITLE)
    with gr.Row():
        export = gr.Button(strings.EXPORT, min_width=140)
        final = gr.Button(strings.MAKE_FINAL, min_width=140)
    with gr.Accordion(strings.WIPE, open=False):
        word = gr.Textbox(label=strings.WIPE_LABEL)
        wipe = gr.Button(strings.WIPE, variant="stop")
    return export, final, [word], wipe, drawn("notice", elem_id="data-said")


def _lay_out(services: Services, actions: Actions) -> _Layout:
    lead(strings.SETTINGS_LEAD)
    with gr.Row():
        with gr.Column(min_width=320):
            gr.Markdown(strings.PLACES_TITLE)
            places = drawn("notice", elem_id="places")
            cloud, save_button, offline = _lay_out_cloud()
            prices = _lay_out_prices()
            build_doctor(services)
            data = _lay_out_data()
            build_restoring(services.workspace)
        with gr.Column(min_width=320):
            gr.Markdown(strings.MODELS_TITLE)
            device_model = gr.Dropdown([], label=strings.DEVICE_MODEL)
            listing = drawn("models", server_functions=[answered(actions.pull_model)], elem_id="models")
            bases = build_bases(services)
    gr.Markdown(strings.WAYS_TITLE)
    ways = drawn("waysOut", elem_id="ways")
    gr.Markdown(strings.LEDGER_TITLE)
    lines = drawn("ledger", elem_id="ledger")
    return _Layout(
        places,
        cloud,
        save_button,
        offline,
        device_model,
        listing,
        bases,
        prices,
        ways,
        lines,
        *data,
    )


def build_settings(services: Services) -> SettingsTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    actions = Actions(services)
    at = _lay_out(services, actions)
    at.save_button.click(shown(actions.save_cloud), at.cloud, at.places, api_name="set_cloud")
    at.offline.input(shown(actions.set_offline), at.offline, at.ways, api_name="set_offline")
    for place, price in enumerate(at.prices):
        price.blur(shown(actions.set_prices), at.prices, None, api_name=("price_read", "price_written")[place])
    at.export_button.click(shown(actions.export), None, at.said, api_name="export")
    at.final_button.click(shown(actions.make_final), None, at.said, api_name="make_final")
    at.wipe_button.click(shown(actions.delete_everything), at.wipe, at.said, api_name="delete_everything")
    at.device_model.input(shown(actions.use_model), at.device_model, None, api_name="use_model")
    gr.api(shown(actions.fetch), api_name="pull_model")
    loaded: list[gr.components.Component] = [
        *(at.places, at.cloud[0], at.offline, at.device_model, at.models),
        *(*at.prices, at.ways, at.ledger),
    ]

    def load() -> tuple[Any, ...]:
        return *actions.load(), *at.bases.load()

    def poll() -> tuple[Any, ...]:
        return actions.poll(), at.bases.poll()

    return SettingsTab([*loaded, *at.bases.loaded], shown(load), [at.models, at.bases.listing], poll)
