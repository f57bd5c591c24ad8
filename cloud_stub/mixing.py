"""Texts between a piece and its rewrites: each takes some of the changes that the rewrites make, and leaves the rest.

A small model that is asked to say a sentence anew changes five things, of which four are right. What it changed word by
word is found by difflib; a text that takes the right ones only is better than every rewrite. Knows no model: whether a
mixture holds is for others to say.
"""

import collections
import difflib
import itertools
import random
import re
from collections.abc import Iterator, Sequence

MOST_CHANGES = 6
"""A rewrite with more changes is another text: its changes are not taken apart."""
SHORT = 4
"""Tokens; changes that are no longer than this, before and after, are put beside those of other rewrites."""
APART = 3
"""Tokens between two changes of different rewrites; nearer ones would not fit each other's grammar."""
TRIPLES = 300
"""Draws of three changes from different rewrites."""

Change = tuple[int, int, tuple[str, ...]]
"""The piece's tokens from and up to, and the tokens in their place."""

_TOKEN = re.compile(r"\s*(?:[@#]?\w+(?:['’]\w+)*|[^\w\s])")
_WORD = re.compile(r"[^\W_]+")


def _tokens(text: str) -> list[str]:
    """Words and marks, each with the white space before it."""
    return _TOKEN.findall(text)


def _changes(before: Sequence[str], rewrite: str) -> tuple[Change, ...]:
    after = _tokens(rewrite)

    def plain(tokens: Sequence[str]) -> list[str]:
        return [token.strip().lower() for token in tokens]

    found = difflib.SequenceMatcher(None, plain(before), plain(after), autojunk=False).get_opcodes()
    return tuple((start, end, tuple(after[first:last])) for kind, start, end, first, last in found if kind != "equal")


def _applied(before: Sequence[str], changes: Sequence[Change]) -> str:
    made = list(before)
    for start, end, tokens in sorted(changes, reverse=True):
        made[start:end] = tokens
    return "".join(made).strip()


def _parts(changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    """Every choice of some of a rewrite's own changes, the largest first."""
    if len(changes) <= MOST_CHANGES:
        for count in range(len(changes) - 1, 0, -1):
            yield from itertools.combinations(changes, count)


def _fit(changes: Sequence[Change]) -> bool:
    return all(later[0] - earlier[1] >= APART for earlier, later in itertools.pairwise(changes))


def _across(changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    """Two or three short changes of any rewrites that stand apart."""
    short = sorted({change for change in changes if change[1] - change[0] <= SHORT and len(change[2]) <= SHORT})
    yield from filter(_fit, itertools.combinations(short, 2))
    draw = random.Random(len(short))
    for _ in range(TRIPLES if len(short) > 2 else 0):
        if _fit(three := tuple(sorted(draw.sample(short, 3)))):
            yield three


def _counts(text: str) -> collections.Counter[str]:
    return collections.Counter(_WORD.findall(text.lower()))


def repeats(original: str, text: str) -> bool:
    """Whether a text says a longer word more often than its original, or any word twice in a row."""
    before, words = _counts(original), _WORD.findall(text.lower())
    if any(count > max(1, before[word]) for word, count in _counts(text).items() if len(word) > 3):
        return True
    return any(one == other for one, other in itertools.pairwise(words))


def mixtures(piece: str, rewrites: Sequence[str]) -> list[str]:
    """Distinct texts between the piece and its rewrites, none of them one of these; those of one rewrite come first."""
    before = _tokens(piece)
    own = [_changes(before, rewrite) for rewrite in rewrites]
    chosen = itertools.chain(
        itertools.chain.from_iterable(_parts(changes) for changes in own),
        _across([change for changes in own for change in changes]),
    )
    known = {piece.lower(), *(rewrite.lower() for rewrite in rewrites)}
    made = (_applied(before, changes) for changes in chosen)
    return [text for text in dict.fromkeys(made) if text.lower() not in known and not repeats(piece, text)]
