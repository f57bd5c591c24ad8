"""The part of the Settings tab that brings an archive back, where Export wrote one."""

import gradio as gr
from gradio.events import Dependency

from app.errors import BadInput
from app.pipeline import archive
from app.ui import strings, views
from app.ui.notices import shown
from app.ui.parts import drawn
from app.ui.services import Services
from app.ui.uploads import session_of
from app.wording import counted

PART = "archive"
"""Under which this part of a window holds the copy of what was chosen here."""


def build_restoring(services: Services) -> Dependency:
    """Lay out and wire it; must stand inside a gr.Tab. What brings an archive back, which more follows."""

    def hold(request: gr.Request, path: str | None) -> None:
        services.uploads.hold(session_of(request), PART, [path] if path else [])

    def restore(request: gr.Request, path: str | None) -> tuple[None, views.View]:
        hold(request, path)
        if not path:
            raise BadInput(f"There is no archive to bring back; choose the ZIP file that {strings.EXPORT!r} wrote.")
        done = archive.import_archive(services.workspace, path)
        hold(request, None)
        text = strings.RESTORED_TEXT.format(
            records=counted(done.rows.get("records", 0), "record"), files=counted(done.files, "file")
        )
        return None, views.notice(strings.RESTORED, text, "good")

    with gr.Accordion(strings.RESTORE, open=False):
        file = gr.File(label=strings.RESTORE_LABEL, file_types=[".zip"], type="filepath", height=124)
        button = gr.Button(strings.RESTORE)
        said = drawn("notice", elem_id="restore-said")
    file.change(hold, file, None, show_progress="hidden", api_visibility="private")
    return button.click(shown(restore), file, [file, said], api_name="restore")
