"""The Write tab: task panels with both answers side by side, and a conversation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.errors import SHOWN
from app.pipeline import switching
from app.ui import state, strings, views
from app.ui.comparing import Comparing, lay_out_panels, wire_panels
from app.ui.going import Going
from app.ui.notices import shown
from app.ui.parts import drawn, lead
from app.ui.services import Services
from app.ui.talking import Talking, lay_out_conversation, wire_conversation
from personal_store import training


@dataclasses.dataclass(frozen=True)
class WriteTab:
    """What the page needs of this tab."""

    task: gr.Radio
    loaded: list[gr.components.Component]
    load: Callable[[str | None], Any]
    """Offers the tasks there are, and records as samples."""
    polled: list[gr.components.Component]
    poll: Callable[[], tuple[Any, ...]]
    """Draws `polled` from the whole state."""


def note_view(services: Services) -> views.View:
    """What a person should know before they write: that no adapter fits, or that a job makes answers slower."""
    if running := state.running_job(services.workspace):
        title = strings.SLOW_TITLE.format(job=strings.JOB_TITLES[running.kind])
        return views.notice(title, strings.SLOW_TEXT)
    with services.workspace.store() as store:
        if training.latest_adapter(store) is None:
            return views.notice(*strings.NO_ADAPTER_YET, tab="personalise")
    try:
        fitting = switching.fitting(services.workspace)
    except SHOWN as error:
        return views.notice(strings.NO_MODEL, str(error), "warn", tab="settings")
    return {} if fitting else views.notice(*strings.NO_ADAPTER_FOR_THIS_MODEL, tab="personalise")


def build_write(services: Services) -> WriteTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    going = Going()
    comparing, talking = Comparing(services, going), Talking(services, going)
    lead(strings.WRITE_LEAD)
    note = drawn("notice", elem_id="write-note")
    with gr.Tabs():
        with gr.Tab(strings.TASK_TAB):
            panels = lay_out_panels(comparing)
        with gr.Tab(strings.CHAT_TAB):
            conversation = lay_out_conversation(comparing.keep_shown)
    wire_panels(panels, comparing)
    wire_conversation(conversation, talking)
    stops = [panels.stop_button.click, conversation.stop_button.click]
    gr.on(stops, going.stop, None, None, api_name="stop_writing", queue=False)
    loaded: list[gr.components.Component] = [panels.task, panels.text, panels.samples]
    return WriteTab(panels.task, loaded, shown(comparing.load), [note], lambda: (note_view(services),))
