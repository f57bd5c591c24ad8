"""What stands around the Train button: what a training would take, whether it fits, and the rows it would learn."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from app.errors import SHOWN, BadInput
from app.pipeline import forecasting, probing, rows
from app.pipeline.forecasting import Forecast
from app.pipeline.jobs import TrainSettings
from app.ui import strings, views
from app.ui.notices import answered, shown
from app.ui.parts import QUIET, drawn
from app.ui.services import Services
from app.wording import counted

SHOWN_ROWS = 5
TONES = {"fits": "good", "tight": "warn", "does not fit": "bad"}


def settings_of(
    epochs: float | None,
    rank: float | None,
    alpha: float | None,
    seed: float | None,
    preset: str,
    micro_tokens: float | None,
) -> TrainSettings:
    """The fields of the page as settings; raises BadInput for one that was emptied."""
    if epochs is None or rank is None or alpha is None or seed is None or micro_tokens is None:
        titles = (strings.EPOCHS, strings.RANK, strings.ALPHA, strings.SEED, strings.MICRO_TOKENS)
        numbers = (epochs, rank, alpha, seed, micro_tokens)
        empty = [title for title, number in zip(titles, numbers, strict=True) if number is None]
        raise BadInput(f"A training needs a number for {' and '.join(map(repr, empty))}; fill it in.")
    return TrainSettings(
        epochs=int(epochs),
        rank=int(rank),
        alpha=int(alpha),
        seed=int(seed),
        preset=preset,
        micro_tokens=int(micro_tokens),
    )


def forecast_view(found: Forecast, time: str | None = None) -> views.View:
    """Verdict, time, and the parts that the memory is made of."""
    parts = [
        [part.name, f"{part.megabytes:,.0f} MB", part.reason] for part in found.memory.parts if part.megabytes >= 0.5
    ]
    return {
        "headline": forecasting.in_words(found),
        "tone": TONES[found.fit],
        "lines": [line for line in (time or forecasting.time_in_words(found), found.advice) if line],
        "parts": parts,
        "title": strings.WHAT_TAKES_MEMORY,
        "columns": list(strings.MEMORY_COLUMNS),
    }


def rows_view(found: Forecast) -> views.View:
    """How many rows there are and how many are cut; the rows themselves come when they are asked for."""
    words = strings.ROWS_SUMMARY.format(rows=counted(found.examples, "row"), shown=min(found.examples, SHOWN_ROWS))
    return {
        "summary": words,
        "text": strings.ROWS_CUT.format(rows=counted(found.cut, "row")) if found.cut else strings.NO_ROWS_CUT,
    }


@dataclasses.dataclass(frozen=True)
class StartPanel:
    """What the tab needs of this part."""

    drawn: list[gr.components.Component]
    """Forecast and rows."""
    probe_button: gr.Button
    actions: "Actions"


class Actions:
    """What a person can look at before the start."""

    def __init__(self, services: Services) -> None:
        self._workspace = services.workspace

    def foresee(self, *fields: Any) -> tuple[views.View, views.View]:
        """Memory, time and verdict for these settings; nothing where a training could not start anyway."""
        try:
            found = forecasting.foresee(self._workspace, settings_of(*fields))
        except SHOWN:
            # The notice above says why; a field that is being typed into is empty for a moment.
            return {}, {}
        return forecast_view(found), rows_view(found)

    def probe(self, *fields: Any) -> Iterator[views.View]:
        """Memory at once, then the time from a few real steps in a process of their own."""
        settings = settings_of(*fields)
        found = forecasting.foresee(self._workspace, settings)
        yield forecast_view(found, strings.BEING_MEASURED)
        try:
            probed = probing.probe(self._workspace, settings)
        except SHOWN:
            yield forecast_view(found)
            raise
        view = forecast_view(forecasting.foresee(self._workspace, settings))
        yield view | {"lines": [*view["lines"], strings.PROBED.format(peak=probed.peak_memory_mb)]}

    def first_rows(self) -> views.View:
        """The first rows as they are learned, given and learned text apart."""
        found = rows.first_rows(self._workspace, SHOWN_ROWS)
        return {"rows": [dataclasses.asdict(row) for row in found]}

    def show_rows(self, _: Any) -> dict[str, Any]:
        """The same for the folded list, when it is opened."""
        return self.first_rows()

    def warn(self, settings: TrainSettings) -> None:
        """A note for somebody who starts what does not fit; it starts nevertheless."""
        if sentence := forecasting.warning(self._workspace, settings):
            gr.Warning(sentence, title=strings.DOES_NOT_FIT)


def build_start(services: Services, forecast: gr.HTML) -> StartPanel:
    """Lay out what may be looked at before the start; `wire_start` wires it once the settings are there.

    `forecast` stands elsewhere and is drawn with it.
    """
    actions = Actions(services)
    probe_button = gr.Button(strings.PROBE, size="sm", elem_id="probe-button")
    listed = drawn("trainingRows", server_functions=[answered(actions.show_rows)], elem_id="training-rows")
    return StartPanel([forecast, listed], probe_button, actions)


def wire_start(panel: StartPanel, settings: Sequence[gr.components.Component]) -> None:
    """Draw anew with each change of a setting."""
    changes = [field.change for field in settings]
    gr.on(changes, panel.actions.foresee, list(settings), panel.drawn, api_name="forecast", **QUIET)
    panel.probe_button.click(
        shown(panel.actions.probe), list(settings), panel.drawn[0], api_name="probe", show_progress="hidden"
    )
    gr.api(shown(panel.actions.first_rows), api_name="training_rows")
