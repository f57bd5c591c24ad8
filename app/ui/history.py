"""The History tab: import a file, look at it first, and see, search and forget records."""

import dataclasses
import importlib.resources
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from app.pipeline import forgetting, importing
from app.pipeline.workspace import Workspace
from app.tasks import TASKS
from app.ui import strings, views
from app.ui.notices import answered, shown
from app.ui.parts import QUIET, drawn, lead
from app.ui.services import Services
from personal_store import records
from personal_store.nouns import RecordQuery

SAMPLE = importlib.resources.files("assets") / "sample" / "history.csv"
TASK_CHOICES = [(task.title, task.name) for task in TASKS]
FILE_TYPES = [".csv", ".tsv", ".json", ".jsonl", ".txt"]
PREVIEWED = 5
"""Rows of a file that are shown before it is imported."""
CUT = 300
"""Characters of a text that are shown in that preview."""


@dataclasses.dataclass(frozen=True)
class HistoryTab:
    """What the page needs of this tab."""

    listing: gr.HTML
    query: list[gr.components.Component]
    """Inputs of `load`: search, task, order."""
    load: Callable[..., views.View]
    """Draws the first page of the list."""


@dataclasses.dataclass(frozen=True)
class _Layout:
    file: gr.File
    sample_button: gr.Button
    preview: gr.HTML
    mapping: list[gr.components.Component]
    """Task, input column, output column, date column."""
    import_button: gr.Button
    report: gr.HTML
    query: list[gr.components.Component]
    listing: gr.HTML


def _columns(choices: list[str], chosen: str | None) -> Any:
    return gr.Dropdown(choices=[(strings.NO_COLUMN, ""), *choices], value=chosen or "", visible=True)


def preview_view(preview: importing.Preview) -> views.View:
    """The head of a file as its mapping reads it."""
    rejected = f", {len(preview.rejected)} lines that are not" if preview.rejected else ""
    head = preview.rows[:PREVIEWED]
    return {
        "summary": f"{preview.format.upper()}, {preview.encoding}. {preview.usable} usable records{rejected}."
        f" The first {len(head)} as they will be read:",
        "columns": ["What it is about", "What you wrote", "Date"],
        "rows": [[input[:CUT], output[:CUT], (date or "")[:10]] for input, output, date in head],
        "stamp": views.stamp(),
    }


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def load(self, text: str, task: str, order: Any, page: int = 1) -> views.View:
        """One page of the records that match."""
        offset = (max(1, page) - 1) * views.PAGE_SIZE
        query = RecordQuery(text or "", task or None, None, order, offset, views.PAGE_SIZE)
        with self._workspace.store() as store:
            found, counts = records.find_records(store, query), records.count_records(store)
        return views.record_list(found, page, counts.shared, counts.total, strings.NO_RECORDS)

    def turn(self, text: str, task: str, order: Any, event: gr.EventData) -> views.View:
        """The page that a list's buttons ask for."""
        return self.load(text, task, order, int(event.page))

    def preview(self, path: str | None, task: str | None = None) -> tuple[Any, ...]:
        """What is in a file, and how it would be read."""
        if not path:
            return {}, *(gr.Dropdown(visible=False) for _ in range(4)), gr.Button(visible=False)
        preview = importing.preview_file(Path(path), task=task or None)
        mapping, columns = preview.mapping, list(preview.columns)
        return (
            preview_view(preview),
            gr.Dropdown(value=mapping.task, visible=True),
            _columns(columns, mapping.input),
            _columns(columns, mapping.output),
            _columns(columns, mapping.date),
            gr.Button(visible=True),
        )

    def take_in(
        self, path: str | None, task: str, input: str, output: str, date: str, text: str, only: str, order: Any
    ) -> tuple[Any, ...]:
        """Import a file with the chosen columns."""
        if not path:
            return {}, gr.skip()
        done = importing.import_file(
            self._workspace,
            Path(path),
            task=task or None,
            input=input or None,
            output=output or None,
            date=date or None,
        )
        return views.imported_report(done), self.load(text, only, order)

    def take_in_sample(self, text: str, only: str, order: Any) -> tuple[Any, ...]:
        """Import the sample history."""
        with importlib.resources.as_file(SAMPLE) as path:
            done = importing.import_file(self._workspace, path, source=strings.SAMPLE_SOURCE)
        return views.imported_report(done), self.load(text, only, order)

    def forget_record(self, record_id: int) -> dict[str, Any]:
        """Delete a record and everything made from it."""
        done = forgetting.forget(self._workspace, record_id)
        stale = f"; {len(done.adapters)} adapters that learned from it are marked stale" if done.adapters else ""
        return {"message": f"Record {record_id} and its {done.pairs} pairs are gone{stale}."}

    def forget(self, record_id: Any) -> dict[str, Any]:
        """The same for the list's own button."""
        return self.forget_record(int(record_id))


def _lay_out_import() -> tuple[gr.File, gr.Button]:
    with gr.Row(equal_height=True):
        file = gr.File(label=strings.IMPORT_FILE, file_types=FILE_TYPES, type="filepath", height=124)
        with gr.Column(min_width=200, scale=0):
            button = gr.Button(strings.SAMPLE_BUTTON, variant="primary", elem_id="sample-button")
    return file, button


def _lay_out_mapping() -> list[gr.components.Component]:
    labels = (strings.INPUT_COLUMN, strings.OUTPUT_COLUMN, strings.DATE_COLUMN)
    with gr.Row():
        return [
            gr.Dropdown(TASK_CHOICES, label=strings.TASK, visible=False, min_width=150),
            *(gr.Dropdown([], label=label, visible=False, min_width=150) for label in labels),
        ]


def _lay_out_query() -> list[gr.components.Component]:
    with gr.Row():
        return [
            gr.Textbox(label=strings.SEARCH, placeholder=strings.SEARCH_HINT, scale=3, min_width=180),
            gr.Dropdown([(strings.ANY_TASK, ""), *TASK_CHOICES], value="", label=strings.TASK, min_width=130),
            gr.Dropdown(list(strings.ORDERS), value="newest", label=strings.ORDER, min_width=130),
        ]


def _lay_out(actions: Actions) -> _Layout:
    lead(strings.HISTORY_LEAD)
    file, sample_button = _lay_out_import()
    return _Layout(
        file=file,
        sample_button=sample_button,
        preview=drawn("preview"),
        mapping=_lay_out_mapping(),
        import_button=gr.Button(strings.IMPORT_BUTTON, variant="primary", visible=False, elem_id="import-button"),
        report=drawn("report"),
        query=_lay_out_query(),
        listing=drawn("records", server_functions=[answered(actions.forget)], elem_id="history-records"),
    )


def _wire_import(at: _Layout, actions: Actions) -> None:
    previewed = [at.preview, *at.mapping, at.import_button]
    results = [at.report, at.listing]
    at.file.change(shown(actions.preview), at.file, previewed, api_name="preview_history")
    at.mapping[0].input(shown(actions.preview), [at.file, at.mapping[0]], previewed, api_name="preview_history_as")
    imported = at.import_button.click(
        shown(actions.take_in), [at.file, *at.mapping, *at.query], results, api_name="import_history"
    )
    imported.success(lambda: None, None, at.file, api_visibility="private")
    at.sample_button.click(shown(actions.take_in_sample), at.query, results, api_name="import_sample")


def _wire_list(at: _Layout, actions: Actions) -> None:
    changes = [component.change for component in at.query]
    gr.on(changes, shown(actions.load), at.query, at.listing, api_name="find_records", **QUIET)
    at.listing.select(shown(actions.turn), at.query, at.listing, api_visibility="private", **QUIET)
    gr.api(shown(actions.forget_record), api_name="forget_record")


def build_history(services: Services) -> HistoryTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    actions = Actions(services.workspace)
    at = _lay_out(actions)
    _wire_import(at, actions)
    _wire_list(at, actions)
    return HistoryTab(at.listing, at.query, shown(actions.load))
