"""Finds the records that are most like a question, by BM25, and puts them into its prompt as LaMP does.

Prompts: Salemi et al. 2024, the templates for retrieval-augmented prompts; one like them for other tasks. Knows no
model and no store.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from app.tasks import Task

RETRIEVED = 4
"""Records that a prompt is given, fewer where they would not fit."""
PROMPT_WORDS = (200, 120, 60, 30)
"""Longest input of a record in a prompt; the next smaller one where the prompt would not fit."""

PATTERNS = {
    "LaMP_1": '"{output}"',
    "LaMP_2": 'the tag for the movie: "{input}" is "{output}"',
    "LaMP_3": '{output} is the score for "{input}"',
    "LaMP_4": '"{output}" is the title for "{input}"',
    "LaMP_5": '"{output}" is the title for "{input}"',
    "LaMP_7": '"{output}"',
}
"""How a record stands in a prompt, by LaMP name."""
OTHER_PATTERN = '"{output}" is what I wrote for "{input}"'
"""For tasks that LaMP does not have."""
BRIDGES = {
    "LaMP_2": ". ",
    "LaMP_3": ". ",
    "LaMP_4": ". ",
    "LaMP_7": " are written by a person. Following the given patterns ",
}
"""What stands between the records and the question, by LaMP name."""
OTHER_BRIDGE = ". Following the given patterns "
"""For LaMP-5, and for tasks that LaMP does not have."""


class Pair(Protocol):
    """A record of any kind."""

    @property
    def input(self) -> str:
        """What was given; empty where there is the text alone."""

    @property
    def output(self) -> str:
        """What the person wrote."""


P = TypeVar("P", bound=Pair)


def _quiet_index(texts: Sequence[str]) -> Any:
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), stopwords="en", show_progress=False), show_progress=False)
    return index


def _text(record: Pair) -> str:
    """What a record is found by: its input, and for a text alone the text."""
    return record.input or record.output


class Retriever(Generic[P]):
    """An index over one person's records, the oldest first."""

    def __init__(self, records: Sequence[P]) -> None:
        self._records = tuple(records)

    @functools.cached_property
    def _index(self) -> Any:
        return _quiet_index([_text(record) for record in self._records])

    def find(self, text: str, count: int) -> list[P]:
        """The records most like the text, best first; of equals the newer one, which stands later in the history."""
        import bm25s
        import numpy as np

        count = min(count, len(self._records))
        if not count:
            return []
        (words,) = bm25s.tokenize([text], stopwords="en", show_progress=False, return_ids=False)
        scores = self._index.get_scores(words) if words else np.zeros(len(self._records))
        order = sorted(range(len(self._records)), key=lambda place: (-scores[place], -place))
        return [self._records[place] for place in order[:count]]


def _cut(text: str, words: int) -> str:
    kept = text.split()
    return text if len(kept) <= words else " ".join(kept[:words])


def augmented_prompt(task: Task, text: str, found: Sequence[Pair], words: int) -> str:
    """The task's prompt with records before it; each record's input is cut to so many words.

    For LaMP-1 the records' titles stand beside the title that the question names.
    """
    question = task.prompt(text)
    if not found:
        return question
    pattern = PATTERNS.get(task.lamp or "", OTHER_PATTERN)
    shown = [pattern.format(input=_cut(record.input, words), output=record.output) for record in found]
    if task.lamp == "LaMP_1":
        before, mark, after = question.partition('", which reference')
        return f'{before}", and {", and ".join(shown)}{mark.lstrip(chr(34))}{after}' if mark else question
    return f"{', and '.join(shown)}{BRIDGES.get(task.lamp or '', OTHER_BRIDGE)}{question}"


def augmented_prompts(task: Task, text: str, found: Sequence[Pair]) -> Iterator[tuple[int, str]]:
    """How many records, and the prompt: all of them at length, then shorter and fewer; the first that fits is meant."""
    for count in range(len(found), 0, -1):
        for words in PROMPT_WORDS:
            yield count, augmented_prompt(task, text, found[:count], words)
