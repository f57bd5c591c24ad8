"""Many samples of several prompts, decoded together in one context of llama.cpp.

A processor gets through sixteen sequences in little more time than through five: so whatever is asked for is queued,
and a sample that ends makes room for the next one, of whichever prompt. Who asks is a coroutine of one event loop;
nothing here depends on a clock, so the same calls in the same order give the same samples.
"""

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy

from cloud_stub.llama_library import Context, Logits, Vocabulary
from cloud_stub.strands import Strand, choose, without

TOGETHER = 32
"""Samples that are decoded together at most."""
PROMPTS = 12
"""Prompts that stay in the context: one begins like another, and a record's is asked again for what came to nothing."""
READ_TOGETHER = 64
"""Prompt tokens that are read at a time. What an earlier prompt left in the context is used in whole groups alone: a
token is always computed beside the same others: neither its numbers nor a draw depend on what was asked before."""
REST = 12
"""Turns of the event loop without work after which it ends; whoever is woken by an answer asks sooner."""


@dataclasses.dataclass
class Call:
    """A prompt and the samples that are wanted of it."""

    ids: list[int]
    """The prompt's tokens."""
    strands: Sequence[Strand]
    room: int
    """Most tokens that each of them takes in the context."""
    temperature: float
    should_stop: Callable[[], bool]
    ended: asyncio.Future[None]
    """Cancelled where nobody waits for the samples any more."""
    begun: int = 0
    """Strands that have been begun, in their order."""
    open: int = 0
    """Of those, the ones that are not done."""

    @property
    def over(self) -> bool:
        """Whether nobody wants it any more."""
        return self.ended.cancelled() or self.should_stop()


@dataclasses.dataclass
class _Held:
    """A prompt in the context."""

    sequence: int
    ids: list[int] = dataclasses.field(default_factory=list)
    after: Logits = dataclasses.field(default_factory=lambda: numpy.zeros(0, numpy.float32))
    """The logits after its last token."""


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with in common."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _known(held: _Held, ids: Sequence[int]) -> int:
    """How many tokens of a prompt need not be read again."""
    if held.ids == ids:
        return len(ids)
    # The last token is read again in any case: its logits are wanted.
    return min(_common(ids, held.ids), len(ids) - 1) // READ_TOGETHER * READ_TOGETHER


class Decoder:
    """Decodes calls; their coroutines must be of one event loop at a time."""

    def __init__(self, context: Context, vocabulary: Vocabulary, tokens: int) -> None:
        """`context` has room for so many tokens and TOGETHER + PROMPTS sequences."""
        self._context, self._vocabulary, self._tokens = context, vocabulary, tokens
        self._queue: collections.deque[Call] = collections.deque()
        self._going: dict[int, tuple[Call, Strand]] = {}
        """By sequence."""
        self._held: list[_Held] = []
        """The one used last comes last."""
        self._asked: set[tuple[int, ...]] = set()
        """Prompts that were asked for since the model was idle."""
        self._free: list[int] = []
        self._task: asyncio.Task[None] | None = None

    async def decode(self, call: Call) -> None:
        """Take the call's strands to their ends, or until it is told to stop."""
        if self._task is None or self._task.done():
            self._asked.clear()
            self._task = asyncio.create_task(self._run())
        self._enqueue(call)
        await call.ended

    def _enqueue(self, call: Call) -> None:
        """Behind what waits with the same prompt; else what is drawn again goes first, while its prompt is at hand.

        Drawn after all others, it would be decoded when there is nothing beside it.
        """
        prompt = tuple(call.ids)
        places = [place for place, other in enumerate(self._queue) if other.ids == call.ids]
        again = 0 if prompt in self._asked else len(self._queue)
        self._queue.insert(places[-1] + 1 if places else again, call)
        self._asked.add(prompt)

    async def _run(self) -> None:
        self._start_afresh()
        idle = 0
        try:
            while idle < REST:
                self._begin()
                self._step()
                idle = 0 if self._going or self._queue else idle + 1
                await asyncio.sleep(0)
        except Exception as error:
            self._fail(error)

    def _start_afresh(self) -> None:
        # Where a token lies in the context decides in which order sums are made: nothing may be left of earlier work.
        self._context.clear()
        self._held = [_Held(sequence) for sequence in range(PROMPTS)]
        self._free = list(range(PROMPTS + TOGETHER - 1, PROMPTS - 1, -1))
        self._going.clear()

    def _fail(self, error: Exception) -> None:
        calls = {id(call): call for call in [*self._queue, *(call for call, _ in self._going.values())]}
        self._queue.clear()
        self._start_afresh()
        for call in calls.values():
            if not call.ended.done():
                call.ended.set_exception(error)

    def _begin(self) -> None:
        """Begin strands, in the order in which they were asked for, while there is room."""
        while self._queue and self._free:
            call = self._queue[0]
            if call.begun == len(call.strands) or call.over:
                self._queue.popleft()
                self._give_up(call)
            elif not self._fits(call):
                return
            elif self._read(call):
                self._begin_strand(call)

    def _best(self, call: Call) -> _Held:
        """The prompt in the context that begins most like the call's; else the first to be given up."""
        found = max(reversed(self._held), key=lambda held: _known(held, call.ids))
        return found if _known(found, call.ids) else self._spare()[0]

    def _spare(self) -> list[_Held]:
        """The prompts in the context, the first to be given up first: those in use share their cells with samples."""
        used = {tuple(call.ids) for call, _ in self._going.values()}
        return sorted(self._held, key=lambda held: tuple(held.ids) in used)

    def _is_room(self, call: Call) -> bool:
        promised = sum(
            other.room - (self._context.length(sequence) - len(other.ids))
            for sequence, (other, _) in self._going.items()
        )
        missing = len(call.ids) - _known(self._best(call), call.ids)
        return self._context.used() + promised + missing + call.room <= self._tokens

    def _fits(self, call: Call) -> bool:
        """Whether another strand of the call has room; prompts that are only kept are given up for it, oldest first."""
        if self._is_room(call):
            return True
        best = self._best(call)
        for held in self._spare():
            if held is not best and held.ids:
                self._context.cut(held.sequence, 0)
                held.ids = []
                if self._is_room(call):
                    return True
        if not self._going and not self._is_room(call):
            self._start_afresh()
        return self._is_room(call)

    def _read(self, call: Call) -> bool:
        """Have the call's prompt in the context as the one used last; false if stopped on the way."""
        held = self._best(call)
        self._held.remove(held)
        self._held.append(held)
        if held.ids == call.ids:
            return True
        known = _known(held, call.ids)
        self._context.cut(held.sequence, known)
        held.ids = call.ids[:known]
        for start in range(known, len(call.ids), READ_TOGETHER):
            if call.over:
                # Half a prompt must not pass for another that ends there.
                self._context.cut(held.sequence, 0)
                held.ids = []
                return False
            group = call.ids[start : start + READ_TOGETHER]
            (logits,) = self._context.read([(held.sequence, group)])
            held.ids = held.ids + group
        held.after = logits.copy()
        return True

    def _begin_strand(self, call: Call) -> None:
        strand, held, sequence = call.strands[call.begun], self._held[-1], self._free.pop()
        self._context.copy(held.sequence, sequence)
        self._going[sequence] = (call, strand)
        call.begun, call.open = call.begun + 1, call.open + 1
        self._advance(sequence, held.after)

    def _advance(self, sequence: int, logits: Logits) -> None:
        call, strand = self._going[sequence]
        possible = without(logits, strand.banned) if strand.banned else logits
        token = choose(possible, call.temperature, strand.draw, strand.allowed)
        strand.accept(token, self._vocabulary.piece(token), self._vocabulary.ends(token))
        if strand.done:
            self._leave(sequence)

    def _leave(self, sequence: int) -> None:
        call, _ = self._going.pop(sequence)
        self._context.drop(sequence)
        self._free.append(sequence)
        call.open -= 1
        if not call.open and call.begun == len(call.strands) and not call.ended.done():
            call.ended.set_result(None)

    def _give_up(self, call: Call) -> None:
        """Begin no more of a call; it ends at once, but for strands that are still going."""
        if call.begun < len(call.strands):
            call.strands = call.strands[: call.begun]
        if not call.open and not call.ended.done():
            call.ended.set_result(None)

    def _stopped(self) -> list[int]:
        """Sequences of calls that are to stop; each call is asked once."""
        calls = {id(call): call for call, _ in self._going.values()}
        over = {key for key, call in calls.items() if call.over}
        return [sequence for sequence, (call, _) in self._going.items() if id(call) in over]

    def _step(self) -> None:
        """One token for every strand that is going."""
        for sequence in self._stopped():
            self._leave(sequence)
        going = sorted(self._going.items())
        if not going:
            return
        all_logits = self._context.read((sequence, strand.waiting) for sequence, (_, strand) in going)
        for (sequence, _), logits in zip(going, all_logits, strict=True):
            self._advance(sequence, logits)
