"""A text as pieces of a sentence or a few short ones: what a small model can say anew, and judge, at a time."""

import itertools
import re

PIECE_WORDS = 28
"""Sentences are put together up to so many words; a longer sentence stands alone."""

_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+(?=[^\W\d_a-zß-ÿ]|[@#\"“'(\d])|(?<=[。！？])")


def _sentences(text: str) -> list[str]:
    starts = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(starts)]


def pieces(text: str, words: int = PIECE_WORDS) -> list[str]:
    """The sentences of a text, short ones put together up to so many words; white space between them is lost."""
    found: list[str] = []
    for sentence in filter(None, map(str.strip, _sentences(text))):
        if found and len(found[-1].split()) + len(sentence.split()) <= words:
            found[-1] += " " + sentence
        else:
            found.append(sentence)
    return found
