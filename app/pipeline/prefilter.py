"""Which kinds of personal or secret things a text can hold at all: quick looks that spare most texts the patterns.

A look may be wrong in one direction only: what a pattern of `sensitivity` would find is never missed. Most looks are
searches for bytes in the text's outline, in which all letters, or all digits, are written as one.
"""

import re
import string
from collections.abc import Iterator

LETTERS = string.ascii_letters
LOOKALIKES = str.maketrans("\u0130\u0131\u017f", "iis")
"""Letters that IGNORECASE takes for others, and `lower` does not: Turkish ones, as in PİN, and the long s."""
SEPARATORS = " .()/+-"
"""Inside numbers; the others of `sensitivity` are not ASCII and become question marks."""


def _outline(*classes: tuple[str, str]) -> bytes:
    """A table for `bytes.translate`: the characters of each class written as one."""
    table = bytearray(range(256))
    for characters, sign in classes:
        for character in characters:
            table[ord(character)] = ord(sign)
    return bytes(table)


# A question mark may stand for any character that is not ASCII, a digit excepted.
CASES = _outline((string.digits, "0"), (string.ascii_uppercase + "?", "A"), (string.ascii_lowercase, "a"))
NO_CASES = _outline((string.digits, "0"), (LETTERS, "a"))
NUMBERS = _outline((string.digits + SEPARATORS + "?", "0"))
WORDS = _outline((LETTERS + string.digits + "_+/=.-?", "a"))

MANY_DIGITS = re.compile(r"(?<!\d)\d[\d \u00a0\u2009.()/+-]{5,}\d")
"""In every card, phone and social security number."""
NUMBER = b"0" * 7
"""The outline of the shortest one."""
ACCOUNT = b"aa00"
"""In every account number."""
KEY = b"a" * 19
"""As long as the shortest key that stands by itself."""
PLACES = (b"0 A", b"0a A", b"0A A", b"0 0A", b"0A 0A", b", AA 0")
"""A house before its street, a British postcode, an American state with its code."""
STREET = re.compile(
    r"stra(?:ß|ss|at)|str\.|gasse|weg|platz|allee|damm|ufer|gracht|plein|calle|avenida|paseo|via|corso|piazza|rua|rue"
    r"|avenue|boulevard|chemin|impasse|allée|quai|route|box|postfach"
)
"""One of them is in every other address, in lower case."""
HIDDEN_AT = re.compile(r"[\[(]\s?[aä]t")
PASSWORDS = re.compile(r"pass[wcp]|kennwort|pwd|mot de p|contrase|pin\s*(?:is|code)")
GIVEN = re.compile("secret|key|token|pin|pw")
"""Before a colon or an equals sign they give something away; like those above in lower case."""
INTRODUCTIONS = re.compile("name(?: is|['’]s)|called|ich hei|m['’]appelle|nom est|llamo|chiamo|chamo|ik heet")
"""Before a name."""


def _may_hold_a_key(ascii: bytes, lowered: str) -> bool:
    if KEY in ascii.translate(WORDS) or "-----begin" in lowered or PASSWORDS.search(lowered):
        return True
    return (b":" in ascii or b"=" in ascii) and GIVEN.search(lowered) is not None


def _may_hold_a_number(text: str, ascii: bytes) -> bool:
    start = ascii.translate(NUMBERS).find(NUMBER)
    return start >= 0 and MANY_DIGITS.search(text, start) is not None


def _has_foreign_digits(text: str) -> bool:
    return not text.isascii() and any(sign > "\x7f" and sign.isdecimal() for sign in set(text))


def possible_kinds(text: str) -> Iterator[str]:
    """Kinds, as in `sensitivity.PATTERNS`, of which there may be one in the text."""
    lowered = (text if text.isascii() else text.translate(LOOKALIKES)).lower()
    ascii = text.encode("ascii", "replace")
    cases = ascii.translate(CASES)
    foreign, capitals = _has_foreign_digits(text), b"A" in cases
    if _may_hold_a_key(ascii, lowered):
        yield "key or token"
    if b"@" in ascii:
        yield "web address with a password"
    if b"@" in ascii or ((b"(" in ascii or b"[" in ascii) and HIDDEN_AT.search(lowered)):
        yield "e-mail address"
    if b"0" in cases or foreign:
        if foreign or ACCOUNT in ascii.translate(NO_CASES):
            yield "account number"
        if foreign or _may_hold_a_number(text, ascii):
            yield from ("card number", "social security number", "phone number")
        if capitals and (foreign or any(map(cases.__contains__, PLACES)) or STREET.search(lowered)):
            yield "street address"
    if capitals and INTRODUCTIONS.search(lowered):
        yield "name"
