"""The conversation of the Write tab: with the adapter that is on, or with the bare model."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from app.device.engines import Sampling
from app.device.rendering import Message
from app.errors import SHOWN, BadInput
from app.pipeline.generation import Draft
from app.pipeline.retrieval import RETRIEVED
from app.ui import strings, views
from app.ui.comparing import CHAT, WARMTH, speed_of, wrote
from app.ui.going import Going, paced
from app.ui.notices import answered, shown
from app.ui.parts import drawn
from app.ui.services import Services
from app.ui.uploads import session_of

NO_CONVERSATION: views.View = {"messages": [], "empty": views.empty(strings.NO_CHAT)}

GIVE_BACK = r"""(drawn, typed) => [
    {...drawn, unanswered: ""}, [drawn?.unanswered, typed].filter(Boolean).join("\n")
]"""
"""Puts a message that no answer came of before what was typed meanwhile, which the page alone knows."""


@dataclasses.dataclass(frozen=True)
class Conversation:
    """What the page needs of the conversation."""

    drawn: gr.HTML
    messages: gr.State
    message: gr.Textbox
    send_button: gr.Button
    again_button: gr.Button
    edit_button: gr.Button
    stop_button: gr.Button
    clear_button: gr.Button
    look_up: gr.Checkbox

    @property
    def results(self) -> list[Any]:
        """What an answer fills in."""
        return [self.drawn, self.messages, self.message]


def answer_turn(number: int, draft: Draft) -> views.View:
    """The model's turn of a conversation as it stands."""
    return {
        "id": number,
        "role": "model",
        "text": draft.text,
        "detail": f"{wrote(draft)}, {speed_of(draft)}"
        + (f", {draft.records} of your records in the prompt" if draft.records else ""),
        "answer": draft.generation.id if draft.generation else None,
    }


def earlier_turns(messages: list[views.View]) -> list[Message]:
    """The conversation so far as the model reads it."""
    roles: dict[str, Any] = {"user": "user", "model": "assistant"}
    return [Message(roles[message["role"]], message["text"]) for message in messages]


def conversation_view(messages: list[views.View]) -> views.View:
    """The conversation between two answers."""
    if not messages:
        return NO_CONVERSATION
    return {"messages": messages}


def before_last_question(messages: list[views.View]) -> tuple[list[views.View], str]:
    """The conversation without its last question and what followed, and that question; raises BadInput."""
    asked = [place for place, message in enumerate(messages) if message["role"] == "user"]
    if not asked:
        raise BadInput("There is no message of yours to go back to; write one first.")
    return messages[: asked[-1]], str(messages[asked[-1]]["text"])


class Talking:
    """What a person can do in the conversation."""

    def __init__(self, services: Services, going: Going) -> None:
        self._writer, self._going = services.writer, going

    def _answer(
        self,
        window: str,
        message: str,
        earlier: list[views.View],
        before: list[views.View],
        look_up: bool,
        typed: bool = False,
        sampling: Sampling | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """The conversation with its new turn as it grows; where no answer comes of it, as it was `before`.

        A message that was `typed` is taken out of the field; the page gives it back where no answer comes of it.
        """
        self._going.drop(window)
        asked = [*earlier, {"id": len(earlier), "role": "user", "text": message}]
        waiting = [*asked, {"id": len(asked), "role": "model", "text": "", "waiting": True}]
        with self._going.begin(window) as writing:
            yield from writing.drawn(({"messages": waiting}, asked, "" if typed else gr.skip()))
            count, turns = RETRIEVED if look_up else 0, earlier_turns(earlier)
            growing = self._writer.stream(
                message, CHAT, "active", sampling, turns, retrieved=count, should_stop=writing.stop.is_set
            )
            try:
                for draft in paced(growing):
                    talk = [*asked, answer_turn(len(asked), draft)]
                    yield from writing.drawn(({"messages": talk}, talk, gr.skip()))
            except SHOWN:
                unanswered = {"unanswered": message} if typed else {}
                yield from writing.drawn((conversation_view(before) | unanswered, before, gr.skip()))
                raise

    def chat(
        self, request: gr.Request, message: str, messages: list[views.View], look_up: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Answer a message with the adapter that is on; the conversation as it grows."""
        if not (message or "").strip():
            raise BadInput("The message is empty; write something first.")
        yield from self._answer(session_of(request), message, messages, messages, look_up, typed=True)

    def again(
        self, request: gr.Request, messages: list[views.View], look_up: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Another answer to the last message, in place of the one there is."""
        earlier, message = before_last_question(messages)
        drawn_with = Sampling(temperature=WARMTH, seed=views.stamp() % 1_000_000)
        yield from self._answer(session_of(request), message, earlier, messages, look_up, sampling=drawn_with)

    def edit(self, request: gr.Request, messages: list[views.View]) -> tuple[Any, ...]:
        """Take the last message back into the field, to be changed and sent anew; an answer that grows is dropped."""
        earlier, message = before_last_question(messages)
        self._going.drop(session_of(request))
        return conversation_view(earlier), earlier, message

    def clear(self, request: gr.Request) -> tuple[Any, ...]:
        """Begin a new conversation; an answer that grows is dropped."""
        self._going.drop(session_of(request))
        return NO_CONVERSATION, []


def lay_out_conversation(keep: Callable[[Any], dict[str, Any]]) -> Conversation:
    """The conversation; must stand inside a gr.Tab."""
    view = drawn("chat", NO_CONVERSATION, server_functions=[answered(keep)], elem_id="conversation")
    messages = gr.State([])
    message = gr.Textbox(
        label=strings.MESSAGE, placeholder=strings.MESSAGE_HINT, lines=1, max_lines=8, elem_id="message"
    )
    with gr.Row(elem_classes="write-bar"):
        send = gr.Button(strings.SEND, variant="primary", min_width=120)
        again = gr.Button(strings.ANSWER_AGAIN, scale=0, min_width=150)
        edit = gr.Button(strings.EDIT_LAST, scale=0, min_width=190)
        stop = gr.Button(strings.STOP, scale=0, min_width=90, elem_classes="stop-writing")
        clear = gr.Button(strings.CLEAR, scale=0, min_width=160)
        look_up = gr.Checkbox(label=strings.LOOK_UP, scale=0, min_width=220, container=False)
    return Conversation(view, messages, message, send, again, edit, stop, clear, look_up)


def wire_conversation(at: Conversation, actions: Talking) -> None:
    """Connect the conversation with what it does."""
    asked: dict[str, Any] = {"show_progress": "hidden"}
    given = [at.message, at.messages, at.look_up]
    sent, field = [at.send_button.click, at.message.submit], [at.drawn, at.message]
    chatted = gr.on(sent, shown(actions.chat), given, at.results, api_name="chat", **asked)
    chatted.failure(None, field, field, js=GIVE_BACK)
    at.again_button.click(shown(actions.again), given[1:], at.results, api_name="chat_again", **asked)
    at.edit_button.click(shown(actions.edit), at.messages, at.results, api_name="chat_edit", **asked)
    at.clear_button.click(actions.clear, None, at.results[:2], api_name="new_conversation", **asked)
