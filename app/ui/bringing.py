"""The upper part of the History tab: choose or paste, see how it will be read, correct that, import."""

import dataclasses
import importlib.resources
from pathlib import Path
from typing import Any

import gradio as gr

from app.errors import BadInput
from app.pipeline import importing, tasks
from app.pipeline.notes import Notes, Pasted
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.ui.notices import shown
from app.ui.parts import drawn
from app.ui.uploads import gone_after

SAMPLE = importlib.resources.files("assets") / "sample" / "history.csv"
FILE_TYPES = [".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".markdown"]
PREVIEWED = 5
"""Rows of a file that are shown before it is imported."""
CUT = 300
"""Characters of a text that are shown in that preview."""


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
    report: gr.HTML


def task_choices(workspace: Workspace) -> list[tuple[str, str]]:
    """Every task by its title, the person's own too."""
    return [(task.title, task.name) for task in tasks.all_tasks(workspace)]


def _columns(choices: list[str], chosen: str | None) -> Any:
    return gr.Dropdown(choices=[(strings.NO_COLUMN, ""), *choices], value=chosen or "", visible=True)


def preview_view(preview: importing.Preview) -> views.View:
    """The head of a file as its mapping reads it."""
    rejected = f", {len(preview.rejected)} lines that are not" if preview.rejected else ""
    head = preview.rows[:PREVIEWED]
    problem = f" {preview.problem}" if preview.problem else ""
    return {
        "summary": f"{preview.format.upper()}, {preview.encoding}. {preview.usable} usable records{rejected}."
        f"{problem} The first {len(head)} as they will be read:",
        "columns": ["What it is about", "What you wrote", "Date"],
        "rows": [[input[:CUT], output[:CUT], (date or "")[:10]] for input, output, date in head],
        "stamp": views.stamp(),
    }


def brought(files: list[str] | None, pasted: str | None) -> importing.Source | None:
    """What the person brings: a paste, a table, or notes."""
    if pasted and pasted.strip():
        return Pasted(pasted)
    paths = tuple(map(Path, files or ()))
    if len(paths) == 1 and paths[0].suffix.lower() not in (".md", ".markdown"):
        return paths[0]
    return Notes(paths) if paths else None


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def clear(self) -> tuple[Any, ...]:
        """Nothing brought and nothing to look at."""
        return None, "", {}, *(gr.Dropdown(visible=False) for _ in range(4)), gr.Button(visible=False)

    def preview(self, files: list[str] | None, pasted: str | None, person: str | None, *chosen: str) -> tuple[Any, ...]:
        """What is in it, and how it would be read; `chosen` are task and columns that the person picked."""
        source = brought(files, pasted)
        if source is None:
            return self.clear()[2:]
        named: dict[str, Any] = dict(
            zip(("task", "input", "output", "date"), (name or None for name in chosen), strict=False)
        )
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

    def take_in(
        self,
        files: list[str] | None,
        pasted: str | None,
        person: str | None,
        task: str,
        input: str,
        output: str,
        date: str,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> views.View:
        """Import it with the chosen columns."""
        source = brought(files, pasted)
        if source is None:
            raise BadInput("There is nothing to import; choose a file or paste a text first.")
        with gone_after(files or ()):
            done = importing.import_file(
                self._workspace,
                source,
                task=task or None,
                input=input or None,
                output=output or None,
                date=date or None,
                user=(person or "").strip() or None,
                listen=lambda done, total: progress((done, total), desc=strings.IMPORTING, unit="records"),
            )
        return views.imported_report(done)

    def take_in_sample(self) -> views.View:
        """Import the sample history."""
        with importlib.resources.as_file(SAMPLE) as path:
            done = importing.import_file(self._workspace, path, source=strings.SAMPLE_SOURCE)
        return views.imported_report(done)


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
        report=drawn("report"),
    )


def wire(at: Layout, workspace: Workspace, query: list[gr.components.Component], listing: gr.HTML, load: Any) -> None:
    """Connect it; `load` draws the list below again after an import."""
    actions = Actions(workspace)
    previewed = [at.preview, *at.mapping, at.import_button]
    at.brought[0].change(shown(actions.preview), at.brought, previewed, api_name="preview_history")
    at.look_button.click(shown(actions.preview), at.brought, previewed, api_name="preview_pasted")
    for place, choice in enumerate(at.mapping):
        # A new task is guessed its columns anew; a new column leaves the others as they are.
        chosen = at.mapping[:1] if place == 0 else at.mapping
        name = ("task", "input", "output", "date")[place]
        choice.input(shown(actions.preview), [*at.brought, *chosen], previewed, api_name=f"preview_{name}")
    imported = at.import_button.click(
        shown(actions.take_in), [*at.brought, *at.mapping], at.report, api_name="import_history"
    )
    sample = at.sample_button.click(shown(actions.take_in_sample), None, at.report, api_name="import_sample")
    imported.success(actions.clear, None, [*at.brought[:2], *previewed], api_visibility="private")
    for done in (imported, sample):
        done.success(load, query, listing, show_progress="hidden", api_visibility="private")
