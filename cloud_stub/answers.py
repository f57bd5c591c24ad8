"""What an upstream model's free answer means: its two parts, however it dressed them up. Knows no network.

A model in process is guided, so that its answer always parses; an upstream one writes as it likes: with a preface, in
bold, on one line or on several, with a second pair after the first.
"""

import re

from cloud_stub.prompts import Prompt

_DRESS = r"[ \t*_#>`\"'“\[(\d.-]*"
_END = r"[*_`\"'”\])]*[ \t]*[:\uff1a][ \t]*(?:\*\*|__|\*(?=\s))?"
_LEAD = rf"{_DRESS}\bInput\b{_END}"
_BRIDGE = rf"{_DRESS}\bResponse\b{_END}"
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.S)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_WRAPPED = re.compile(r"(\*\*|__|\*|_|`)(.*)\1", re.S)


def _mark(pattern: str, text: str) -> re.Match[str] | None:
    """Where a part begins: at the start of a line, else anywhere."""
    return re.search(f"^{pattern}", text, re.I | re.M) or re.search(rf"(?<!\w){pattern}", text, re.I)


def _undressed(text: str) -> str:
    """Text without Markdown around the whole of it."""
    bare = text.strip()
    while (wrapped := _WRAPPED.fullmatch(bare)) and wrapped[1] not in wrapped[2]:
        bare = wrapped[2].strip()
    # The mark before it was bold to the end of the line.
    for dress in ("**", "__"):
        if bare.count(dress) == 1 and bare.endswith(dress):
            bare = bare.removesuffix(dress).rstrip()
    return bare


def _first_paragraph(text: str) -> str:
    return _PARAGRAPH.split(text.strip())[0]


def _held(text: str, answers: tuple[str, ...]) -> str:
    """The allowed answer that a text gives; empty where it gives none, or several."""
    given = text.strip().strip(".\"'“”*_`[]() ").casefold()
    exact = [answer for answer in answers if answer.casefold() == given]
    named = [answer for answer in answers if re.search(rf"(?<!\w){re.escape(answer.casefold())}(?!\w)", given)]
    found = exact or named
    return found[0] if len(found) == 1 else ""


def _second_part(text: str) -> str:
    """The answer's second part; what follows after it, another pair or a remark, is left out."""
    following = re.search(f"^{_LEAD}", text, re.I | re.M)
    return _undressed(_first_paragraph(text[: following.start()] if following else text))


def _pair(text: str, prompt: Prompt) -> tuple[str, str]:
    lead = _mark(_LEAD, text)
    if lead is None:
        return "", ""
    rest = text[lead.end() :]
    bridge = _mark(_BRIDGE, rest)
    if bridge is None:
        # Where there is one answer alone, the model need not have given it.
        return (_undressed(_first_paragraph(rest)), prompt.answers[0]) if len(prompt.answers) == 1 else ("", "")
    first, second = _undressed(rest[: bridge.start()].rstrip(" \t\n,;")), _second_part(rest[bridge.end() :])
    if len(prompt.answers) == 1:
        return first, prompt.answers[0]
    return first, _held(second, prompt.answers) if prompt.answers else second


def behind_thoughts(text: str) -> str:
    """What a text says once its thoughts have ended; empty where they have not."""
    # Where the prompt opens the thoughts, the answer holds their end alone.
    return _THOUGHT.sub("", text).rpartition("</think>")[2].strip()


def parse(text: str, prompt: Prompt) -> tuple[str, str]:
    """The two parts of an answer; empty where it has none that can be used.

    The second part of a prompt that has allowed answers is one of those; a prompt without a bridge has a first part
    alone.
    """
    said = behind_thoughts(text)
    if not prompt.bridge:
        return _undressed(said.split("\n")[0]), ""
    return _pair(said, prompt)
