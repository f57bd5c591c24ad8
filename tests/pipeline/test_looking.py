"""Looking at records: with which words a text begins and ends, and which texts are almost the same."""

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pipeline.looking import ENDS, alike, ends

WORDS = st.sampled_from(["word", "a", "don't", "Straße", "İzmir", "σίγμα", "x" * 130, "\u0301", "3", "_", "new\nline"])
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([" ", ", ", "", "\n", " -- ", " " * 130])), max_size=40).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


def plain_ends(task: str, text: str) -> tuple[int, int]:
    words = re.findall(r"\w+", text.casefold())
    first, last = " ".join([task, "first", *words[:ENDS]]), " ".join([task, "last", *words[-ENDS:]])
    return zlib.crc32(first.encode()), zlib.crc32(last.encode())


@given(TEXTS | st.text(max_size=60))
def test_the_first_and_last_words_of_a_text_are_those_of_all_its_words(text: str) -> None:
    assert ends("title", text) == plain_ends("title", text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("👍", "😂", False),
        ("❤\ufe0f", "☀\ufe0f", False),
        ("?", "!", False),
        ("👍", "👍", True),
        ("दिन कैसा था", "दान कैसे थे", False),
        ("दिन कैसा था", "दिन, कैसा था!", True),
        ("The tram was late.", "the tram was late 🎉", True),
    ],
)
def test_texts_are_almost_the_same_by_their_words_with_all_their_marks(one: str, other: str, same: bool) -> None:
    assert alike(one, other) == same
