"""Text from outside, made safe to store and to show. Knows nothing of where it comes from."""

import unicodedata

KEPT_CONTROLS = "\n\t"
REFUSED_CATEGORIES = ("Cc", "Cs", "Co", "Cn")
"""Unicode's control, surrogate, private-use and unassigned characters."""
DIRECTION_OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Invisible, and able to show a text in another order than it has."""


def _is_harmless(character: str) -> bool:
    if character in KEPT_CONTROLS:
        return True
    return unicodedata.category(character) not in REFUSED_CATEGORIES and character not in DIRECTION_OVERRIDES


def clean(text: str) -> str:
    """The text without what a screen or a terminal would obey instead of showing."""
    return text if text.isascii() and text.isprintable() else "".join(filter(_is_harmless, text))
