"""The Personalise tab: train an adapter, watch it learn, and choose which one is on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.device.presets import DEFAULT, PRESETS, find_preset
from app.errors import SHOWN
from app.pipeline import dataset, jobs, switching
from app.ui import state, strings, views
from app.ui.adapters import build_adapters
from app.ui.notices import answered, shown
from app.ui.parts import drawn, lead, stop_and_resume
from app.ui.runs import build_runs, learned_view
from app.ui.services import Services
from app.ui.starting import StartPanel, build_start, settings_of, wire_start
from app.wording import counted, verb
from personal_store import training
from personal_store.nouns import Adapter


@dataclasses.dataclass(frozen=True)
class PersonaliseTab:
    """What the page needs of this tab."""

    loaded: list[gr.components.Component]
    load: Callable[[], tuple[views.View, ...]]
    """Draws what would be learned, and the adapters."""
    polled: list[gr.components.Component]
    poll: Callable[[], tuple[Any, ...]]
    """Draws `polled` from the whole state."""
    start: StartPanel
    """What a training would take; drawn from `settings`."""
    settings: list[gr.components.Component]


def _verdict_word(adapter: Adapter) -> str:
    word = (adapter.manifest.get("scores") or {}).get("verdict")
    return f"; {word}" if word else ""


def adapter_row(adapter: Adapter, on: bool) -> views.View:
    """One adapter in the list."""
    made = adapter.created_at[:16].replace("T", " ")
    return {
        "id": adapter.id,
        "name": adapter.name,
        "on": on,
        "stale": adapter.stale,
        "detail": f"Trained {made} on {views.trained_on(adapter)}"
        + (", and a record it learned from is gone" if adapter.stale else "")
        + _verdict_word(adapter),
    }


def examples_view(services: Services) -> views.View:
    """What a training would learn from now, or the sentence that says why it cannot start."""
    try:
        found = dataset.gather(services.workspace)
    except SHOWN as error:
        return views.notice(strings.NOT_READY, str(error), "warn", tab="history")
    own = sum(text.pair_id is None for text in found.texts)
    pairs = len(found.texts) - own
    newest = len(found.held_out)
    held_out = (
        f"your newest {counted(newest, 'record')}, with what was made from {verb(newest, 'it', 'them')}, held out"
    )
    text = f"{own} of your records and {counted(pairs, 'kept pair')}; {held_out}."
    return views.notice(f"{counted(len(found.texts), 'example')} for {found.task.title}", text)


@dataclasses.dataclass(frozen=True)
class _Layout:
    examples: gr.HTML
    settings: list[gr.components.Component]
    """Epochs, rank, alpha, seed, preset, tokens at once."""
    start: StartPanel
    train_button: gr.Button
    job_buttons: list[gr.Button]
    """Stop, Resume."""
    progress: gr.HTML
    adapters: gr.HTML


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services, before_start: Callable[[jobs.TrainSettings], None]) -> None:
        self._services, self._workspace = services, services.workspace
        self._before_start = before_start

    def _adapters(self) -> views.View:
        with self._workspace.store() as store:
            found = training.adapters(store)
        on = switching.find_active(self._workspace)
        rows = [adapter_row(adapter, on is not None and adapter.id == on.id) for adapter in found]
        return {"rows": rows, "empty": None if rows else views.empty(strings.NO_ADAPTERS)}

    def load(self) -> tuple[views.View, ...]:
        """What would be learned, and the adapters."""
        return examples_view(self._services), self._adapters()

    def activate(self, adapter_id: int | None) -> dict[str, Any]:
        """Switch an adapter on, or all off."""
        switching.switch(self._workspace, adapter_id)
        return self._adapters()

    def use_adapter(self, argument: Any) -> dict[str, Any]:
        """The same for the list's buttons."""
        return {"adapters": self.activate(None if argument is None else int(argument))}

    def adapter_sources(self, adapter_id: int, page: int = 1) -> views.View:
        """One page of the records that an adapter learned from, with their pairs."""
        return learned_view(self._workspace, adapter_id, page)

    def sources(self, arguments: Any) -> dict[str, Any]:
        """The same for the list's folds: id, page."""
        return self.adapter_sources(int(arguments[0]), int(arguments[1]))

    def choose(self, preset: str) -> tuple[int, int, int]:
        """Epochs, rank and alpha of a preset."""
        settings = find_preset(preset).settings
        return settings.epochs, settings.rank, settings.alpha

    def train(
        self, epochs: float, rank: float, alpha: float, seed: float, preset: str, micro_tokens: float
    ) -> tuple[Any, ...]:
        """Start a training; somebody whose computer is too small for it is told so."""
        settings = settings_of(epochs, rank, alpha, seed, preset, micro_tokens)
        self._before_start(settings)
        jobs.start_train(self._workspace, settings)
        return self.poll()

    def stop(self) -> tuple[Any, ...]:
        """Stop the training at its next step; a checkpoint is kept."""
        job = state.present_job(self._workspace, "train")
        if job is not None:
            jobs.stop_job(self._workspace, job.id)
        return self.poll()

    def keep(self) -> tuple[Any, ...]:
        """End the training after its next step, with the best adapter so far."""
        job = state.present_job(self._workspace, "train")
        if job is not None:
            jobs.keep_job(self._workspace, job.id)
        return self.poll()

    def resume(self) -> tuple[Any, ...]:
        """Go on from the last checkpoint."""
        job = state.present_job(self._workspace, "train")
        if job is not None:
            jobs.resume_job(self._workspace, job.id)
        return self.poll()

    def poll(self) -> tuple[Any, ...]:
        """Progress, adapters and buttons, from the whole state."""
        job = state.present_job(self._workspace, "train")
        ready = gr.Button(interactive=not state.is_active(job))
        buttons = (*state.job_buttons(self._workspace, job), state.keep_button(self._workspace, job))
        return state.train_view(self._workspace), self._adapters(), ready, *buttons


def _lay_out_settings() -> list[gr.components.Component]:
    defaults = jobs.TrainSettings()
    choices = [(f"{name.capitalize()}: {preset.explained}", name) for name, preset in PRESETS.items()]
    preset = gr.Radio(choices, value=DEFAULT, label=strings.PRESET, elem_id="preset")
    epochs = gr.Slider(1, 20, value=PRESETS[DEFAULT].settings.epochs, step=1, label=strings.EPOCHS)
    with gr.Accordion(strings.TRAIN_SETTINGS, open=False), gr.Row():
        return [
            epochs,
            gr.Number(defaults.rank, label=strings.RANK, precision=0, minimum=1, maximum=256, min_width=120),
            gr.Number(defaults.alpha, label=strings.ALPHA, precision=0, minimum=1, maximum=512, min_width=120),
            gr.Number(defaults.seed, label=strings.SEED, precision=0, minimum=0, min_width=120),
            preset,
            gr.Number(
                find_preset(DEFAULT).settings.micro_tokens,
                label=strings.MICRO_TOKENS,
                info=strings.MICRO_TOKENS_INFO,
                precision=0,
                minimum=16,
                min_width=120,
            ),
        ]


def _lay_out(services: Services) -> tuple[_Layout, Actions]:
    lead(strings.PERSONALISE_LEAD)
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            examples = drawn("notice", elem_id="examples")
            settings = _lay_out_settings()
            forecast = drawn("forecast", elem_id="forecast")
            # Before what a person may look at first: in a window of usual height it would lie below the edge.
            train_button = gr.Button(strings.TRAIN, variant="primary", elem_id="train-button")
            job_buttons = [*stop_and_resume(), gr.Button(strings.KEEP, visible=False, elem_id="keep-button")]
            start = build_start(services, forecast)
            actions = Actions(services, start.actions.warn)
        with gr.Column(scale=3, min_width=320):
            progress = drawn("training", elem_id="training")
            gr.Markdown(strings.ADAPTERS_TITLE)
            buttons = [answered(actions.use_adapter), answered(actions.sources)]
            adapters = drawn("adapters", server_functions=buttons, elem_id="adapters")
            build_runs(services)
            build_adapters(services)
    return _Layout(examples, settings, start, train_button, job_buttons, progress, adapters), actions


def build_personalise(services: Services) -> PersonaliseTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    at, actions = _lay_out(services)
    polled: list[gr.components.Component] = [at.progress, at.adapters, at.train_button, *at.job_buttons]
    at.train_button.click(shown(actions.train), at.settings, polled, api_name="train")
    # Not on change: the fields also change when a person sets them, and must not be set back.
    at.settings[4].input(shown(actions.choose), at.settings[4:5], at.settings[:3], api_name="preset")
    wire_start(at.start, at.settings)
    at.job_buttons[0].click(shown(actions.stop), None, polled, api_name="stop_training")
    at.job_buttons[1].click(shown(actions.resume), None, polled, api_name="resume_training")
    at.job_buttons[2].click(shown(actions.keep), None, polled, api_name="keep_training")
    gr.api(shown(actions.activate), api_name="use_adapter")
    gr.api(shown(actions.adapter_sources), api_name="adapter_sources")
    return PersonaliseTab([at.examples, at.adapters], shown(actions.load), polled, actions.poll, at.start, at.settings)
