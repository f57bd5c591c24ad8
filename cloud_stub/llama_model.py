"""A GGUF model in process, on llama.cpp; the samples of a record are decoded together.

They share their prompt, which is read once: each sample is a sequence that begins as a copy of the prompt's.
"""

import math
import os
from collections.abc import Callable, Sequence

import numpy

from cloud_stub.errors import ModelNotUsable, RecordTooLong
from cloud_stub.llama_library import Context, Logits, Vocabulary, library, open_model
from cloud_stub.models import ModelFile
from cloud_stub.prompts import Prompt
from cloud_stub.strands import Guide, Strand, choose, without
from cloud_stub.writing import Sample

CONTEXT = 8192
"""Tokens that a prompt and its samples share."""
TOGETHER = 20
"""Samples that are decoded together at most."""
LONGEST = 2.5
"""A part that becomes so many times as long as the example's is given up: no length filter would keep it."""
SLACK = 16
"""Tokens on top of that, for examples of a word or two."""
SHORTEST = 0.6
"""A rewritten part does not end before it is so many times as long as the example's; a small model would write its
first sentence alone. The source's prompt is left to the model."""

READ_TOGETHER = 64
"""Prompt tokens that are read at a time. What earlier prompts left in the context is used in whole groups alone: a
token is always computed beside the same others: neither its numbers nor a draw depend on what was asked before."""

_PROMPT = 0
"""The sequence that holds the prompt; the samples have the numbers from 1 on."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with in common."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


class LlamaModel:
    """See cloud_stub.writing.LanguageModel."""

    def __init__(self, file: ModelFile, context: int = CONTEXT, threads: int | None = None) -> None:
        """Load the file; raises ModelNotUsable."""
        self._model = open_model(file.path)
        self._tokens = min(context, int(library().llama_model_n_ctx_train(self._model)))
        self._vocabulary = Vocabulary(self._model)
        self._vocabulary.turns()
        self._context = Context(self._model, self._tokens, TOGETHER + 1, threads or processors())
        self._enders = self._vocabulary.enders()
        self._kept: list[int] = []
        """The prompt that is in the context now."""
        self._after_prompt: Logits = numpy.zeros(0, numpy.float32)

    def close(self) -> None:
        """Free the model."""
        self._context.close()
        library().llama_model_free(self._model)

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """The prompt's tokens, with the start of the answer.

        The template and the text are tokenised apart, so that a record which holds "<|im_end|>" holds those ten
        characters and does not end its turn. Raises ModelNotUsable for a chat with a model that has no template.
        """
        vocabulary = self._vocabulary
        if not prompt.chat:
            return vocabulary.begun(vocabulary.encode(prompt.text + prompt.lead))
        pieces = vocabulary.turns(len(prompt.demonstrations))
        if pieces is None:
            raise ModelNotUsable("The model has no chat template; name another model with --model.")
        contents = [text for turn in prompt.demonstrations for text in turn] + [prompt.text]
        ids: list[int] = []
        for piece, content in zip(pieces, contents, strict=False):
            ids += vocabulary.encode(piece, special=True) + vocabulary.encode(content)
        return vocabulary.begun(ids + vocabulary.encode(pieces[-1] + prompt.lead, special=True))

    def _room(self, like: str) -> int:
        return math.ceil(LONGEST * len(self._vocabulary.encode(like))) + SLACK

    def _guide(self, prompt: Prompt) -> Guide:
        encode = self._vocabulary.encode
        return Guide(
            bridge=tuple(encode(f"\n{prompt.bridge}")) if prompt.bridge else (),
            longest_input=self._room(prompt.input_like),
            longest_output=self._room(max((prompt.output_like, *prompt.answers), key=len)),
            shortest_input=0 if prompt.form == "paper" else int(SHORTEST * len(encode(prompt.input_like))),
            enders=self._enders,
            answers=tuple(tuple(encode(f" {answer}\n")) for answer in prompt.answers),
        )

    def _read_prompt(self, ids: list[int], should_stop: Callable[[], bool]) -> bool:
        """Have the prompt, and nothing else, in the context; false if stopped on the way."""
        if ids == self._kept:
            return True
        # The last token is read again in any case: its logits are wanted.
        same = min(_common(ids, self._kept), len(ids) - 1) // READ_TOGETHER * READ_TOGETHER
        self._kept = []
        self._context.cut(_PROMPT, same)
        for start in range(same, len(ids), READ_TOGETHER):
            if should_stop():
                return False
            (logits,) = self._context.read([(_PROMPT, ids[start : start + READ_TOGETHER])])
        self._after_prompt = logits.copy()
        self._kept = ids
        return True

    def _advance(self, strand: Strand, logits: Logits, temperature: float) -> None:
        possible = without(logits, strand.banned) if strand.banned else logits
        token = choose(possible, temperature, strand.draw, strand.allowed)
        strand.accept(token, self._vocabulary.piece(token), self._vocabulary.ends(token))

    def _decode(self, strands: Sequence[Strand], temperature: float, should_stop: Callable[[], bool]) -> None:
        """Take strands to their ends, one token of each at a time."""
        for number, strand in enumerate(strands, 1):
            self._context.copy(_PROMPT, number)
            self._advance(strand, self._after_prompt, temperature)
        while (going := [(number, strand) for number, strand in enumerate(strands, 1) if not strand.done]) and (
            not should_stop()
        ):
            all_logits = self._context.read((number, strand.waiting) for number, strand in going)
            for (_, strand), logits in zip(going, all_logits, strict=True):
                self._advance(strand, logits, temperature)
        for number in range(1, len(strands) + 1):
            self._context.drop(number)

    def write(
        self, prompt: Prompt, seeds: Sequence[int], temperature: float, should_stop: Callable[[], bool]
    ) -> list[Sample]:
        """See LanguageModel."""
        ids, guide = self.prompt_ids(prompt), self._guide(prompt)
        together = min((self._tokens - len(ids)) // guide.room, TOGETHER)
        if together < 1:
            raise RecordTooLong(
                f"A record should leave room for a sample in {self._tokens:,} tokens, but it takes {len(ids):,} and"
                f" {guide.room:,} more; shorten it or leave it out."
            )
        strands = [Strand(guide, seed) for seed in seeds]
        try:
            if self._read_prompt(ids, should_stop):
                for start in range(0, len(strands), together):
                    self._decode(strands[start : start + together], temperature, should_stop)
        except BaseException:
            # What is in the context is not known any more.
            self._kept = []
            self._context.clear()
            raise
        return [strand.sample() for strand in strands]
