"""Looks at records once: what in them is personal, and with which words they begin and end.

A newer version of the program, or a recogniser of names that was installed since, looks at all of them again.
Two records are almost the same when they begin or end with the same words and share nine tenths of all their words, in
the input and in the output. Case, punctuation and spacing do not count, unless a text is nothing else, as an emoji is.
Knows no file and no screen.
"""

import contextlib
import functools
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator

from app.pipeline.sensitivity import edition, findings
from personal_store import preferences, records
from personal_store.nouns import Examined, NewRecord, Record
from personal_store.store import Store

ENDS = 8
"""Words at either end that must be the same before two records are compared."""
ALIKE = 0.9
"""Least share of common words, of all words of the two (Jaccard on the bags of words)."""
OUTER = 120
"""Characters at either end of a text in which so many words are looked for first."""
MOST_COMPARED = 25
"""Records that one is compared with: many may begin with the same words without being the same."""
AT_ONCE = 2_000
LOOKED_WITH = "looked with"
"""The preference that holds the edition of what the records were looked at with."""

WORD = re.compile(r"\w+")
"""What the stored hashes are of; it leaves marks out, such as the vowel signs of Hindi."""
FIRST_WORDS = re.compile(r"\W*+" + r"\W++".join([r"(\w++)"] * ENDS) + r"\W")


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def _hash(words: str) -> int:
    # Nothing stands at the end where a text has no words.
    return zlib.crc32(words.rstrip().encode())


def _first_words(text: str) -> str:
    """The first words, in lower case; of a long text mostly its beginning alone is looked at."""
    # A word at the very cut may go on behind it, so the pattern wants something after the last one.
    if found := FIRST_WORDS.match(text[:OUTER].casefold()):
        return " ".join(found.groups())
    return " ".join(_words(text)[:ENDS])


def _last_words(text: str) -> str:
    """The last words, found as the first ones of the text read backwards."""
    if found := FIRST_WORDS.match(text[-OUTER:].casefold()[::-1]):
        return " ".join(found.groups())[::-1]
    return " ".join(_words(text)[-ENDS:])


def ends(task: str, input: str) -> tuple[int, int]:
    """Hashes of the first and the last words of an input; a last one is never equal to a first one."""
    return _hash(f"{task} first {_first_words(input)}"), _hash(f"{task} last {_last_words(input)}")


@functools.cache
def _whole_word() -> re.Pattern[str]:
    """A word with its marks."""
    # Planes 0 and 1 hold all marks but the variation selectors of Han.
    marks = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
    return re.compile(rf"\w[\w{marks}]*")


def _bag(text: str) -> Counter[str]:
    return Counter(_words(text) if text.isascii() else _whole_word().findall(text.casefold()))


def alike(one: str, other: str) -> bool:
    """Whether two texts share nine tenths of their words; without words they must be the same."""
    if one == other:
        return True
    first, second = _bag(one), _bag(other)
    return (first & second).total() >= ALIKE * max((first | second).total(), 1)


def examined(task: str, input: str, output: str, created_at: str | None, source: str) -> NewRecord:
    """A new record with what was found in it."""
    return NewRecord(task, input, output, created_at, source, findings(input, output), ends(task, input))


def keep_up(store: Store) -> None:
    """Let records count as not looked at where more, or other things, can be found now than when they were."""
    if preferences.get(store, LOOKED_WITH, "") == edition():
        return
    with store.change():
        records.forget_findings(store)
        preferences.put(store, LOOKED_WITH, edition())


def look(store: Store) -> None:
    """Look at every record that nobody has looked at; one with findings that is shared unasked is shared no more."""
    keep_up(store)
    while waiting := records.unexamined(store, AT_ONCE):
        records.note_findings(
            store,
            [
                Examined(item.id, item.content_hash, findings(item.input, item.output), ends(item.task, item.input))
                for item in waiting
            ],
        )


@contextlib.contextmanager
def change_looked_at(store: Store) -> Iterator[None]:
    """A change of the store before which every record is looked at: that may take long, and others wait for a change.

    What is new inside is left to `look` there.
    """
    look(store)
    with store.change():
        yield


def _same(one: NewRecord, other: NewRecord | Record) -> bool:
    return one.task == other.task and alike(one.input, other.input) and alike(one.output, other.output)


class Known:
    """Finds what is almost the same as a record: among stored ones, and among those that came before it."""

    def __init__(self, store: Store, coming: Iterable[NewRecord]) -> None:
        self._by_end: dict[int, list[tuple[str, NewRecord | Record]]] = {}
        counts = Counter(end for record in coming for end in record.ends or ())
        # Most ends stand alone in their file, and nothing will ever be compared by them.
        for end, count in counts.items():
            if count > 1:
                self._by_end[end] = []
        if records.count_records(store).total:
            look(store)
            for record, *places in records.with_ends(store, counts):
                for place in places:
                    self._by_end.setdefault(place, [])
                self._enter(f"record {record.id}", record, places)

    def _enter(self, name: str, record: NewRecord | Record, places: Iterable[int]) -> None:
        for place in places:
            others = self._by_end.get(place)
            if others is not None and len(others) < MOST_COMPARED:
                others.append((name, record))

    def twin(self, record: NewRecord, name: str) -> str | None:
        """What it is almost the same as, in words; a record without a twin is known under its name from now on."""
        for end in record.ends or ():
            for other_name, other in self._by_end.get(end, ()):
                if _same(record, other):
                    exactly = (record.input, record.output) == (other.input, other.output)
                    # An exact repeat is the store's to count.
                    return None if exactly else other_name
        self._enter(name, record, record.ends or ())
        return None
