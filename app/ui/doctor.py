"""The doctor in the Settings tab: what this computer can do, each finding good or with what to do about it."""

import dataclasses

import gradio as gr

from app.ui import strings, views
from app.ui.notices import shown
from app.ui.parts import drawn
from app.ui.services import Services


class Actions:
    """What a person can do here."""

    def __init__(self, services: Services) -> None:
        self._workspace = services.workspace

    def examine(self) -> views.View:
        """Look at this computer: processor, memory, disk, GPU, the models, a training step in four bits."""
        # Looks into torch and bitsandbytes, so it is imported only when it is asked for.
        from app.device import machine

        found = machine.examine(self._workspace.models, self._workspace.data_dir)
        return {"rows": [dataclasses.asdict(finding) for finding in found]}


def build_doctor(services: Services) -> None:
    """Lay out and wire the part; must stand inside the Settings tab."""
    gr.Markdown(strings.DOCTOR_TITLE)
    button = gr.Button(strings.EXAMINE)
    findings = drawn("findings", elem_id="findings")
    button.click(shown(Actions(services).examine), None, findings, api_name="doctor")
