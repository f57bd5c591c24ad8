"""The part of the Settings tab that brings an archive back, where Export wrote one."""

import gradio as gr

from app.errors import BadInput
from app.pipeline import archive
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.ui.notices import shown
from app.ui.parts import drawn
from app.ui.uploads import gone_after


def build_restoring(workspace: Workspace) -> None:
    """Lay out and wire it; must stand inside a gr.Tab."""

    def restore(path: str | None) -> tuple[None, views.View]:
        if not path:
            raise BadInput(f"There is no archive to bring back; choose the ZIP file that {strings.EXPORT!r} wrote.")
        with gone_after([path]):
            done = archive.import_archive(workspace, path)
        text = strings.RESTORED_TEXT.format(records=done.rows.get("records", 0), files=done.files)
        return None, views.notice(strings.RESTORED, text, "good")

    with gr.Accordion(strings.RESTORE, open=False):
        file = gr.File(label=strings.RESTORE_LABEL, file_types=[".zip"], type="filepath", height=124)
        button = gr.Button(strings.RESTORE)
        said = drawn("notice", elem_id="restore-said")
    button.click(shown(restore), file, [file, said], api_name="restore")
