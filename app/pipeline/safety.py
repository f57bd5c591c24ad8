"""Whether a synthetic pair holds what would leak or harm and its record does not: a fourth check beside the filters.

A model can invent an address, repeat one from its training, or put a slur into somebody's mouth. What the record
itself holds is the person's own and no finding. Words come from the lists of the package glin-profanity.
"""

import dataclasses
import functools
import importlib.resources
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from app.pipeline.sensitivity import find

LANGUAGES = (
    "english", "german", "french", "spanish", "portuguese", "polish", "russian",
    "arabic", "chinese", "japanese", "korean", "hindi", "thai", "persian",
)  # fmt: skip
"""Lists that are used; the others hold words that mean something else in English."""
OFFENSIVE = "offensive word"
NAME = "name"
_Thing = TypeVar("_Thing")
_LONGEST_PHRASE = 3
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
"""Thai, Japanese and Chinese: words are not told apart by spaces."""


@dataclasses.dataclass(frozen=True)
class _Lists:
    """What is listed, apart by how it is looked for."""

    words: frozenset[str]
    phrases: frozenset[str]
    begin: frozenset[str]
    """First words of the phrases: most texts hold none of them, and their phrases need not be made."""
    unspaced: tuple[str, ...]
    """Of scripts without spaces."""


@functools.cache
def _listed() -> _Lists:
    folder = importlib.resources.files("glin_profanity") / "data" / "dictionaries"
    listed: set[str] = set()
    for language in LANGUAGES:
        listed.update(map(str.casefold, json.loads((folder / f"{language}.json").read_text("utf-8"))["words"]))
    unspaced = tuple(sorted(word for word in listed if _WITHOUT_SPACES.search(word)))
    spaced = listed.difference(unspaced)
    phrases = frozenset(phrase for phrase in spaced if " " in phrase)
    return _Lists(frozenset(spaced - phrases), phrases, frozenset(phrase.split(" ")[0] for phrase in phrases), unspaced)


def _phrases(words: Sequence[str], begin: frozenset[str]) -> Iterator[str]:
    """What phrases could be, of the words that one begins with."""
    for start, word in enumerate(words):
        if word in begin:
            yield from (" ".join(words[start : start + length]) for length in range(2, _LONGEST_PHRASE + 1))


@functools.lru_cache(maxsize=50_000)
def offensive_words(text: str) -> frozenset[str]:
    """The words and short phrases of a text that are on a list, in lower case."""
    listed, lower = _listed(), text.casefold()
    words = _WORD.findall(lower)
    found = set(listed.words.intersection(words))
    if not listed.begin.isdisjoint(words):
        found.update(listed.phrases.intersection(_phrases(words, listed.begin)))
    if not lower.isascii() and _WITHOUT_SPACES.search(lower):
        found.update(word for word in listed.unspaced if word in lower)
    return frozenset(found)


def _bare(text: str) -> str:
    """Letters and digits alone: "(020) 7946-0958" and "020 79460958" are the same number."""
    return "".join(filter(str.isalnum, text.casefold()))


@functools.lru_cache(maxsize=50_000)
def _found(text: str) -> frozenset[tuple[str, str]]:
    """Kind and bare text of what looks personal or secret."""
    return frozenset((finding.kind, _bare(finding.text)) for finding in find(text))


def _of_all(look: Callable[[str], frozenset[_Thing]], texts: Sequence[str]) -> frozenset[_Thing]:
    return frozenset[_Thing]().union(*map(look, texts))


def _new_kinds(pair: Sequence[str], record: Sequence[str]) -> set[str]:
    """Kinds of what the pair holds and the record nowhere says."""
    said = "\n".join(map(_bare, record))
    new = {kind for kind, thing in _of_all(_found, pair) if thing not in said}
    # A rewrite may say of a person "Ms Lee" for "Anna Lee": where the record names people, no name is a finding.
    named = any(kind == NAME for kind, _ in _of_all(_found, record))
    return new - {NAME} if named else new


# Of pairs as well as of texts: every look at Review asks for all of them, and one look-up is a quarter of four.
@functools.lru_cache(maxsize=50_000)
def _added(pair: tuple[str, ...], record: tuple[str, ...]) -> tuple[str, ...]:
    kinds = _new_kinds(pair, record)
    words = _of_all(offensive_words, pair) - _of_all(offensive_words, record)
    return (*sorted(kinds), *([OFFENSIVE] if words else []))


def added(pair: Sequence[str], record: Sequence[str]) -> tuple[str, ...]:
    """The kinds of things that the texts of a pair hold and those of its record do not, such as "phone number"."""
    return _added(tuple(pair), tuple(record))
