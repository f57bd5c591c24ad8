"""Names, notes, export and import of adapters: a part that the Personalise tab mounts below its list.

The list itself is the tab's. This part is closed at first and looks at the adapters when it is opened.
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from app.errors import BadInput
from app.pipeline import adapters
from app.ui import strings, views
from app.ui.notices import shown
from app.ui.parts import UNCHECKED, drawn
from app.ui.services import Services
from app.ui.uploads import session_of
from personal_store.nouns import Adapter

PART = "adapter"
"""Under which this part of a window holds the copies of a folder while it is imported."""
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def _label(adapter: Adapter) -> str:
    return f"{adapter.name} (number {adapter.id})" + (f", {' '.join(adapter.note.split())}" if adapter.note else "")


def _chosen(adapter_id: float | None) -> int:
    if adapter_id is None:
        raise BadInput("No adapter is chosen; choose one of the list first.")
    try:
        return int(adapter_id)
    except (TypeError, ValueError):
        raise BadInput(
            f"An adapter is chosen by its number, got {adapter_id!r}; `cdcda adapters` lists them."
        ) from None


def _folder_name(file: str) -> str:
    """What the folder was called that the browser sent file by file; Gradio may have put a hash in its place."""
    name = Path(file).parent.name
    return strings.ADAPTER_IMPORTED if re.fullmatch("[0-9a-f]{32,}", name) else name


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services) -> None:
        self._workspace, self._uploads = services.workspace, services.uploads

    def choices(self, adapter_id: float | None = None) -> tuple[Any, str, str]:
        """The adapters to choose from, and name and note of the chosen one, else of the newest."""
        found = adapters.listing(self._workspace)
        wanted = None if adapter_id is None else _chosen(adapter_id)
        chosen = next((each for each in found if each.id == wanted), found[0] if found else None)
        choice = gr.Dropdown(choices=[(_label(each), each.id) for each in found], value=chosen.id if chosen else None)
        return choice, chosen.name if chosen else "", chosen.note if chosen else ""

    def save(self, adapter_id: float | None, name: str, note: str) -> tuple[Any, ...]:
        """Keep a name and a note."""
        id = _chosen(adapter_id)
        adapters.rename(self._workspace, id, name or "")
        saved = adapters.note(self._workspace, id, note or "")
        return *self.choices(id), views.notice(strings.ADAPTER_SAVED, saved.name, "good")

    def delete(self, adapter_id: float | None) -> tuple[Any, ...]:
        """Delete an adapter with its files."""
        gone = adapters.delete(self._workspace, _chosen(adapter_id))
        return *self.choices(), views.notice(strings.ADAPTER_DELETED, gone.name, "good")

    def export(self, adapter_id: float | None, form: adapters.Form) -> views.View:
        """Write an adapter in a form for other programs, below the data folder."""
        made = adapters.export(self._workspace, _chosen(adapter_id), form)
        text = f"{made.path}, {views.bytes_text(made.bytes)}. {strings.EXPORT_WARNING}"
        return views.notice(strings.ADAPTER_EXPORTED, text, "good")

    def bring_in(self, request: gr.Request, files: Sequence[str] | None) -> tuple[Any, ...]:
        """Bring the files of a PEFT folder back in as an adapter; the copies that the browser sent go."""
        if not files:
            raise BadInput("There is no folder to import; choose one that was exported as a PEFT folder.")
        session = session_of(request)
        self._uploads.hold(session, PART, files)
        try:
            return self._bring_in(files)
        finally:
            self._uploads.hold(session, PART, ())

    def _bring_in(self, files: Sequence[str]) -> tuple[Any, ...]:
        with tempfile.TemporaryDirectory(prefix=adapters.UNFINISHED, dir=self._workspace.data_dir) as parent:
            folder = Path(parent) / _folder_name(files[0])
            folder.mkdir()
            for file in files:
                shutil.copyfile(file, folder / Path(file).name)
            made = adapters.bring_in(self._workspace, folder)
        words = strings.ADAPTER_IMPORTED_TEXT.format(name=made.name)
        return *self.choices(made.id), views.notice(strings.ADAPTER_IMPORTED, words, "good")


def build_adapters(services: Services) -> None:
    """Lay out and wire the part; must stand inside the Personalise tab."""
    actions = Actions(services)
    with gr.Accordion(strings.MANAGE_ADAPTERS, open=False) as part:
        which = gr.Dropdown([], label=strings.WHICH_ADAPTER)
        name = gr.Textbox(label=strings.ADAPTER_NAME, max_length=adapters.LONGEST_NAME)
        note = gr.Textbox(label=strings.ADAPTER_NOTE, lines=2, max_length=adapters.LONGEST_NOTE)
        save = gr.Button(strings.SAVE_ADAPTER)
        with gr.Row():
            form = gr.Dropdown(list(strings.ADAPTER_FORMS), value="peft", label=strings.ADAPTER_FORM, min_width=200)
            export = gr.Button(strings.EXPORT_ADAPTER, min_width=120)
            bring = gr.UploadButton(strings.IMPORT_ADAPTER, file_count="directory", min_width=160)
        with gr.Accordion(strings.DELETE_ADAPTER, open=False):
            delete = gr.Button(strings.DELETE_FOR_SURE, variant="stop")
        said = drawn("notice", elem_id="adapters-said")
    shown_of_one: list[gr.components.Component] = [which, name, note]
    part.expand(shown(actions.choices), which, shown_of_one, **_QUIET)
    which.input(
        shown(actions.choices), which, shown_of_one, api_name="show_adapter", show_progress="hidden", **UNCHECKED
    )
    save.click(shown(actions.save), shown_of_one, [*shown_of_one, said], api_name="save_adapter", **UNCHECKED)
    export.click(shown(actions.export), [which, form], said, api_name="export_adapter", **UNCHECKED)
    delete.click(shown(actions.delete), which, [*shown_of_one, said], api_name="delete_adapter", **UNCHECKED)
    bring.upload(shown(actions.bring_in), bring, [*shown_of_one, said], api_name="import_adapter")
