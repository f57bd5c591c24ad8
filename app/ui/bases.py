"""The bases in the Settings tab: which are here, which the service offers, and which one a task uses."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.pipeline import bases, cloud
from app.pipeline.base_pulling import pull_base
from app.pipeline.bases import BaseRow
from app.tasks import find_task
from app.ui import strings, views
from app.ui.downloads import Download
from app.ui.history import TASK_CHOICES
from app.ui.notices import answered, shown
from app.ui.parts import UNCHECKED, drawn
from app.ui.services import Services
from cloud_stub.base_schemas import BaseDescription

FIRST_TASK = "title"
METRICS = {"rouge_1": "ROUGE-1", "rouge_l": "ROUGE-L", "accuracy": "accuracy", "mae": "mean error"}


@dataclasses.dataclass(frozen=True)
class BasesPart:
    """What the tab needs of this part."""

    listing: gr.HTML
    poll: Callable[[], views.View]
    """Draws `listing` from the whole state."""
    loaded: list[gr.components.Component]
    load: Callable[[], tuple[Any, ...]]


def _scores(row: BaseRow) -> str:
    """What the base brought on people that it did not learn from."""
    said = [
        f"{METRICS.get(name, name)} {score['untrained']:.2f} without and {score['trained']:.2f} with it"
        for name, score in row.scores.items()
    ]
    return f" {', '.join(said)}." if said else ""


def _state(row: BaseRow, download: Download | None) -> tuple[str, float | None]:
    if row.installed:
        return ("Came with the install" if row.embedded else "On this computer"), None
    if download is None:
        return "", None
    if download.error:
        return download.error, None
    share = download.done / download.total if download.total else 0.0
    return f"{views.bytes_text(download.done)} of {views.bytes_text(download.total)}", share


def base_view(row: BaseRow, download: Download | None) -> views.View:
    """One base that is here or offered."""
    words, share = _state(row, download)
    detail = f"For {views.task_title(row.task)} with {row.model}, {views.bytes_text(row.bytes)}.{_scores(row)}"
    return {
        # One that came with the install may share its name with one that is offered.
        "id": f"{row.name} for {row.model}" + (" (offered)" if not row.installed else ""),
        "name": row.name,
        "title": row.title,
        "detail": detail,
        "licence": f"Data: {row.attribution}; licence: {row.licence}",
        "here": row.installed,
        "state": words,
        "share": share,
        "pull": not row.installed and not (download is not None and download.running),
    }


def _download_name(base: str) -> str:
    """Under which the fetch of a base goes, apart from a model of that name."""
    return f"base {base}"


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services) -> None:
        self._services, self._workspace = services, services.workspace
        self._offered: tuple[BaseDescription, ...] = ()

    def poll(self) -> views.View:
        """The bases and how far their fetches are; no connection is opened."""
        downloads = self._services.downloads
        rows = bases.base_rows(self._workspace, self._offered)
        return {"rows": [base_view(row, downloads.state(_download_name(row.name))) for row in rows]}

    def choices(self, task: str) -> Any:
        """The bases that a task may use, and the one that it does."""
        known = find_task(task)
        named = [row for row in bases.base_rows(self._workspace) if row.task == known.name]
        usual = [(strings.BASE_AUTOMATIC, bases.AUTOMATIC), (strings.BASE_NONE, bases.NONE)]
        chosen = bases.chosen(self._workspace, known)
        # Of two with the same name, the fetched one is meant; it comes last.
        listed = usual + list({row.name: (f"{row.title} ({row.name})", row.name) for row in named}.values())
        if chosen not in [name for _, name in listed]:
            listed.append((chosen, chosen))
        return gr.Dropdown(choices=listed, value=chosen)

    def load(self) -> tuple[Any, ...]:
        """Everything of this part as it is now, for the first task."""
        return FIRST_TASK, self.choices(FIRST_TASK), self.poll()

    def choose(self, task: str, choice: str) -> None:
        """Learn and write with that base from now on."""
        bases.choose(self._workspace, task, choice)
        gr.Info(strings.BASE_SAVED)

    def look(self) -> views.View:
        """Ask the service which bases it offers."""
        self._offered = cloud.bases(self._workspace, self._services.reached())
        return self.poll()

    def fetch(self, name: str) -> dict[str, Any]:
        """Start fetching a base from the service."""
        pull = functools.partial(pull_base, self._workspace, self._services.reached(), name)
        self._services.downloads.start(_download_name(name), pull)
        return {"started": name}

    def pull_base(self, name: Any) -> dict[str, Any]:
        """The same for the list's buttons."""
        return self.fetch(str(name))


def build_bases(services: Services) -> BasesPart:
    """Lay out and wire the part; must stand inside the Settings tab."""
    actions = Actions(services)
    gr.Markdown(strings.BASES_TITLE)
    gr.Markdown(strings.BASES_LEAD)
    with gr.Row():
        task = gr.Dropdown(TASK_CHOICES, value=FIRST_TASK, label=strings.BASE_TASK, min_width=120)
        choice = gr.Dropdown([], label=strings.BASE_CHOICE, min_width=240)
    listing = drawn("bases", server_functions=[answered(actions.pull_base)], elem_id="bases")
    look = gr.Button(strings.LOOK_FOR_BASES)
    task.input(shown(actions.choices), task, choice, api_name="base_choices", **UNCHECKED)
    choice.input(shown(actions.choose), [task, choice], None, api_name="use_base", **UNCHECKED)
    look.click(shown(actions.look), None, listing, api_name="look_for_bases")
    gr.api(shown(actions.fetch), api_name="pull_base")
    return BasesPart(listing, actions.poll, [task, choice, listing], actions.load)
