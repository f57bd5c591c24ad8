"""What a rewrite must not change: its numbers, mentions, tags and addresses. Knows no model.

An inference model of 22 million parameters overlooks a changed number; this does not.
"""

import collections
import re

_NUMBER_WORDS = {
    word: str(number)
    for number, words in enumerate(
        (
            "zero", "one first", "two second twice", "three third", "four fourth", "five fifth", "six sixth",
            "seven seventh", "eight eighth", "nine ninth", "ten tenth", "eleven eleventh", "twelve twelfth",
        )
    )
    for word in words.split()
}  # fmt: skip
"""Number words up to twelve, English: "1st class" and "first class" say the same."""
_COMMON = ("1", "2")
"""Numbers that English words stand for without counting: "no one", "on the one hand", "a second time"."""
_MARKS = re.compile(r"https?://\S+|[@#]\w+")
_QUOTED = re.compile(r"[\"“]([^\"“”]{2,60})[\"”]")
_ANY_WORD = re.compile(r"[^\W_]+")
_WORDS = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+")


def _numbers(text: str) -> set[str]:
    words = _WORDS.findall(_MARKS.sub(" ", text.lower()))
    return {_NUMBER_WORDS.get(word, word) for word in words if word[0].isdigit() or word in _NUMBER_WORDS}


def _marks(text: str) -> collections.Counter[str]:
    return collections.Counter(mark.lower().rstrip(".,!?;:)") for mark in _MARKS.findall(text))


def _names(text: str) -> set[str]:
    """What was quoted, and words with a capital after their first character: MIREX, GitHub, TCN."""
    quoted = {one.lower() for one in _QUOTED.findall(text)}
    words = _ANY_WORD.findall(_MARKS.sub(" ", text))
    return quoted | {word.lower().rstrip("s") for word in words if any(map(str.isupper, word[1:]))}


def same_facts(original: str, rewrite: str) -> bool:
    """Whether a rewrite holds the same numbers, @mentions, #tags and web addresses, and all that was quoted or
    written with capitals inside."""
    before, after = _numbers(original), _numbers(rewrite)
    if before.difference(_COMMON) != after.difference(_COMMON) or _marks(original) != _marks(rewrite):
        return False
    said = rewrite.lower()
    return all(name in said for name in _names(original))
