"""What a rewrite must not change: numbers, days, mentions, tags, addresses, names, persons, and whether it asks.
Knows no model.

An inference model of 22 million parameters overlooks a changed number, and takes a question or a greeting at the end
for nothing new; this does not. Number words, days and persons are English; the rest holds in any language.
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
_DAYS = frozenset(
    (
        "today", "tonight", "tomorrow", "yesterday",
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "march",
        "april", "june", "july", "august", "september", "october", "november", "december",
    )
)  # fmt: skip
"""May is left out: it is mostly a verb."""
_PERSONS = tuple(
    frozenset(words.split())
    for words in (
        "i me my mine myself im",
        "you your yours yourself yourselves u ur",
        "he him his himself she her hers herself",
        "they them their theirs themselves",
    )
)
"""English words for those who speak, are spoken to and are spoken of. "We" is left out: papers come and go with it."""
_MARKS = re.compile(r"https?://\S+|[@#]\w+")
_THANKS = re.compile(r"\bthank (?:you|u)\b")
"""Says nothing to anybody: else "thank you" could become "you're welcome"."""
_GRATEFUL = ("thank", "thx", "grateful", "gratitude", "glad", "appreciat", "cheers")
"""Beginnings of English words that thank."""
_QUOTED = re.compile(r"[\"“]([^\"“”]{2,60})[\"”]")
_ANY_WORD = re.compile(r"[^\W_]+")
_WORDS = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+")


def _numbers(text: str) -> frozenset[str]:
    """Numbers as digits, and days."""
    words = _WORDS.findall(_MARKS.sub(" ", text.lower()))
    return _DAYS.intersection(words) | {
        _NUMBER_WORDS.get(word, word) for word in words if word[0].isdigit() or word in _NUMBER_WORDS
    }


def _marks(text: str) -> collections.Counter[str]:
    return collections.Counter(mark.lower().rstrip(".,!?;:)") for mark in _MARKS.findall(text))


def _names(text: str) -> set[str]:
    """What was quoted, and words with a capital after their first character: MIREX, GitHub, TCN."""
    quoted = {one.lower() for one in _QUOTED.findall(text)}
    words = _ANY_WORD.findall(_MARKS.sub(" ", text))
    return quoted | {word.lower().rstrip("s") for word in words if any(map(str.isupper, word[1:]))}


def _thanks(text: str) -> bool:
    return any(word.startswith(_GRATEFUL) for word in _ANY_WORD.findall(text.lower()))


def _persons(text: str) -> list[int]:
    """How often each person occurs; whoever thanks is there, said or not."""
    words = _ANY_WORD.findall(_THANKS.sub(" ", text.lower()))
    return [sum(word in person for word in words) for person in _PERSONS[_thanks(text) :]]


def _same_persons(original: str, rewrite: str) -> bool:
    pairs = zip(_persons(original), _persons(rewrite), strict=True)
    return all(bool(before) == bool(after) and after <= before for before, after in pairs)


def same_facts(original: str, rewrite: str) -> bool:
    """Whether a rewrite holds the same numbers, days, @mentions, #tags and web addresses, and all that was quoted or
    written with capitals inside; asks if and only if the original does, and no more often; thanks if and only if it
    does; and speaks of and to the same persons, none of them more often."""
    before, after = _numbers(original), _numbers(rewrite)
    if before.difference(_COMMON) != after.difference(_COMMON) or _marks(original) != _marks(rewrite):
        return False
    asked, asks = original.count("?"), rewrite.count("?")
    if asks > asked or (asked and not asks) or _thanks(original) != _thanks(rewrite):
        return False
    if not _same_persons(original, rewrite):
        return False
    said = rewrite.lower()
    return all(name in said for name in _names(original))
