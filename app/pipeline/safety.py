"""Whether a synthetic pair holds what would leak or harm and its record does not: a fourth check beside the filters.

A model can invent an address, repeat one from its training, or put a slur into somebody's mouth. What the record
itself holds is the person's own and no finding. Words come from the lists of the package glin-profanity.
"""

import functools
import importlib.resources
import json
import re
from collections.abc import Sequence

from app.pipeline.sensitivity import findings

LANGUAGES = (
    "english", "german", "french", "spanish", "portuguese", "polish", "russian",
    "arabic", "chinese", "japanese", "korean", "hindi", "thai", "persian",
)  # fmt: skip
"""Lists that are used; the others hold words that mean something else in English."""
OFFENSIVE = "offensive word"
_LONGEST_PHRASE = 3
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
"""Thai, Japanese and Chinese: words are not told apart by spaces."""


@functools.cache
def _listed() -> tuple[frozenset[str], tuple[str, ...]]:
    """Words and short phrases; and those of scripts without spaces."""
    folder = importlib.resources.files("glin_profanity") / "data" / "dictionaries"
    words: set[str] = set()
    for language in LANGUAGES:
        words.update(map(str.casefold, json.loads((folder / f"{language}.json").read_text("utf-8"))["words"]))
    unspaced = tuple(sorted(word for word in words if _WITHOUT_SPACES.search(word)))
    return frozenset(words.difference(unspaced)), unspaced


@functools.lru_cache(maxsize=50_000)
def offensive_words(text: str) -> frozenset[str]:
    """The words and short phrases of a text that are on a list, in lower case."""
    spaced, unspaced = _listed()
    lower = text.casefold()
    words = _WORD.findall(lower)
    phrases = (
        " ".join(words[start : start + length])
        for length in range(1, _LONGEST_PHRASE + 1)
        for start in range(len(words) - length + 1)
    )
    found = {phrase for phrase in phrases if phrase in spaced}
    if _WITHOUT_SPACES.search(lower):
        found.update(word for word in unspaced if word in lower)
    return frozenset(found)


@functools.lru_cache(maxsize=50_000)
def _kinds(text: str) -> frozenset[str]:
    return frozenset(findings(text))


def added(pair: Sequence[str], record: Sequence[str]) -> tuple[str, ...]:
    """The kinds of things that the texts of a pair hold and those of its record do not, such as "phone number"."""
    kinds = frozenset[str]().union(*map(_kinds, pair)) - frozenset[str]().union(*map(_kinds, record))
    words = frozenset[str]().union(*map(offensive_words, pair)) - frozenset[str]().union(*map(offensive_words, record))
    return (*sorted(kinds), *([OFFENSIVE] if words else []))
