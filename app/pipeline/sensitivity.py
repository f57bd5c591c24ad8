"""Finds what looks personal or secret in a text, and writes the text without it.

A pattern each, and a checksum where the thing has one. A help for choosing what to share, not a proof that a text is
harmless. Reads nothing but the text, so the same text gives the same findings on any day, with the same recogniser.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping

from app.pipeline import names

PATTERNS: dict[str, re.Pattern[str]] = {
    "key or token": re.compile(
        r"\b(?:sk|pk|ghp|gho|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}|\bAKIA[A-Z0-9]{16}\b|\beyJ[\w-]{10,}\.[\w-]{10,}"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY(?:-----[^-]*-----END [A-Z ]*PRIVATE KEY-----)?"
        r"|\b(?:password|passwd|secret|api[_ -]?key|token)\b\s*[:=]\s*\S{6,}",
        re.IGNORECASE,
    ),
    "web address with a password": re.compile(r"\b\w+://[^\s/:@]+:[^\s/@]+@\S*"),
    "e-mail address": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    "account number": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"),
    "card number": re.compile(r"(?<![\d-])\d{4,}(?:[ -]?\d{2,}){1,6}(?![\d-])"),
    "social security number": re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"),
    "phone number": re.compile(
        r"(?<![\w.-])(?:(?:\+\d{1,3}[ .-]?|\(?0)\d{1,4}\)?(?:[ ./-]?\d{2,4}){2,4}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})"
        r"(?![\w-])"
    ),
    "street address": re.compile(
        r"\b\d{1,5} (?:[A-Z]\w+ ){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Boulevard|Blvd|Way)\b"
        r"|\b[A-ZÄÖÜ]\w+(?:straße|strasse|gasse|weg|platz) \d{1,4}\b"
    ),
    "name": re.compile(
        r"\b(?:[Mm]y name is|[Ii]ch heiße|[Jj]e m'appelle) ([A-ZÄÖÜÉ][\w'-]+(?: [A-ZÄÖÜÉ][\w'-]+){0,2})"
    ),
}
"""In the order in which they claim a stretch of text. Of names these find an introduction alone; `app.pipeline.names`
finds the others where a recogniser is installed."""

DIGIT = re.compile(r"\d")
MANY_DIGITS = re.compile(r"\d[\d .()/+-]{5,}\d")
"""In every card, phone and social security number."""
ACCOUNT = re.compile(r"[A-Z][A-Z]\d\d")
NUMBER_FIRST, NUMBER_LAST = re.compile(r"\d [A-ZÄÖÜ]"), re.compile(r"[egz] \d")
"""One of them is in every address; a street's German name ends with e, g or z."""
SECRET_WORD = re.compile("sk[-_]|pk[-_]|gh[po]|glpat|xox|akia|eyj|-----begin|passw|secret|key|token")
"""One of them is in every key or token, in lower case."""


def luhn_holds(number: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1)."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def iban_holds(account: str) -> bool:
    """The check digits of international account numbers (ISO 13616)."""
    compact = account.replace(" ", "")
    turned = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return 15 <= len(compact) <= 34 and int(turned) % 97 == 1


CHECKS: dict[str, Callable[[str], bool]] = {"card number": luhn_holds, "account number": iban_holds}


Pieces = tuple[tuple[str, str], ...]
"""A text in its order: each piece, and what kind of thing it is; empty for what was not found."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A stretch of a text that looks personal or secret."""

    kind: str
    start: int
    end: int
    text: str


def _possible(text: str) -> Iterator[str]:
    """Kinds that can be in the text at all: a few quick looks spare most texts the patterns."""
    lowered = text.lower()
    if SECRET_WORD.search(lowered):
        yield "key or token"
    if "@" in text:
        yield from ("web address with a password", "e-mail address")
    if DIGIT.search(text):
        if ACCOUNT.search(text):
            yield "account number"
        if MANY_DIGITS.search(text):
            yield from ("card number", "social security number", "phone number")
        if NUMBER_FIRST.search(text) or NUMBER_LAST.search(text):
            yield "street address"
    if "my name is" in lowered or "ich hei" in lowered or "je m'app" in lowered:
        yield "name"


def _held(kind: str, match: re.Match[str]) -> tuple[int, int] | None:
    """The stretch for which the checksum holds: a match may have swallowed a word or a number beside it."""
    start, end = match.span(1) if match.re.groups else match.span()
    holds = CHECKS.get(kind)
    if holds is None:
        return start, end
    text = match.string
    starts = [start, *(place + 1 for place in range(start, end) if text[place] in " -")]
    ends = [end, *(place for place in range(end - 1, start, -1) if text[place] in " -")]
    for begin, finish in itertools.product(starts, ends):
        if finish > begin and holds(text[begin:finish]):
            return begin, finish
    return None


def _spans(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """What the patterns find, and last what the recogniser of names does, where there is one."""
    for kind in _possible(text):
        for match in PATTERNS[kind].finditer(text):
            if span := _held(kind, match):
                yield kind, span
    if recognise := names.recogniser():
        yield from (("name", span) for span in recognise(text))


def find(text: str) -> tuple[Finding, ...]:
    """Everything found in the text, in its order; nothing is found twice."""
    found: list[Finding] = []
    for kind, (start, end) in _spans(text):
        if not any(start < other.end and other.start < end for other in found):
            found.append(Finding(kind, start, end, text[start:end]))
    return tuple(sorted(found, key=lambda finding: finding.start))


def pieces(text: str) -> Pieces:
    """The text cut where something was found: nothing is lost, and joined the pieces are the text again."""
    cut: list[tuple[str, str]] = []
    done = 0
    for finding in find(text):
        cut += [(text[done : finding.start], ""), (finding.text, finding.kind)]
        done = finding.end
    return tuple(piece for piece in (*cut, (text[done:], "")) if piece[0])


def findings(text: str) -> tuple[str, ...]:
    """The kinds of personal or secret things that the text seems to hold."""
    return tuple(dict.fromkeys(finding.kind for finding in find(text)))


def redact(*texts: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The texts with placeholders like "[phone number 1]" for what was found, and what each placeholder stands for.

    The same thing has the same placeholder in all of them.
    """
    placeholders: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    written = []
    for text in texts:
        for finding in reversed(find(text)):
            key = (finding.kind, finding.text)
            if key not in placeholders:
                counts[finding.kind] = counts.get(finding.kind, 0) + 1
                placeholders[key] = f"[{finding.kind} {counts[finding.kind]}]"
            text = text[: finding.start] + placeholders[key] + text[finding.end :]
        written.append(text)
    return tuple(written), {name: text for (_, text), name in placeholders.items()}


def restore(text: str, meanings: Mapping[str, str]) -> str:
    """The text with what its placeholders stand for, in whatever case a model wrote them."""
    known = {name.lower(): meaning for name, meaning in meanings.items()}
    if not known:
        return text
    return re.sub("|".join(map(re.escape, known)), lambda found: known[found[0].lower()], text, flags=re.IGNORECASE)


def exposure(text: str) -> float:
    """How much a text without findings may still tell: digits and names in mid-sentence, per word."""
    words = text.split()
    capitals = re.findall(r"(?<=[\w,;] )[A-Z][a-z]+", text)
    numbers = [word for word in words if any(character.isdigit() for character in word)]
    return (len(capitals) + len(numbers)) / max(len(words), 1)
