"""A GGUF model in process, on llama.cpp: what a prompt is in its tokens, and what holds for its samples."""

import asyncio
import math
import os
from collections.abc import Callable, Sequence

from cloud_stub.decoding import PROMPTS, TOGETHER, Call, Decoder
from cloud_stub.errors import ModelNotUsable, RecordTooLong
from cloud_stub.llama_library import Context, Vocabulary, library, open_model
from cloud_stub.models import ModelFile
from cloud_stub.prompts import Prompt
from cloud_stub.strands import Guide, Strand
from cloud_stub.writing import Sample

CONTEXT = 12_288
"""Tokens that a prompt and its samples share."""
LONGEST = 2.5
"""A part that becomes so many times as long as the example's is given up: no length filter would keep it."""
SLACK = 16
"""Tokens on top of that, for examples of a word or two."""
SHORTEST = 0.6
"""A rewritten part does not end before it is so many times as long as the example's; a small model would write its
first sentence alone. The source's prompt is left to the model."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LlamaModel:
    """See cloud_stub.writing.LanguageModel."""

    def __init__(self, file: ModelFile, context: int = CONTEXT, threads: int | None = None) -> None:
        """Load the file; raises ModelNotUsable."""
        self._model = open_model(file.path)
        self._tokens = min(context, int(library().llama_model_n_ctx_train(self._model)))
        self._vocabulary = Vocabulary(self._model)
        self._vocabulary.turns()
        self._context = Context(self._model, self._tokens, PROMPTS + TOGETHER, threads or processors())
        self._enders = self._vocabulary.enders()
        self._decoder = Decoder(self._context, self._vocabulary, self._tokens)

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

    async def write(
        self, prompt: Prompt, seeds: Sequence[int], temperature: float, should_stop: Callable[[], bool]
    ) -> list[Sample]:
        """See LanguageModel."""
        ids, guide = self.prompt_ids(prompt), self._guide(prompt)
        if len(ids) + guide.room > self._tokens:
            raise RecordTooLong(
                f"A record should leave room for a sample in {self._tokens:,} tokens, but it takes {len(ids):,} and"
                f" {guide.room:,} more; shorten it or leave it out."
            )
        strands = [Strand(guide, seed) for seed in seeds]
        ended = asyncio.get_running_loop().create_future()
        await self._decoder.decode(Call(ids, strands, guide.room, temperature, should_stop, ended))
        return [strand.sample() for strand in strands]
