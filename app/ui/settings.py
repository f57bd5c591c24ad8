"""The Settings tab: where things are, the cloud and the offline switch, what left; the rest has files of its own."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.events import Dependency

from app.errors import BadInput
from app.pipeline import estimating, network
from app.pipeline.local_service import CloudAddress
from app.pipeline.ways_out import WAYS_OUT
from app.ui import strings, views
from app.ui.bases import BasesPart, build_bases
from app.ui.belongings import build_belongings
from app.ui.doctor import build_doctor
from app.ui.left import ledger_view
from app.ui.models import ModelsPart, build_models
from app.ui.notices import shown
from app.ui.parts import drawn, lead
from app.ui.restoring import build_restoring
from app.ui.services import Services


@dataclasses.dataclass(frozen=True)
class SettingsTab:
    """What the page needs of this tab."""

    loaded: list[gr.components.Component]
    load: Callable[[], tuple[Any, ...]]
    polled: list[gr.components.Component]
    poll: Callable[[], tuple[Any, ...]]
    """Draws `polled` from the whole state."""


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
    if services.own is None:
        raise BadInput("The app was started with --cloud-url, so it has no service of its own; give an address.")
    return services.own.address


def ways_view(offline: bool) -> views.View:
    """Everything that ever uses the network."""
    rows = [[way.what, way.when, way.where, way.goes, way.offline] for way in WAYS_OUT]
    columns = ["What", "When", "Where to", "What goes", f"With the offline switch ({'on' if offline else 'off'} now)"]
    return {"columns": columns, "rows": rows}


@dataclasses.dataclass(frozen=True)
class _Layout:
    places: gr.HTML
    cloud: list[gr.components.Component]
    """Address, token."""
    save_button: gr.Button
    offline: gr.Checkbox
    prices: list[gr.components.Component]
    """Of a million tokens read, and written."""
    replaced: list[Dependency]
    """What puts other settings, or none, in the place of all that there are."""
    models: ModelsPart
    bases: BasesPart
    ways: gr.HTML
    ledger: gr.HTML


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services) -> None:
        self._services, self._workspace = services, services.workspace

    def load(self) -> tuple[Any, ...]:
        """Where things are and what left, as it is now."""
        cloud = self._services.cloud
        offline = network.is_offline(self._workspace)
        prices = estimating.prices(self._workspace) or (None, None)
        return (
            places_view(self._services),
            "" if cloud.local else cloud.url,
            offline,
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
        """Keep what a service takes for a million tokens; two empty fields: it is not known."""
        estimating.set_prices(self._workspace, read, written)


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


def _lay_out(services: Services) -> _Layout:
    lead(strings.SETTINGS_LEAD)
    with gr.Row():
        with gr.Column(min_width=320):
            gr.Markdown(strings.PLACES_TITLE)
            places = drawn("notice", elem_id="places")
            cloud, save_button, offline = _lay_out_cloud()
            prices = _lay_out_prices()
            build_doctor(services)
            replaced = [build_belongings(services.workspace), build_restoring(services)]
        with gr.Column(min_width=320):
            models, bases = build_models(services), build_bases(services)
    gr.Markdown(strings.WAYS_TITLE)
    ways = drawn("waysOut", elem_id="ways")
    gr.Markdown(strings.LEDGER_TITLE)
    ledger = drawn("ledger", elem_id="ledger")
    return _Layout(places, cloud, save_button, offline, prices, replaced, models, bases, ways, ledger)


def build_settings(services: Services) -> SettingsTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    actions, at = Actions(services), _lay_out(services)
    at.save_button.click(shown(actions.save_cloud), at.cloud, at.places, api_name="set_cloud")
    at.offline.input(shown(actions.set_offline), at.offline, at.ways, api_name="set_offline")
    for place, price in enumerate(at.prices):
        price.blur(shown(actions.set_prices), at.prices, None, api_name=("price_read", "price_written")[place])
    loaded: list[gr.components.Component] = [at.places, at.cloud[0], at.offline, *at.prices, at.ways, at.ledger]
    loaded += [*at.models.loaded, *at.bases.loaded]

    def load() -> tuple[Any, ...]:
        return *actions.load(), *at.models.load(), *at.bases.load()

    def poll() -> tuple[Any, ...]:
        return at.models.poll(), at.bases.poll()

    for change in at.replaced:
        change.success(shown(load), None, loaded, show_progress="hidden", api_visibility="private")
    return SettingsTab(loaded, shown(load), [at.models.listing, at.bases.listing], poll)
