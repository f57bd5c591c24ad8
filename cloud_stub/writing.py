"""The seam between the service and what generates, and what becomes of a record's samples.

A sample is redrawn, a bounded number of times, when it is unusable, copies its example or repeats a sibling. Nothing
here knows how a model works, what a score is, or that there is a network.
"""

import asyncio
import dataclasses
import re
import unicodedata
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal, Protocol

from cloud_stub.errors import UpstreamFailed
from cloud_stub.prompts import Prompt, seeded
from cloud_stub.schemas import MAX_TEXT, SharedRecord

SampleFault = Literal["too long", "unfinished thinking", "stopped", "model error"]
Fault = SampleFault | Literal["unusable answer"]

REDRAWS = 2
"""How often a sample that came to nothing is drawn again."""
_FINAL = (None, "unfinished thinking", "model error", "stopped")
"""What ends the draws of a sample: a model that failed, or took too long, has been asked often enough."""

_TEMPLATE_MARKS = re.compile(r"<\|[^<>|\n]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>")
"""What common chat templates put around turns; a pair that holds one would break the template it is trained in."""
_BRACKETS = {"[": "]", '"': '"', "“": "”", "'": "'"}


@dataclasses.dataclass(frozen=True)
class Sample:
    """One answer of the model, as it came."""

    input: str
    output: str
    tokens: int
    fault: SampleFault | None = None
    """Why the answer is not whole."""


class LanguageModel(Protocol):
    """Writes samples; its calls are of one event loop at a time where the service has room for 1, else of many."""

    async def write(
        self, prompt: Prompt, seeds: Sequence[int], temperature: float, should_stop: Callable[[], bool]
    ) -> list[Sample]:
        """One sample for each seed, in their order; the same calls in the same order give the same samples.

        `should_stop` is asked again and again; samples that are unfinished when it says so have the fault "stopped".
        Raises RecordTooLong.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Draw:
    """What became of sample j of a record."""

    number: int
    """j, 1 to k."""
    seed: int
    input: str
    output: str
    fault: Fault | None
    """None: the pair can be used."""
    made_of: tuple[tuple[str, str], ...] = ()
    """The pieces of the record's input and what each became, where it was rewritten piece by piece."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """All samples of a record."""

    draws: tuple[Draw, ...]
    tokens: int
    """Generated for them, those of redrawn samples too."""


def _plain(character: str) -> str:
    """The character, or a space for a control character, or nothing for half a surrogate pair."""
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category == "Cs" else character


def _unwrapped(text: str, like: str) -> str:
    """Text without brackets or quotes around the whole of it, where the example has none."""
    closing = _BRACKETS.get(text[:1])
    if closing is None or len(text) < 2 or text[-1] != closing or like[:1] == text[0]:
        return text
    inside = text[1:-1]
    return text if text[0] in inside or closing in inside else inside.strip()


def tidy(text: str, like: str) -> str:
    """A model's text as one clean line: no control characters, no chat template marks, no brackets around it."""
    plain = "".join(map(_plain, _TEMPLATE_MARKS.sub(" ", text)))
    return _unwrapped(" ".join(plain.split()), like.strip())[:MAX_TEXT]


def same(one: str, other: str) -> bool:
    """Whether two texts differ at most in letter case, white space and punctuation."""
    return _bare(one) == _bare(other)


def _bare(text: str) -> str:
    kept = [character for character in text.casefold() if unicodedata.category(character)[0] in "LNMS"]
    return "".join(kept) or " ".join(text.split())


def _fault(sample: Sample, pair: tuple[str, str], record: SharedRecord, siblings: Iterable[Draw]) -> Fault | None:
    if sample.fault:
        return sample.fault
    if not all(pair) or same(pair[0], record.input):
        return "unusable answer"
    if any(draw.fault is None and same(pair[0], draw.input) for draw in siblings):
        return "unusable answer"
    return None


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of them; raises what the first one raised once the others have ended."""
    ended = await asyncio.gather(*works, return_exceptions=True)
    for error in ended:
        if error is not None:
            raise error


async def draw_samples(
    model: LanguageModel,
    prompt: Prompt,
    record: SharedRecord,
    k: int,
    seed: int,
    temperature: float,
    should_stop: Callable[[], bool],
) -> Drawn:
    """Draw k samples of a record; the seed of each depends only on the request's, the reference and its number.

    One that cannot be used is drawn again at once, while the model still holds the prompt for the others. Raises
    RecordTooLong.
    """
    draws: dict[int, Draw] = {}
    tokens = 0

    async def draw(number: int) -> None:
        nonlocal tokens
        # Without temperature every try would be the same.
        for attempt in range(1 + REDRAWS if temperature > 0 else 1):
            if should_stop():
                return
            own_seed = seeded(seed, record.reference, number, attempt)
            try:
                (sample,) = await model.write(prompt, [own_seed], temperature, should_stop)
            except UpstreamFailed:
                sample = Sample("", "", 0, "model error")
            tokens += sample.tokens
            pair = (tidy(sample.input, record.input), tidy(sample.output, record.output))
            draws.pop(number, None)
            draws[number] = Draw(number, own_seed, *pair, _fault(sample, pair, record, draws.values()))
            if draws[number].fault in _FINAL:
                return

    await _all(draw(number) for number in range(1, k + 1))
    return Drawn(tuple(draws[number] for number in sorted(draws)), tokens)
