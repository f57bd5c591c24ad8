"""The person's data as a whole in the Settings tab: taken out, its deletions made final, and all of it deleted."""

import datetime

import gradio as gr
from gradio.events import Dependency

from app.errors import BadInput
from app.pipeline import archive, forgetting
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.ui.notices import shown
from app.ui.parts import drawn
from app.wording import still_held


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def _held(self, erased: bool) -> list[str]:
        return still_held(erased, forgetting.archives(self._workspace))

    def export(self) -> views.View:
        """Write everything of the person into one archive in the data folder."""
        folder = self._workspace.exports
        folder.mkdir(mode=0o700, exist_ok=True)
        made = archive.export_archive(self._workspace, folder / f"cdcda-{datetime.datetime.now():%Y-%m-%d-%H%M%S}.zip")
        return views.notice(strings.EXPORTED, f"{made.path}, {views.bytes_text(made.bytes)}.", "good")

    def make_final(self) -> views.View:
        """Leave no trace of deleted records and earlier texts."""
        held = self._held(forgetting.forget_deleted(self._workspace))
        gone = f"{strings.FINAL_TEXT}{'' if held else strings.NO_TRACE}."
        return views.notice(strings.FINAL_DONE, " ".join([gone, *held]), "warn" if held else "good")

    def delete_everything(self, word: str) -> views.View:
        """Delete all data of the person, once they have typed the word."""
        if (word or "").strip().lower() != strings.WIPE_WORD:
            raise BadInput(f"This deletes all your data; type {strings.WIPE_WORD!r} into the field first.")
        held = self._held(forgetting.delete_everything(self._workspace))
        return views.notice(strings.WIPED, " ".join([strings.WIPED_TEXT, *held]), "warn")


def build_belongings(workspace: Workspace) -> Dependency:
    """Lay out and wire the part; must stand inside the Settings tab. What deletes everything, which more follows."""
    actions = Actions(workspace)
    gr.Markdown(strings.DATA_TITLE)
    with gr.Row():
        export = gr.Button(strings.EXPORT, min_width=140)
        final = gr.Button(strings.MAKE_FINAL, min_width=140)
    with gr.Accordion(strings.WIPE, open=False):
        word = gr.Textbox(label=strings.WIPE_LABEL)
        wipe = gr.Button(strings.WIPE, variant="stop")
    said = drawn("notice", elem_id="data-said")
    export.click(shown(actions.export), None, said, api_name="export")
    final.click(shown(actions.make_final), None, said, api_name="make_final")
    return wipe.click(shown(actions.delete_everything), word, said, api_name="delete_everything")
