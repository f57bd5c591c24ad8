"""What a rewrite must not change: numbers, days, mentions, tags, addresses, names, persons, how one thing stands to
another, and whether it asks. Knows no model.

An inference model of 22 million parameters overlooks a changed number, and takes a question or a greeting at the end
for nothing new; this does not. Number words, days and persons are English; the rest holds in any language.
"""

import collections
import itertools
import re
from collections.abc import Collection, Sequence

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
        "i me myself im",
        "you yourself yourselves u",
        "he him himself she her herself",
        "they them themselves",
    )
)
"""English words for those who speak, are spoken to and are spoken of. "We" is left out: papers come and go with it."""
_POSSESSIVES = tuple(frozenset(words.split()) for words in ("my mine", "your yours ur", "his", "their theirs"))
_MARKS = re.compile(r"https?://\S+|[@#]\w+")
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about after all also although am amp an and any are aren as at away be because been before being
        both but by can could couldn d did didn do does doesn doing don done down each even every for from
        get gets getting go goes going got had hadn has hasn have haven having he her here hers him his how
        however i if in into is isn it its just ll m may me might mine must my myself n no nor not of off on
        one ones onto or other our ours out over re s shall she should since so some still t than that the their
        theirs them then there these they this those though to too u under up ur us ve very was wasn we went
        were weren what when where which while who whom whose why will with won would wouldn you your yours
        """,
    )
)
"""English; words of other languages all count as words that say something."""
_CONTRASTS = frozenset(
    ("but", "however", "though", "although", "yet", "nevertheless", "nonetheless", "despite", "while")
)
_RESULTS = frozenset(("so", "therefore", "thus", "hence", "consequently"))
_JOINED = frozenset(("and", "or", "nor"))
_ALTERNATIVES = _JOINED - {"and"}
"""English words that say how one thing stands to another."""
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


def _counts(text: str, groups: Sequence[Collection[str]]) -> list[int]:
    words = _ANY_WORD.findall(_THANKS.sub(" ", text.lower()))
    return [sum(word in group for word in words) for group in groups]


def _same_persons(original: str, rewrite: str) -> bool:
    """Whether the same persons occur, each as often; whoever thanks is there, said or not. Nothing becomes theirs."""
    persons = _PERSONS[_thanks(original) :]
    owned = zip(_counts(original, _POSSESSIVES), _counts(rewrite, _POSSESSIVES), strict=True)
    return _counts(original, persons) == _counts(rewrite, persons) and all(after <= before for before, after in owned)


def _same_joints(original: str, rewrite: str) -> bool:
    """Whether a contrast stays one, no result is drawn that was not, and no more is joined than was."""
    before, after = (_ANY_WORD.findall(text.lower()) for text in (original, rewrite))
    if _CONTRASTS.isdisjoint(before) != _CONTRASTS.isdisjoint(after):
        return False
    if _RESULTS.isdisjoint(before) and not _RESULTS.isdisjoint(after):
        return False
    joined = [[sum(word in words for word in text) for words in (_JOINED, _ALTERNATIVES)] for text in (before, after)]
    return all(now <= then for then, now in zip(*joined, strict=True))


def _turned(original: str, rewrite: str) -> bool:
    """Whether two words that stand next to each other, function words aside, have changed places: "passengers from
    other flights to board" says something else than "passengers to board other flights". "Data of MIREX" does not."""
    before, after = (_ANY_WORD.findall(text.lower()) for text in (original, rewrite))
    shared = set(before) & set(after) - FUNCTION_WORDS
    here, there = (set(itertools.pairwise(word for word in words if word in shared)) for words in (before, after))
    turned = [(one, two) for one, two in here - there if (two, one) in there and one != two]
    said = f" {' '.join(after)} {' '.join(before)} "
    return any(f" {one} of {two} " not in said and f" {two} of {one} " not in said for one, two in turned)


def _speaks_to_somebody(text: str) -> bool:
    return bool(sum(_counts(text, (_PERSONS[1], _POSSESSIVES[1]))))


def same_facts(original: str, rewrite: str) -> bool:
    """Whether a rewrite holds the same numbers, days, @mentions, #tags and web addresses, and all that was quoted or
    written with capitals inside; asks if and only if the original does, and no more often; thanks if and only if it
    does; and speaks to nobody that it did not."""
    before, after = _numbers(original), _numbers(rewrite)
    if before.difference(_COMMON) != after.difference(_COMMON) or _marks(original) != _marks(rewrite):
        return False
    asked, asks = original.count("?"), rewrite.count("?")
    if asks > asked or (asked and not asks) or _thanks(original) != _thanks(rewrite):
        return False
    if _speaks_to_somebody(rewrite) and not _speaks_to_somebody(original):
        return False
    said = rewrite.lower()
    return all(name in said for name in _names(original))


def same_relations(original: str, rewrite: str) -> bool:
    """Whether a rewrite speaks of and to the same persons, as often; contrasts where the original does, and draws a
    conclusion or joins things only where it does; and leaves neighbouring words in their order."""
    return _same_persons(original, rewrite) and _same_joints(original, rewrite) and not _turned(original, rewrite)
