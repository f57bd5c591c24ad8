"""Text from outside: what stays of it."""

import pytest

from app.pipeline.cleaning import clean


@pytest.mark.parametrize(
    "text",
    ["I love it 🩷 🫨", "a later character \U0001faea", "👩‍👩‍👧 ❤\ufe0f", "दिन\u200dकैसा", "\uf8ff", "tab\tand\nline"],
)
def test_what_a_person_wrote_stays(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    "harmful",
    [
        "\0",
        "\r",
        "\x1b",
        "\x7f",
        "\x85",
        "\x9f",
        "\ud800",
        "\ufdd0",
        "\uffff",
        "\U0010fffe",
        "\u202e",
        "\u2066",
    ],
)
def test_what_a_screen_would_obey_goes(harmful: str) -> None:
    assert clean(f"a{harmful}b") == "ab"
