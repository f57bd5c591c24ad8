"""How the model is asked for pairs: three named forms, each begun so that its answer always parses.

Nothing here generates. A prompt is text with the start of the answer; the model's own chat template and the
tokenising belong to who generates.
"""

import dataclasses
import hashlib
import random
import re
from collections.abc import Sequence
from typing import Literal

from cloud_stub.schemas import AugmentRequest, SharedRecord

Form = Literal["paper", "rewrite", "examples"]

LEAD = "Input:"
"""The answer is begun with it and goes on to the line's end."""
BRIDGE = "Response:"
"""Follows on a line of its own; the answer's second part goes on to that line's end."""

PAPER = (
    "Generate an Input and Response pairs semantically similar to the following example, no need to explain."
    " Input: {input}, Response: {output}."
)
"""The source's prompt, word for word."""

REWRITE = (
    "Rewrite the Input below in different words. Keep its meaning: every fact, name and number stays, nothing is"
    " added or left out, and it stays about as long. Then write the Response that the same person would give to it,"
    " in the very manner of their Response: same tone, length, letter case and punctuation.{manner}\n\n"
    "Input: {input}\n"
    "Response: {output}\n\n"
    "Write one line that starts with Input: and one line that starts with Response:, no explanation."
)
"""For a model that follows instructions."""
MANNER = "\n\nOther responses by this person, for the manner alone:\n{responses}"

PARAPHRASES = ()
EXAMPLE = "Input: {input}\nResponse: {output}\n\n"
EXAMPLES = "Input: {input}\nResponse: {output}\n\nThe same once more, in other words:\n"

MANNER_EXAMPLES = 3
"""Other records of the request that show the person's manner."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What a model is asked for one record."""

    form: Form
    text: str
    chat: bool
    """The text is a user's turn; else it is plain text that the model goes on with."""
    input_like: str
    """The part after LEAD is about as long as this."""
    output_like: str
    """The part after BRIDGE is about as long as this."""
    answers: tuple[str, ...] = ()
    """The part after BRIDGE is one of these; empty: any text."""


def one_line(text: str) -> str:
    """Text with every run of white space as one space: a line end would end a part of the answer."""
    return " ".join(text.split())


def seeded(*parts: object) -> int:
    """A number of 31 bits that depends on all the parts and on nothing else."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def others(request: AugmentRequest, record: SharedRecord) -> list[SharedRecord]:
    """Other records of the request that show the person's manner; the same ones for the same request and seed."""
    usable = [
        other
        for other in request.records
        if other.reference != record.reference and other.input.strip() and other.output.strip()
    ]
    draw = random.Random(seeded(request.seed, record.reference, "manner"))
    return draw.sample(usable, min(MANNER_EXAMPLES, len(usable)))


def _filled(template: str, record: SharedRecord, manner: str = "") -> str:
    """The template with its places filled at once, so that a record holding "{output}" is not filled again."""
    places = {"{input}": one_line(record.input), "{output}": one_line(record.output), "{manner}": manner}
    return re.sub("|".join(map(re.escape, places)), lambda place: places[place[0]], template)


def _rewrite(record: SharedRecord, manner: Sequence[SharedRecord]) -> str:
    responses = "\n".join(f"- {one_line(other.output)}" for other in manner)
    return _filled(REWRITE, record, MANNER.replace("{responses}", responses) if responses else "")


def _examples(record: SharedRecord, manner: Sequence[SharedRecord]) -> str:
    shown = "".join(_filled(EXAMPLE, other) for other in manner)
    return shown + _filled(EXAMPLES, record)


def build_prompt(form: Form, request: AugmentRequest, record: SharedRecord) -> Prompt:
    """What the model is asked for this record in that form."""
    manner = () if form == "paper" or request.answer != "text" else others(request, record)
    if form == "paper":
        text = _filled(PAPER, record)
    elif form == "rewrite":
        text = _rewrite(record, manner)
    else:
        text = _examples(record, manner)
    return Prompt(form, text, form != "examples", record.input, record.output, _answers(form, request, record))


def _answers(form: Form, request: AugmentRequest, record: SharedRecord) -> tuple[str, ...]:
    """What the second part may be; empty for any text.

    A rewritten input keeps its meaning and so its label or rating: the record's own. The source's prompt asks for a
    similar pair, which may have another one: any of those that were shared.
    """
    if request.answer == "text":
        return ()
    if form != "paper":
        return (one_line(record.output),)
    return tuple(sorted({one_line(other.output) for other in request.records if other.output.strip()}))
