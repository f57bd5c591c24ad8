"""The one prompt renderer: what is trained on, generated from and evaluated with is made here, token by token.

A conversation is rendered by the model's own chat template. The template's text may name special tokens; a
message's content may not: "<|im_end|>" in a record is seven plain characters to the model, not the end of a turn.
Template and contents are tokenised apart for that, here and in training alike. For byte-level BPE with ChatML the
ids equal those of the whole string, because a pre-tokenizer splits between a line break and what follows it.
"""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

from app.device.tokenising import Tokeniser
from app.errors import BadInput, ModelDamaged
from app.tasks import Task

_VERSION = 1
"""Counted up when the same template gives other ids than before: an adapter learned the old ones."""

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Private-use characters that stand around a content's number while the template is rendered."""
_PLACE = re.compile(f"( ?){_OPEN}([0-9]+){_CLOSE}( ?)")


@dataclasses.dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclasses.dataclass(frozen=True)
class Example:
    """What training sees of one record or pair; the loss is taken on the completion alone."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    """The output and the token that ends the turn."""


def _raise_exception(message: str) -> NoReturn:
    """What templates call to refuse a conversation, a system turn for example."""
    raise BadInput(f"The model's chat template refuses this conversation: {message.rstrip('.')}; choose another model.")


@functools.lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    """The template as transformers compiles it, in a sandbox: it came with a file from outside.

    `strftime_now` is left out on purpose: with it some templates write today's date into the prompt, and what was
    trained yesterday would not be what is asked today.
    """
    import jinja2.ext
    import jinja2.sandbox

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(template)


def _render_template(tokeniser: Tokeniser, messages: Sequence[Message], generation: bool) -> str:
    """The template's text, with a numbered place for each content."""
    import jinja2

    if not tokeniser.chat_template:
        raise ModelDamaged(
            "The model has no chat template, so it was not made to follow instructions; choose an instruct model from"
            " `cdcda models list`."
        )
    turns = [{"role": message.role, "content": f" {_OPEN}{number}{_CLOSE} "} for number, message in enumerate(messages)]
    try:
        return str(
            _compiled(tokeniser.chat_template).render(
                messages=turns,
                add_generation_prompt=generation,
                bos_token=tokeniser.bos_text,
                eos_token=tokeniser.eos_text,
            )
        )
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelDamaged(
            f"The model's chat template cannot be rendered ({error}); choose another model from `cdcda models list`."
        ) from error


def _content_ids(tokeniser: Tokeniser, place: re.Match[str], messages: Sequence[Message]) -> list[int]:
    """A content's ids. Where the template took the space off the place, it would trim the content, so it is trimmed."""
    content = messages[int(place[2])].content
    content = content if place[1] else content.lstrip()
    content = content if place[3] else content.rstrip()
    return tokeniser.encode(content, special=False)


def _render(tokeniser: Tokeniser, messages: Sequence[Message], generation: bool) -> list[int]:
    text = _render_template(tokeniser, messages, generation)
    ids: list[int] = []
    done = 0
    for place in _PLACE.finditer(text):
        ids += tokeniser.encode(text[done : place.start()])
        ids += _content_ids(tokeniser, place, messages)
        done = place.end()
    return ids + tokeniser.encode(text[done:])


def render_prompt(tokeniser: Tokeniser, messages: Sequence[Message]) -> list[int]:
    """Ids of a conversation up to where the assistant's answer begins."""
    return _render(tokeniser, messages, generation=True)


def render_whole(tokeniser: Tokeniser, task: Task, text: str) -> list[int]:
    """Ids of a task's prompt with the whole input, however long."""
    return render_prompt(tokeniser, [Message("user", task.prompt(text))])


def render_task(tokeniser: Tokeniser, task: Task, text: str, max_tokens: int | None = None) -> list[int]:
    """Ids of a task's prompt with this input; the input's end is cut, never the template, to keep to max_tokens.

    Raises BadInput when the task's template alone is longer than max_tokens.
    """
    ids = render_whole(tokeniser, task, text)
    if max_tokens is None or len(ids) <= max_tokens:
        return ids
    text_ids = tokeniser.encode(text, special=False)
    keep = len(text_ids) - (len(ids) - max_tokens)
    while keep >= 0:
        # A cut inside a character leaves a replacement character behind.
        ids = render_whole(tokeniser, task, tokeniser.decode(text_ids[:keep]).rstrip("\ufffd"))
        if len(ids) <= max_tokens:
            return ids
        keep -= max(1, len(ids) - max_tokens)
    shortest = len(render_whole(tokeniser, task, ""))
    raise BadInput(
        f"The {task.name} prompt needs {shortest} tokens before any text of yours, but only {max_tokens} are allowed;"
        " allow more tokens."
    )


def end_of_turn(tokeniser: Tokeniser) -> int:
    """The token with which the template ends the assistant's turn; where it names none, the end-of-text token."""
    text = _render_template(tokeniser, [Message("user", ""), Message("assistant", "")], generation=False)
    *_, last = _PLACE.finditer(text)
    after = tokeniser.encode(text[last.end() :])
    return after[0] if after and after[0] in tokeniser.end_ids else tokeniser.eos_id


def render_example(tokeniser: Tokeniser, task: Task, text: str, output: str, max_tokens: int) -> Example:
    """A training example of at most max_tokens ids, prompt and completion together.

    The input's end is cut first; the output is cut only where it alone takes more than half, and then loses its
    end-of-turn token, so that no output is learned to end in the middle. Raises BadInput as `render_task` does.
    """
    completion = [*tokeniser.encode(output, special=False), end_of_turn(tokeniser)]
    room = max(max_tokens // 2, max_tokens - len(render_whole(tokeniser, task, text)))
    completion = completion[:room]
    prompt = render_task(tokeniser, task, text, max_tokens - len(completion))
    return Example(tuple(prompt), tuple(completion))


def is_cut(tokeniser: Tokeniser, task: Task, text: str, output: str, max_tokens: int) -> bool:
    """Whether `render_example` leaves something out to keep to max_tokens."""
    completion = len(tokeniser.encode(output, special=False)) + 1
    return len(render_whole(tokeniser, task, text)) + completion > max_tokens


def template_hash(tokeniser: Tokeniser) -> str:
    """SHA-256 (hex) of everything that turns a conversation into ids; an adapter serves only under the same one."""
    probe = [Message("user", "Who wrote it? I’m asking."), Message("assistant", "Я\n1 2"), Message("user", " ok ")]
    state = [_VERSION, tokeniser.chat_template, end_of_turn(tokeniser), render_prompt(tokeniser, probe)]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()
