"""The upper part of the History tab: choose or paste, see how it will be read, correct that, import."""

import dataclasses
import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from app.errors import BadInput
from app.pipeline import importing, tasks
from app.pipeline.advancing import Advance
from app.pipeline.notes import Notes, Pasted
from app.pipeline.workspace import Workspace
from app.ui import strings, underway, views
from app.ui.notices import shown
from app.ui.parts import UNCHECKED, drawn
from app.ui.services import Services
from app.ui.uploads import session_of
from app.wording import counted, dates_unread

SAMPLE = importlib.resources.files("assets") / "sample" / "history.csv"
FILE_TYPES = [".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".markdown"]
PREVIEWED = 5
"""Rows of a file that are shown before it is imported."""
CUT = 300
"""Characters of a text that are shown in that preview."""
PART = "history"
"""Under which this part of a window holds the copies of what was chosen here."""
BAR_IN_SIGHT = '(...given) => (cdcda.barInSight("report"), given)'
"""Brings the bar of an import into sight, and hands on what was given."""

Sent = Sequence[Mapping[str, Any]]
"""Files as the browser sent them; each says under "path" where its copy lies."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a person brings, how it is read, and what came of it."""

    brought: list[gr.components.Component]
    """Files, pasted text, person."""
    look_button: gr.Button
    sample_button: gr.Button
    preview: gr.HTML
    mapping: list[gr.components.Component]
    """Task, input column, output column, date column."""
    import_button: gr.Button
    stop_button: gr.Button
    """Seen while an import runs, whichever window began it."""
    ended: gr.Number
    """How many imports have ended; never seen. A change draws the list again in every window."""
    report: gr.HTML


def task_choices(workspace: Workspace) -> list[tuple[str, str]]:
    """Every task by its title, the person's own too."""
    return [(task.title, task.name) for task in tasks.all_tasks(workspace)]


def _columns(choices: list[str], chosen: str | None) -> Any:
    return gr.Dropdown(choices=[(strings.NO_COLUMN, ""), *choices], value=chosen or "", visible=True)


def preview_view(preview: importing.Preview) -> views.View:
    """The head of a file as its mapping reads it."""
    rejected = f", {counted(len(preview.rejected), 'line')} left out" if preview.rejected else ""
    head = preview.rows[:PREVIEWED]
    problem = f" {preview.problem}" if preview.problem else ""
    announced = f" The first {len(head)} as they will be read:" if head else ""
    return {
        "summary": f"{preview.format.upper()}, {preview.encoding}."
        f" {counted(preview.usable, 'usable record')}{rejected}."
        f"{dates_unread(preview.unread_dates)}{problem}{announced}",
        "columns": ["What it is about", "What you wrote", "Date"],
        "rows": [[input[:CUT], output[:CUT], (date or "")[:10]] for input, output, date in head],
        "stamp": views.stamp(),
    }


def brought(paths: Sequence[Path], pasted: str | None) -> importing.Source | None:
    """What the person brings: a paste, a table, or notes; raises BadInput where a copy is no longer there."""
    if pasted and pasted.strip():
        return Pasted(pasted)
    for path in paths:
        if not path.exists():
            raise BadInput(
                f"The copy of {path.name} that the browser sent is gone, because it was imported or its window was"
                " closed; choose the file again."
            )
    if len(paths) == 1:
        return paths[0]
    return Notes(tuple(paths)) if paths else None


def _named(choice: Any) -> str | None:
    """A task or a column that was chosen; None: none was."""
    return str(choice) if choice else None


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services) -> None:
        self._workspace, self._uploads, self._imports = services.workspace, services.uploads, services.imports

    def _chosen(self, request: gr.Request, files: Sent | None, pasted: str | None) -> importing.Source | None:
        """What is brought now; copies of what was chosen here before go."""
        paths = [Path(file["path"]) for file in files or ()]
        self._uploads.hold(session_of(request), PART, paths)
        return brought(paths, pasted)

    def clear(self) -> tuple[Any, ...]:
        """Nothing brought and nothing to look at."""
        return None, "", {}, *(gr.Dropdown(visible=False) for _ in range(4)), gr.Button(visible=False)

    def preview(
        self, request: gr.Request, files: Sent | None, pasted: str | None, person: str | None, *chosen: str
    ) -> tuple[Any, ...]:
        """What is in it, and how it would be read; `chosen` are task and columns that the person picked."""
        source = self._chosen(request, files, pasted)
        if source is None:
            return self.clear()[2:]
        named: dict[str, Any] = dict(zip(("task", "input", "output", "date"), map(_named, chosen), strict=False))
        preview = importing.preview_file(
            source, user=(person or "").strip() or None, workspace=self._workspace, **named
        )
        mapping, columns = preview.mapping, list(preview.columns)
        return (
            preview_view(preview),
            gr.Dropdown(choices=task_choices(self._workspace), value=mapping.task, visible=True),
            _columns(columns, mapping.input),
            _columns(columns, mapping.output),
            _columns(columns, mapping.date),
            gr.Button(visible=True),
        )

    def _take_in(self, brought: importing.Source, progress: Any, **how: Any) -> views.View:
        """Import it, a bar and every window being told how far that is."""
        with self._imports.begin() as tell:

            def listen(advance: Advance) -> None:
                now = tell(advance)
                left = now.seconds_left
                more = "" if left is None else strings.TIME_LEFT.format(time=views.duration(left))
                progress(now.share, desc=now.words + more)

            try:
                return views.imported_report(importing.import_file(self._workspace, brought, listen=listen, **how))
            except underway.Stopped:
                return {"headline": strings.IMPORT_STOPPED, "rejected": [], "csv": "", "stamp": views.stamp()}

    def take_in(
        self,
        request: gr.Request,
        files: Sent | None,
        pasted: str | None,
        person: str | None,
        task: str,
        input: str,
        output: str,
        date: str,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> views.View:
        """Import it with the chosen columns."""
        source = self._chosen(request, files, pasted)
        if source is None:
            raise BadInput("There is nothing to import; choose a file or paste a text first.")
        report = self._take_in(
            source,
            progress,
            task=_named(task),
            input=_named(input),
            output=_named(output),
            date=_named(date),
            user=(person or "").strip() or None,
        )
        # After a refusal the copy stays, so that it can be tried another way.
        self._uploads.hold(session_of(request), PART, ())
        return report

    def take_in_sample(self, progress: Any = gr.Progress()) -> views.View:  # noqa: B008
        """Import the sample history."""
        with importlib.resources.as_file(SAMPLE) as path:
            return self._take_in(path, progress, source=strings.SAMPLE_SOURCE)


def _lay_out_brought() -> tuple[list[gr.components.Component], gr.Button, gr.Button]:
    with gr.Row(equal_height=True):
        files = gr.File(
            label=strings.IMPORT_FILE, file_types=FILE_TYPES, type="filepath", file_count="multiple", height=124
        )
        with gr.Column(min_width=200, scale=0):
            sample = gr.Button(strings.SAMPLE_BUTTON, variant="primary", elem_id="sample-button")
    with gr.Accordion(strings.OTHER_WAYS, open=False):
        pasted = gr.Textbox(label=strings.PASTE, placeholder=strings.PASTE_HINT, lines=6, max_lines=14, elem_id="paste")
        with gr.Row():
            person = gr.Textbox(label=strings.PERSON, info=strings.PERSON_INFO)
            look = gr.Button(strings.LOOK, min_width=140, scale=0)
    return [files, pasted, person], look, sample


def _lay_out_mapping() -> list[gr.components.Component]:
    labels = (strings.INPUT_COLUMN, strings.OUTPUT_COLUMN, strings.DATE_COLUMN)
    with gr.Row():
        return [
            gr.Dropdown([], label=strings.TASK, visible=False, min_width=150),
            *(gr.Dropdown([], label=label, visible=False, min_width=150) for label in labels),
        ]


def lay_out() -> Layout:
    """Everything of it, in its order on the page."""
    parts, look_button, sample_button = _lay_out_brought()
    return Layout(
        brought=parts,
        look_button=look_button,
        sample_button=sample_button,
        preview=drawn("preview"),
        mapping=_lay_out_mapping(),
        import_button=gr.Button(strings.IMPORT_BUTTON, variant="primary", visible=False, elem_id="import-button"),
        stop_button=gr.Button(strings.STOP_IMPORT, visible=False, elem_id="import-stop"),
        ended=gr.Number(value=0, visible=False),
        report=drawn("report"),
    )


def wire(at: Layout, services: Services, query: list[gr.components.Component], listing: gr.HTML, load: Any) -> None:
    """Connect it; `load` draws the list below again after an import."""
    actions = Actions(services)
    previewed = [at.preview, *at.mapping, at.import_button]
    preview = shown(actions.preview)
    at.brought[0].change(preview, at.brought, previewed, api_name="preview_history", **UNCHECKED)
    at.look_button.click(preview, at.brought, previewed, api_name="preview_pasted", **UNCHECKED)
    for place, choice in enumerate(at.mapping):
        # A new task is guessed its columns anew; a new column leaves the others as they are.
        chosen = at.mapping[:1] if place == 0 else at.mapping
        name = ("task", "input", "output", "date")[place]
        choice.input(preview, [*at.brought, *chosen], previewed, api_name=f"preview_{name}", **UNCHECKED)
    imported = at.import_button.click(
        shown(actions.take_in), [*at.brought, *at.mapping], at.report, api_name="import_history", js=BAR_IN_SIGHT,
        **UNCHECKED,
    )  # fmt: skip
    sample = at.sample_button.click(shown(actions.take_in_sample), None, at.report, api_name="import_sample")
    imported.success(actions.clear, None, [*at.brought[:2], *previewed], api_visibility="private")
    for done in (imported, sample):
        done.success(load, query, listing, show_progress="hidden", api_visibility="private")
    at.stop_button.click(services.imports.stop, None, None, api_name="stop_import")
    at.ended.change(load, query, listing, show_progress="hidden", api_visibility="private")


def poll(services: Services) -> tuple[Any, ...]:
    """What `Layout.polled` shows now."""
    return gr.Button(visible=services.imports.now is not None), services.imports.ended
