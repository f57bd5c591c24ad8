"""Easy data augmentation (Wei and Zou 2019): a text with some words replaced, inserted, swapped or deleted.

Each new text comes from one of the four operations, in turn, with a share of the words changed that the paper
calls alpha. Words are what white space separates; letter case and punctuation stay, unlike in the paper's own code,
because here texts are learned from as they are.
"""

import functools
import random
import re
from collections.abc import Callable, Sequence

from app.evaluation.wordnet import WordNet
from app.lamp import LampPair

ALPHA = 0.1
"""Share of the words that an operation changes; the paper's advice for small sets is 0.05 to 0.1."""

Words = list[str]
_CORE = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)
"""A word without the punctuation around it."""


@functools.cache
def _stop_words() -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    return frozenset(STOPWORDS_EN_PLUS)


def _core(word: str) -> str:
    found = _CORE.search(word)
    return found[0] if found else ""


def _swappable(words: Words, wordnet: WordNet) -> list[int]:
    """Places of words that are no stop words and have synonyms."""
    stops = _stop_words()
    return [
        place
        for place, word in enumerate(words)
        if _core(word) and _core(word).lower() not in stops and wordnet.synonyms(_core(word))
    ]


def _cased(synonym: str, like: str) -> str:
    return synonym[:1].upper() + synonym[1:] if like[:1].isupper() else synonym


def replace_synonyms(words: Words, count: int, wordnet: WordNet, draw: random.Random) -> Words:
    """So many words replaced by one of their synonyms, wherever they stand."""
    places = _swappable(words, wordnet)
    cores = sorted({_core(words[place]) for place in places})
    chosen = {core: draw.choice(wordnet.synonyms(core)) for core in draw.sample(cores, min(count, len(cores)))}
    return [
        word.replace(_core(word), _cased(chosen[_core(word)], _core(word)), 1) if _core(word) in chosen else word
        for word in words
    ]


def insert_synonyms(words: Words, count: int, wordnet: WordNet, draw: random.Random) -> Words:
    """A synonym of a word of the text put at a random place, so many times."""
    words = list(words)
    for _ in range(count):
        places = _swappable(words, wordnet)
        if places:
            synonym = draw.choice(wordnet.synonyms(_core(words[draw.choice(places)])))
            words.insert(draw.randint(0, len(words)), synonym)
    return words


def swap_words(words: Words, count: int, wordnet: WordNet, draw: random.Random) -> Words:
    """Two words that change places, so many times."""
    words = list(words)
    for _ in range(count if len(words) > 1 else 0):
        one, other = draw.sample(range(len(words)), 2)
        words[one], words[other] = words[other], words[one]
    return words


def delete_words(words: Words, count: int, wordnet: WordNet, draw: random.Random) -> Words:
    """Each word deleted with a probability that deletes `count` of them on average; one word always stays."""
    kept = [word for word in words if draw.random() >= count / len(words)]
    return kept or [draw.choice(words)]


OPERATIONS: tuple[Callable[[Words, int, WordNet, random.Random], Words], ...] = (
    replace_synonyms,
    insert_synonyms,
    swap_words,
    delete_words,
)


def augment_text(text: str, number: int, seed: int, wordnet: WordNet, alpha: float = ALPHA) -> str:
    """The text's new version of that number, from 0: operation number modulo four, drawn from seed and text."""
    words = text.split()
    if not words:
        return text
    draw = random.Random(f"{seed} {number} {text}")
    count = max(1, round(alpha * len(words)))
    return " ".join(OPERATIONS[number % len(OPERATIONS)](words, count, wordnet, draw))


def augment(records: Sequence[LampPair], count: int, seed: int, wordnet: WordNet) -> list[LampPair]:
    """`count` new pairs for each record, outputs unchanged; versions that came out as the text itself are left out.

    A record without an input (LaMP-7: a text learned by itself) has its text changed.
    """
    made = []
    for record in records:
        for number in range(count):
            changed = augment_text(record.input or record.output, number, seed, wordnet)
            if changed != " ".join((record.input or record.output).split()):
                pair = (changed, record.output) if record.input else ("", changed)
                made.append(LampPair(*pair, date=record.date))
    return list(dict.fromkeys(made))
