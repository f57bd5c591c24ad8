"""Finds the records that are most like a question, by BM25, and puts them into its prompt as LaMP does.

Prompts: Salemi et al. 2024, the templates for retrieval-augmented prompts. Knows no model.
"""

import functools
from collections.abc import Sequence
from typing import Any

from app.lamp import LampPair
from app.tasks import Task

RETRIEVED = 4
"""Records that a prompt is given, fewer where they would not fit."""

PATTERNS = {
    "LaMP_1": '"{output}"',
    "LaMP_2": 'the tag for the movie: "{input}" is "{output}"',
    "LaMP_3": '{output} is the score for "{input}"',
    "LaMP_4": '"{output}" is the title for "{input}"',
    "LaMP_5": '"{output}" is the title for "{input}"',
    "LaMP_7": '"{output}"',
}
"""How a record stands in a prompt, by LaMP name."""
FOLLOWING = "Following the given patterns "
BY_A_PERSON = " are written by a person. "


def _quiet_index(texts: Sequence[str]) -> Any:
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), stopwords="en", show_progress=False), show_progress=False)
    return index


def _text(record: LampPair) -> str:
    """What a record is found by: its input, and for a text alone the text."""
    return record.input or record.output


class Retriever:
    """An index over one person's records."""

    def __init__(self, records: Sequence[LampPair]) -> None:
        self._records = tuple(records)

    @functools.cached_property
    def _index(self) -> Any:
        return _quiet_index([_text(record) for record in self._records])

    def find(self, text: str, count: int) -> list[LampPair]:
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


def augmented_prompt(task: Task, text: str, found: Sequence[LampPair], words: int) -> str:
    """The task's prompt with records before it; each record's input is cut to so many words.

    For LaMP-1 the records' titles stand beside the title that the question names.
    """
    assert task.lamp is not None
    question = task.prompt(text)
    if not found:
        return question
    pattern = PATTERNS[task.lamp]
    shown = [pattern.format(input=_cut(record.input, words), output=record.output) for record in found]
    if task.lamp == "LaMP_1":
        before, mark, after = question.partition('", which reference')
        return f'{before}", and {", and ".join(shown)}{mark.lstrip(chr(34))}{after}' if mark else question
    joined = ", and ".join(shown)
    bridge = BY_A_PERSON if task.lamp == "LaMP_7" else ". "
    return f"{joined}{bridge}{FOLLOWING}{question}"
