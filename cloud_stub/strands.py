"""One sample in the making: which tokens the model is given next, and when its two parts are whole.

The answer is guided: it begins with LEAD, its first part ends at the line's end, BRIDGE is put down for the model, and
its second part ends at the next line's end. So a pair always parses, and nothing needs a grammar. Knows no llama.cpp:
tokens are numbers, and pieces are the bytes that they stand for.
"""

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Literal

import numpy

from cloud_stub.llama_library import Logits
from cloud_stub.prompts import BRIDGE, LEAD
from cloud_stub.writing import Sample

MIN_P = 0.05
"""Tokens less probable than this share of the most probable one are never drawn, as llama.cpp does by default."""
BLANK_LINES = 2
"""Line ends that are passed over before a part's first word."""


@dataclasses.dataclass(frozen=True)
class Guide:
    """What all samples of one prompt have in common."""

    bridge: tuple[int, ...]
    """Tokens of the line end and BRIDGE; empty: the answer has one part alone."""
    longest_input: int
    """Tokens; a sample whose first part is longer is given up."""
    longest_output: int
    """Tokens; the same for the second part."""
    shortest_input: int = 0
    """Tokens; the first part may not end before: no length filter would keep it."""
    enders: frozenset[int] = frozenset()
    """Tokens that end a line or a turn."""
    answers: tuple[tuple[int, ...], ...] = ()
    """The second part is one of these, each ending in a line end; empty: any text."""

    @property
    def room(self) -> int:
        """Most tokens that a sample takes in the context."""
        return self.longest_input + len(self.bridge) + self.longest_output


def without(logits: Logits, banned: Collection[int]) -> Logits:
    """The logits with those tokens made impossible."""
    left = logits.copy()
    left[list(banned)] = -numpy.inf
    return left


def choose(logits: Logits, temperature: float, draw: numpy.random.Generator, allowed: Sequence[int]) -> int:
    """The token to go on with; among all of them where `allowed` is empty."""
    places = numpy.fromiter(allowed, numpy.intp) if allowed else None
    scores = logits if places is None else logits[places]
    if temperature <= 0.0:
        best = int(scores.argmax())
        return best if places is None else int(places[best])
    likely = numpy.flatnonzero(scores >= scores.max() + math.log(MIN_P))
    weights = numpy.exp((scores[likely].astype(numpy.float64) - float(scores.max())) / temperature)
    place = int(likely[numpy.searchsorted(weights.cumsum(), draw.random() * weights.sum(), side="right")])
    return place if places is None else int(places[place])


class Strand:
    """One sample in the making."""

    def __init__(self, guide: Guide, seed: int) -> None:
        self.draw = numpy.random.default_rng(seed)
        self.waiting: tuple[int, ...] = ()
        """Tokens that the model has to be given next; empty once the sample is done."""
        self.done = False
        self._guide = guide
        self._answers = guide.answers
        self._parts = [b"", b""]
        self._in_output = False
        self._length = 0
        self._tokens = 0
        self._too_long = False

    @property
    def allowed(self) -> list[int]:
        """The tokens that may come next; empty: any."""
        if not self._in_output:
            return []
        return sorted({answer[self._length] for answer in self._answers if len(answer) > self._length})

    @property
    def banned(self) -> Collection[int]:
        """The tokens that may not come next."""
        return self._guide.enders if not self._in_output and self._length < self._guide.shortest_input else ()

    def accept(self, token: int, piece: bytes, ends: bool) -> None:
        """Take the token that was drawn; `ends` says that it ends the model's turn."""
        self._tokens += 1
        self._answers = tuple(answer for answer in self._answers if not self._in_output or self._fits(answer, token))
        self._length += 1
        self._parts[self._in_output] += piece
        self.waiting = (token,)
        if self._in_output:
            self._go_on_with_output(ends)
        else:
            self._go_on_with_input(ends)

    def _fits(self, answer: tuple[int, ...], token: int) -> bool:
        return len(answer) > self._length and answer[self._length] == token

    def _line_ends(self) -> bool:
        """Whether the present part has a line end after its first word."""
        part = self._parts[self._in_output]
        return b"\n" in part.lstrip() or part.count(b"\n") > BLANK_LINES

    def _go_on_with_input(self, ends: bool) -> None:
        before, bridge, _ = self._parts[0].partition(BRIDGE.encode())
        if bridge and self._guide.bridge:
            # The model wrote both on one line, as the source's prompt shows it.
            self._parts[0] = before.rstrip(b" ,;")
            self._start_output()
        elif ends or self._line_ends():
            self._end_input()
        elif self._length >= self._guide.longest_input:
            self._give_up()

    def _end_input(self) -> None:
        if not self._guide.bridge:
            return self._finish()
        self._start_output()
        self.waiting = self._guide.bridge
        return None

    def _start_output(self) -> None:
        self._in_output, self._length = True, 0
        if not self._parts[0].strip():
            self._finish()

    def _go_on_with_output(self, ends: bool) -> None:
        before, lead, _ = self._parts[1].partition(LEAD.encode())
        if lead and before.strip():
            # The model went on to a pair of its own.
            self._parts[1] = before.rstrip(b" ,;")
            self._finish()
        elif ends or self._line_ends():
            self._finish()
        elif self._length >= self._guide.longest_output:
            self._give_up()

    def _give_up(self) -> None:
        self._too_long = True
        self._finish()

    def _finish(self) -> None:
        self.done, self.waiting = True, ()

    def sample(self) -> Sample:
        """What has been written."""
        # A cut inside a character leaves bytes that are no text.
        first, second = (part.lstrip().split(b"\n")[0].decode("utf-8", "ignore") for part in self._parts)
        return Sample(first, second, self._tokens, self._fault())

    def _fault(self) -> Literal["too long", "stopped"] | None:
        if not self.done:
            return "stopped"
        return "too long" if self._too_long else None
