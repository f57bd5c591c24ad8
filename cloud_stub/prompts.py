"""How the model is asked: two forms for a pair at once, begun so that the answer always parses, and one for a sentence.

Nothing here generates. A prompt is text with the start of the answer; the model's own chat template and the
tokenising belong to who generates.
"""

import dataclasses
import hashlib
import random
import re
from collections.abc import Sequence
from typing import Literal

from cloud_stub.schemas import MAX_TEXT, AugmentRequest, SharedRecord

Form = Literal["paper", "rewrite", "sentences"]

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
    "Paraphrase this pair.\n\n"
    "Input: {input}\n"
    "Response: {output}\n\n"
    "{manner}"
    "Say the input in other words: use other words and another order, but keep its meaning and every fact, name and"
    " number. Then write the response again to fit, in exactly the style of the response above."
)
"""For a model that follows instructions. It must not end by naming the two lines: a 1.5B model goes on from there."""
MANNER = "Other responses of this person, as examples of the style:\n{responses}\n\n"

SENTENCE = "Say this in other words. Keep its meaning, its speaker, every name and every number.\n\n{text}"
"""One piece of an input, in a chat that has already gone so a few times."""
SENTENCES = (
    (
        "The ferry was cancelled on Monday because of the storm, so 40 passengers had to sleep in the terminal.",
        "Monday's storm kept the boat in port, which left 40 travellers spending the night in the terminal.",
    ),
    (
        "We present a method that finds repeated patterns in birdsong without any labelled recordings.",
        "Our approach discovers recurring motifs in the songs of birds and needs no annotated audio.",
    ),
    (
        "@BlueCoach why was my seat given away when I had paid for it?",
        "@BlueCoach I paid for my seat, so how come somebody else got it?",
    ),
    (
        "Thanks so much for the quick reply, you saved my trip!",
        "I really appreciate how fast you answered, my trip is saved because of you!",
    ),
)
"""Turns that show a piece and a rewrite: a story, a paper, a question and thanks, which a small model would answer."""
VARIATION = (
    "These lines were all written by one person:\n{lines}\n\n"
    "Write the last line again with a few words changed. Keep its meaning, names, tags, punctuation and manner.\n\n"
    "{text}"
)
VARIATIONS = (
    (
        ("wheel repair, again", "the bell that rings itself", "spokes and other worries, explained"),
        "spokes and further troubles, explained",
    ),
    (
        (
            "@BlueCoach THANKS for nothing!!! :(",
            "@BlueCoach where is my bus??? 2 hrs and counting",
            "@BlueCoach no answer from ur help line 4 hours... so disappointed!!!",
        ),
        "@BlueCoach nobody picks up on ur help line 4 hours... really let down!!!",
    ),
    (
        ("Learning to Hear Birds: A Survey", "What Do Owls Sing? Towards Unsupervised Motif Discovery"),
        "What Do Owls Sing? Discovering Motifs Without Supervision",
    ),
)
"""Lines of one person, and the last of them varied."""

MANNER_EXAMPLES = 3
"""Other records of the request that show the person's manner."""
MANNER_LENGTH = 600
"""Characters of each of them that are shown: of long ones a part tells the manner, and whole they would leave no room
for the record itself."""
LONGEST_LABEL = 200
"""Characters; a longer answer among labels is a mistake, and room for it would be kept in every sample."""


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
    demonstrations: tuple[tuple[str, str], ...] = ()
    """Turns of user and assistant that come before, in a chat."""
    lead: str = LEAD
    """The answer is begun with it."""
    bridge: str = BRIDGE
    """Stands between the parts; empty: the answer has the first part alone."""


def one_line(text: str) -> str:
    """Text with every run of white space as one space: a line end would end a part of the answer."""
    return " ".join(text.split())


def seeded(*parts: object) -> int:
    """A number of 31 bits that depends on all the parts and on nothing else."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def unusable(record: SharedRecord) -> Literal["empty", "too long"] | None:
    """Why no pair can be made of a record at all, and nobody need see it; None where one can."""
    if not record.input.strip() or not record.output.strip():
        return "empty"
    return "too long" if max(len(record.input), len(record.output)) > MAX_TEXT else None


def others(request: AugmentRequest, record: SharedRecord) -> list[SharedRecord]:
    """Other records of the request that show the person's manner; the same ones for the same request and seed."""
    usable = [other for other in request.records if other.reference != record.reference and not unusable(other)]
    draw = random.Random(seeded(request.seed, record.reference, "manner"))
    return draw.sample(usable, min(MANNER_EXAMPLES, len(usable)))


def _manner(request: AugmentRequest, record: SharedRecord) -> list[str]:
    """Their answers, a line each."""
    return [one_line(other.output[:MANNER_LENGTH]) for other in others(request, record)]


def _filled(template: str, record: SharedRecord, manner: str = "") -> str:
    """The template with its places filled at once, so that a record holding "{output}" is not filled again."""
    places = {"{input}": one_line(record.input), "{output}": one_line(record.output), "{manner}": manner}
    return re.sub("|".join(map(re.escape, places)), lambda place: places[place[0]], template)


def _rewrite(record: SharedRecord, manner: Sequence[str]) -> str:
    responses = "\n".join(f"- {line}" for line in manner)
    return _filled(REWRITE, record, MANNER.replace("{responses}", responses) if responses else "")


def _single(text: str, demonstrations: tuple[tuple[str, str], ...], like: str) -> Prompt:
    """A prompt whose answer is one line about as long as `like`."""
    return Prompt("sentences", text, True, like, "", demonstrations=demonstrations, lead="", bridge="")


def sentence_prompt(text: str) -> Prompt:
    """Asks for one piece of an input in other words."""
    turns = tuple((SENTENCE.replace("{text}", said), anew) for said, anew in SENTENCES)
    return _single(SENTENCE.replace("{text}", text), turns, text)


def _variation(lines: Sequence[str]) -> str:
    filled = VARIATION.replace("{lines}", "\n".join(f"- {line}" for line in lines), 1)
    before, _, _ = filled.rpartition("{text}")
    return before + lines[-1]


def variation_prompt(request: AugmentRequest, record: SharedRecord) -> Prompt:
    """Asks for the record's answer with a few words changed, shown beside other answers of the same person."""
    answer = one_line(record.output)
    turns = tuple((_variation(lines), varied) for lines, varied in VARIATIONS)
    return _single(_variation([*_manner(request, record), answer]), turns, answer)


def build_prompt(form: Form, request: AugmentRequest, record: SharedRecord) -> Prompt:
    """What the model is asked for this record in a form that asks for the pair at once: `paper` or `rewrite`."""
    manner = _manner(request, record) if request.answer == "text" else []
    text = _filled(PAPER, record) if form == "paper" else _rewrite(record, manner)
    return Prompt(form, text, True, record.input, record.output, _answers(form, request, record))


def _answers(form: Form, request: AugmentRequest, record: SharedRecord) -> tuple[str, ...]:
    """What the second part may be; empty for any text.

    A rewritten input keeps its meaning and so its label or rating: the record's own. The source's prompt asks for a
    similar pair, which may have another one: any of those that were shared.
    """
    if request.answer == "text":
        return ()
    if form != "paper":
        return (one_line(record.output),)
    labels = {one_line(other.output) for other in request.records if 0 < len(other.output.strip()) <= LONGEST_LABEL}
    return tuple(sorted(labels | {one_line(record.output)}))
