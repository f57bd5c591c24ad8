"""How likely a text is, token by token, to a GGUF model on llama.cpp."""

from typing import Any

import numpy

from cloud_stub.llama_library import BLOCK, Context, Vocabulary, library, open_model
from cloud_stub.llama_model import processors
from cloud_stub.models import ModelFile

LONGEST = 1024
"""Tokens of a text that are looked at."""


def _chosen(logits: Any, token: int) -> float:
    highest = logits.max()
    return float(logits[token] - highest - numpy.log(numpy.exp(logits - highest).sum()))


class Likelihoods:
    """A model that reads and never writes; for one thread at a time."""

    def __init__(self, file: ModelFile) -> None:
        """Load the file; raises ModelNotUsable."""
        self._model = open_model(file.path)
        self._vocabulary = Vocabulary(self._model)
        self._context = Context(self._model, LONGEST + 2, 1, processors())

    def of(self, text: str) -> Any:
        """The log-probability in nats of each token of a text at the start of a line, as an array; 0.0 for no text."""
        start = self._vocabulary.begun(self._vocabulary.encode("\n"))
        ids = start + self._vocabulary.encode(text)[:LONGEST]
        self._context.clear()
        found: list[float] = []
        for first in range(0, len(ids) - 1, BLOCK):
            group = ids[first : first + BLOCK]
            following = ids[first + 1 : first + 1 + BLOCK]
            # A token of its own each time: the logits after each are wanted.
            after = self._context.read((0, [token]) for token in group)
            found += [_chosen(logits, token) for logits, token in zip(after, following, strict=False)]
        return numpy.array(found[len(start) - 1 :] or [0.0])

    def close(self) -> None:
        """Free the model."""
        self._context.close()
        library().llama_model_free(self._model)
