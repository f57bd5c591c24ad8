"""The Write tab: the same text without and with the adapter side by side, and a chat with the adapter that is on."""

import contextlib
import dataclasses
import functools
import importlib.resources
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from app.device.rendering import Message
from app.errors import BadInput
from app.pipeline import comparison
from app.pipeline.comparison import Drafts
from app.pipeline.generation import Draft, keep_answer
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.ui.history import TASK_CHOICES
from app.ui.notices import shown
from app.ui.parts import QUIET, drawn, lead
from app.ui.services import Services
from personal_store import records
from personal_store.nouns import RecordQuery

PROMPTS = importlib.resources.files("assets") / "sample" / "prompts.json"
SAMPLES = 5
CUT = 110
"""Characters of a sample that its button shows."""
NO_CONVERSATION: views.View = {"messages": [], "empty": views.empty(strings.NO_CHAT)}


@dataclasses.dataclass(frozen=True)
class WriteTab:
    """What the page needs of this tab."""

    samples: gr.Dropdown
    task: gr.Dropdown
    load: Callable[[str | None], Any]
    """Offers records of the history as samples."""


class Going:
    """The answers that are being written; `cancels=` would leave them running unseen."""

    def __init__(self) -> None:
        self._stops: set[threading.Event] = set()

    @contextlib.contextmanager
    def begin(self) -> Iterator[threading.Event]:
        """An event that is set once somebody presses Stop."""
        stop = threading.Event()
        self._stops.add(stop)
        try:
            yield stop
        finally:
            self._stops.discard(stop)

    def stop(self) -> None:
        """End what is being written."""
        for stop in tuple(self._stops):
            stop.set()


@dataclasses.dataclass(frozen=True)
class _Tasks:
    task: gr.Dropdown
    samples: gr.Dropdown
    text: gr.Textbox
    write_button: gr.Button
    stop_button: gr.Button
    results: list[gr.components.Component]
    """The answers, the comparison's id, the After answer's id."""
    votes: list[gr.Button]
    keep_button: gr.Button


@dataclasses.dataclass(frozen=True)
class _Chat:
    conversation: gr.HTML
    messages: gr.State
    message: gr.Textbox
    send_button: gr.Button
    stop_button: gr.Button
    clear_button: gr.Button


def side(key: str, title: str, draft: Draft | None, waiting: bool) -> views.View:
    """One answer as it stands, and which adapter was really active."""
    if draft is None:
        return {"id": key, "title": title, "adapter": "", "text": strings.READY_TO_COMPARE, "speed": "", "empty": True}
    speed = draft.tokens / draft.seconds if draft.seconds else 0.0
    words = f"{draft.model}, {draft.tokens} tokens" + (f", {speed:.0f} tokens/s" if speed else "")
    adapter = draft.adapter_name or strings.BASE_MODEL
    if draft.base_name:
        adapter = f"{adapter}, base {draft.base_name}"
    return {"id": key, "title": title, "adapter": adapter, "text": draft.text, "speed": words, "waiting": waiting}


def answers_view(drafts: Drafts | None, waiting: bool = False) -> views.View:
    """Both answers."""
    before, after = (drafts.before, drafts.after) if drafts else (None, None)
    return {
        "sides": [
            side("before", strings.BEFORE, before, waiting),
            side("after", strings.AFTER, after, waiting),
        ]
    }


def answer_turn(number: int, draft: Draft) -> views.View:
    """The model's turn of a conversation as it stands."""
    answer = side(str(number), "", draft, False)
    return {"id": number, "role": "model", "text": draft.text, "detail": f"{answer['adapter']}, {answer['speed']}"}


def earlier_turns(messages: list[views.View]) -> list[Message]:
    """The conversation so far as the model reads it."""
    roles: dict[str, Any] = {"user": "user", "model": "assistant"}
    return [Message(roles[message["role"]], message["text"]) for message in messages]


def sample_texts(workspace: Workspace, task: str | None) -> list[str]:
    """Texts to try: the sample history's own new ones, else inputs of the newest records, which are held out."""
    with workspace.store() as store:
        found = records.find_records(store, RecordQuery(task=task or None, limit=SAMPLES)).records
    if found and found[0].source == strings.SAMPLE_SOURCE:
        return list(json.loads(PROMPTS.read_text(encoding="utf-8")).get(found[0].task, []))
    return [record.input for record in found]


def _ids(drafts: Drafts | None) -> tuple[int | None, int | None]:
    """Ids of the comparison and of the After answer, once they are stored."""
    if drafts is None or drafts.comparison is None:
        return None, None
    return drafts.comparison.id, drafts.comparison.after_id


def _buttons(on: bool, count: int = 4) -> tuple[Any, ...]:
    return tuple(gr.Button(interactive=on) for _ in range(count))


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services) -> None:
        self._writer, self._workspace = services.writer, services.workspace
        self.going = Going()

    def load(self, task: str | None) -> Any:
        """Texts of that task to try."""
        choices = [(" ".join(text.split())[:CUT], text) for text in sample_texts(self._workspace, task)]
        return gr.Dropdown(choices=choices, value=None, visible=bool(choices))

    def write(self, text: str, task: str) -> Iterator[tuple[Any, ...]]:
        """Both answers as they grow; the comparison's id when they are done."""
        if not (text or "").strip():
            raise BadInput("There is no text to write about; paste one, or choose one of your records.")
        last = None
        with self.going.begin() as stop:
            for last in comparison.stream_comparison(self._writer, text, task):
                if stop.is_set():
                    break
                if last.comparison is None:
                    yield answers_view(last, waiting=True), None, None, *_buttons(False)
        comparison_id, answer_id = _ids(last)
        yield answers_view(last), comparison_id, answer_id, *_buttons(comparison_id is not None)

    def vote(self, choice: Any, comparison_id: float | None) -> tuple[Any, ...]:
        """Say which answer is better."""
        if not comparison_id:
            raise BadInput("There is nothing to vote on yet; press Write first.")
        comparison.vote(self._workspace, int(comparison_id), choice)
        gr.Info(strings.VOTED)
        return _buttons(False, 3)

    def keep(self, answer_id: float | None) -> Any:
        """Store the After answer as a record of the person."""
        if not answer_id:
            raise BadInput("There is no answer to keep yet; press Write first.")
        kept = keep_answer(self._workspace, int(answer_id))
        gr.Info(strings.KEPT if kept is not None else strings.KEPT_BEFORE)
        return gr.Button(interactive=False)

    def chat(self, message: str, messages: list[views.View]) -> Iterator[tuple[Any, ...]]:
        """Answer a message with the adapter that is on; the conversation as it grows."""
        if not (message or "").strip():
            raise BadInput("The message is empty; write something first.")
        asked = [*messages, {"id": len(messages), "role": "user", "text": message}]
        yield {"messages": asked}, asked, ""
        with self.going.begin() as stop:
            for draft in self._writer.stream(message, "chat", "active", earlier=earlier_turns(messages)):
                talk = [*asked, answer_turn(len(asked), draft)]
                yield {"messages": talk}, talk, ""
                if stop.is_set():
                    break

    def clear(self) -> tuple[Any, ...]:
        """Begin a new conversation."""
        return NO_CONVERSATION, []


def _lay_out_answers() -> list[gr.components.Component]:
    return [
        drawn("answers", answers_view(None), elem_id="answers"),
        gr.Number(visible="hidden", label="Comparison", precision=0),
        gr.Number(visible="hidden", label="Answer", precision=0),
    ]


def _lay_out_tasks() -> _Tasks:
    with gr.Row():
        task = gr.Dropdown(TASK_CHOICES, value="title", label=strings.TASK, scale=1, min_width=150)
        samples = gr.Dropdown([], label=strings.SAMPLE_TEXTS, scale=4, min_width=240, visible=False)
    text = gr.Textbox(label=strings.TEXT, placeholder=strings.TEXT_HINT, lines=4, max_lines=12, elem_id="write-text")
    with gr.Row():
        write_button = gr.Button(strings.WRITE_BUTTON, variant="primary", elem_id="write-button")
        stop_button = gr.Button(strings.STOP, scale=0, min_width=110)
    results = _lay_out_answers()
    with gr.Row():
        labels = (strings.BEFORE_BETTER, strings.SAME, strings.AFTER_BETTER)
        votes = [gr.Button(label, interactive=False, min_width=140) for label in labels]
        keep_button = gr.Button(strings.KEEP, interactive=False, min_width=220)
    return _Tasks(task, samples, text, write_button, stop_button, results, votes, keep_button)


def _lay_out_chat() -> _Chat:
    conversation, messages = drawn("chat", NO_CONVERSATION, elem_id="conversation"), gr.State([])
    message = gr.Textbox(label=strings.MESSAGE, placeholder=strings.MESSAGE_HINT, lines=1, max_lines=8)
    with gr.Row():
        send_button = gr.Button(strings.SEND, variant="primary")
        stop_button = gr.Button(strings.STOP, scale=0, min_width=110)
        clear_button = gr.Button(strings.CLEAR, scale=0, min_width=170)
    return _Chat(conversation, messages, message, send_button, stop_button, clear_button)


def _wire_tasks(at: _Tasks, actions: Actions) -> None:
    asked = [at.write_button.click, at.text.submit]
    results = [*at.results, *at.votes, at.keep_button]
    gr.on(asked, shown(actions.write), [at.text, at.task], results, api_name="write", show_progress="hidden")
    for button, choice in zip(at.votes, ("before", "same", "after"), strict=True):
        vote = functools.partial(actions.vote, choice)
        button.click(shown(vote), at.results[1], at.votes, api_name=f"vote_{choice}")
    at.keep_button.click(shown(actions.keep), at.results[2], at.keep_button, api_name="keep_answer")
    at.task.change(shown(actions.load), at.task, at.samples, api_name="sample_prompts", **QUIET)
    at.samples.input(lambda chosen: chosen, at.samples, at.text, api_visibility="private", **QUIET)


def _wire_chat(at: _Chat, actions: Actions) -> None:
    asked = [at.send_button.click, at.message.submit]
    results = [at.conversation, at.messages, at.message]
    gr.on(asked, shown(actions.chat), [at.message, at.messages], results, api_name="chat", show_progress="hidden")
    at.clear_button.click(actions.clear, None, results[:2], api_name="new_conversation")


def build_write(services: Services) -> WriteTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    actions = Actions(services)
    lead(strings.WRITE_LEAD)
    with gr.Tabs():
        with gr.Tab(strings.TASK_TAB):
            tasks = _lay_out_tasks()
        with gr.Tab(strings.CHAT_TAB):
            chat = _lay_out_chat()
    _wire_tasks(tasks, actions)
    _wire_chat(chat, actions)
    stops = [tasks.stop_button.click, chat.stop_button.click]
    gr.on(stops, actions.going.stop, None, None, api_name="stop_writing", queue=False)
    return WriteTab(tasks.samples, tasks.task, shown(actions.load))
