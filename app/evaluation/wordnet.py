"""English synonyms from the WordNet database files (Princeton WordNet 3.0 or 3.1; format: wndb(5WN)).

    index.POS   lemma, ..., and at the line's end the byte offsets of its synsets in data.POS
    data.POS    offset, lexical file, kind, count of words (hex), then word and a hex digit for each, ...
    POS.exc     irregular form and its base forms

The files come with Debian's package `wordnet-base`, and with NLTK's corpus `wordnet`. They are read as they are; a
synonym list of our own there is none.
"""

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from app.errors import ModelMissing

VARIABLE = "CDCDA_WORDNET"
PLACES = (
    "/usr/share/wordnet",
    "/usr/local/share/wordnet",
    "~/nltk_data/corpora/wordnet",
    "/usr/share/nltk_data/corpora/wordnet",
    "/usr/local/share/nltk_data/corpora/wordnet",
)
PARTS = ("noun", "verb", "adj", "adv")

_ENDINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}
"""Morphy's rules of detachment (morphy(7WN)): an ending and what stands in its place in the base form."""


def find_wordnet(folder: Path | None = None) -> Path:
    """The folder of the database: the one named, CDCDA_WORDNET, or where packages put it; raises ModelMissing."""
    named = folder or os.environ.get(VARIABLE)
    for place in [named] if named else PLACES:
        path = Path(place).expanduser()
        if all((path / f"{kind}.{part}").is_file() for kind in ("index", "data") for part in PARTS):
            return path
    where = f"{named} does not hold them" if named else "they are nowhere here"
    raise ModelMissing(
        f"Synonyms need WordNet's database files (index.noun, data.noun and so on) and {where}; install Debian's"
        f" package wordnet-base, name their folder with {VARIABLE}, or leave the method out with `--methods all,-eda`."
    )


def _plain(word: str) -> str:
    """A word of a synset as it is written: spaces, and no mark of an adjective's position such as "(a)"."""
    return word.partition("(")[0].replace("_", " ")


class WordNet:
    """The database; a part of speech is read when a word is first looked up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @functools.cached_property
    def _index(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Offsets of synsets by part of speech and lemma."""
        return {part: dict(self._read_index(part)) for part in PARTS}

    def _read_index(self, part: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        for line in (self._folder / f"index.{part}").read_text("ascii", "replace").splitlines():
            # The licence's lines begin with two spaces.
            if not line.startswith(" "):
                fields = line.split()
                yield fields[0], tuple(int(offset) for offset in fields[-int(fields[2]) :])

    @functools.cached_property
    def _exceptions(self) -> dict[str, dict[str, tuple[str, ...]]]:
        found: dict[str, dict[str, tuple[str, ...]]] = {part: {} for part in PARTS}
        for part in PARTS:
            path = self._folder / f"{part}.exc"
            for line in path.read_text("ascii", "replace").splitlines() if path.is_file() else ():
                form, *bases = line.split()
                found[part][form] = tuple(bases)
        return found

    def _bases(self, part: str, word: str) -> list[str]:
        """The word itself and the base forms that it may be an inflection of, where the index has them."""
        candidates = [word, *self._exceptions[part].get(word, ())]
        candidates += [word.removesuffix(old) + new for old, new in _ENDINGS[part] if word.endswith(old)]
        return [candidate for candidate in dict.fromkeys(candidates) if candidate in self._index[part]]

    def _synset(self, part: str, offset: int) -> list[str]:
        with (self._folder / f"data.{part}").open("rb") as file:
            file.seek(offset)
            fields = file.readline().decode("ascii", "replace").split()
        return [_plain(fields[4 + 2 * number]) for number in range(int(fields[3], 16))]

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - one database lives as long as the process
    def synonyms(self, word: str) -> tuple[str, ...]:
        """Every other word of the synsets that the word is in, any part of speech, in order; none for unknown words."""
        lemma = word.lower().replace(" ", "_")
        synsets = {
            (part, offset) for part in PARTS for base in self._bases(part, lemma) for offset in self._index[part][base]
        }
        words = {other for part, offset in synsets for other in self._synset(part, offset)}
        return tuple(sorted(other for other in words if other.lower() != word.lower()))


@functools.lru_cache(maxsize=2)
def open_wordnet(folder: Path) -> WordNet:
    """The database in that folder, read once a process."""
    return WordNet(folder)
