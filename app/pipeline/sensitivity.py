"""Finds what looks personal or secret in a text: a pattern each, and a checksum where the thing has one.

A help for choosing what to share, not a proof that a text is harmless.
"""

import re
from collections.abc import Callable

PATTERNS: dict[str, re.Pattern[str]] = {
    "e-mail address": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    "web address with a password": re.compile(r"\b\w+://[^\s/:@]+:[^\s/@]+@"),
    "card number": re.compile(r"(?<![\d-])(?:\d[ -]?){12,18}\d(?![\d-])"),
    "account number": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"),
    "phone number": re.compile(r"(?<![\w.-])(?:\+\d{1,3}[ .-]?|\(?0)\d{1,4}\)?(?:[ ./-]?\d{2,4}){2,4}(?![\w-])"),
    "street address": re.compile(
        r"\b\d{1,5} (?:[A-Z]\w+ ){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Boulevard|Blvd|Way)\b"
        r"|\b[A-ZÄÖÜ]\w+(?:straße|strasse|gasse|weg|platz) \d{1,4}\b"
    ),
    "key or token": re.compile(
        r"\b(?:sk|pk|ghp|gho|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}|\bAKIA[A-Z0-9]{16}\b|\beyJ[\w-]{10,}\.[\w-]{10,}"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:password|passwd|secret|api[_ -]?key|token)\b\s*[:=]\s*\S{6,}",
        re.IGNORECASE,
    ),
    "social security number": re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"),
}


def luhn_holds(number: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1)."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return len(digits) >= 13 and len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def iban_holds(account: str) -> bool:
    """The check digits of international account numbers (ISO 13616)."""
    compact = account.replace(" ", "")
    turned = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return 15 <= len(compact) <= 34 and int(turned) % 97 == 1


CHECKS: dict[str, Callable[[str], bool]] = {"card number": luhn_holds, "account number": iban_holds}


def findings(text: str) -> tuple[str, ...]:
    """The kinds of personal or secret things that the text seems to hold."""
    found = []
    for kind, pattern in PATTERNS.items():
        holds = CHECKS.get(kind, bool)
        if any(holds(match.group()) for match in pattern.finditer(text)):
            found.append(kind)
    return tuple(found)


def exposure(text: str) -> float:
    """How much a text without findings may still tell: digits and names in mid-sentence, per word."""
    words = text.split()
    names = re.findall(r"(?<=[\w,;] )[A-Z][a-z]+", text)
    numbers = [word for word in words if any(character.isdigit() for character in word)]
    return (len(names) + len(numbers)) / max(len(words), 1)
