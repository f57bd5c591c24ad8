"""Text from outside, made safe to store and to show. Knows nothing of where it comes from."""

import re

CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
"""Unicode's control characters, but for tab and newline."""
SURROGATES = r"\ud800-\udfff"
NONCHARACTERS = r"\ufdd0-\ufdef" + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
"""Code points that never become characters (Unicode, section 23.7). One that Python's Unicode does not know yet may."""
DIRECTION_OVERRIDES = r"\u202a-\u202e\u2066-\u2069"
"""Invisible, and able to show a text in another order than it has."""

HARMFUL = re.compile(f"[{CONTROLS}{SURROGATES}{NONCHARACTERS}{DIRECTION_OVERRIDES}]")


def clean(text: str) -> str:
    """The text without what a screen or a terminal would obey instead of showing."""
    return text if text.isascii() and text.isprintable() else HARMFUL.sub("", text)
