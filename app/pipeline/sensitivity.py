"""Finds what looks personal or secret in a text, and writes the text without it.

A pattern each, and a checksum where the thing has one. A help for choosing what to share, not a proof that a text is
harmless. Reads nothing but the text, so the same text gives the same findings on any day, with the same recogniser.
"""

import dataclasses
import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping

from app.pipeline import names
from app.pipeline.prefilter import possible_kinds

BETWEEN = r"[ \u00a0\u2009-]"
"""What may stand between the groups of a number."""
APART = " \u00a0\u2009-"
"""The same as characters."""

PATTERNS: dict[str, re.Pattern[str]] = {
    "key or token": re.compile(
        # What vendors put before their keys.
        r"\b(?:[spr]k|gh[oprsu]|github_pat|glpat|xox[abeprs]|hf|npm|pypi|gsk|shpat|dop_v1)[-_](?=[\w-]*\d)[\w-]{16,}"
        r"|(?-i:\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}|\bSG\.[\w-]{16,}\.[\w-]{16,})"
        # JSON web tokens and private keys, whole, signature and body too.
        r"|\beyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[\s\S]{0,20000}?-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|(?:\s+[A-Z0-9+/=]{16,})*)"
        # What is called a password, a PIN or a key.
        r"|\b(?:pass(?:word|wd|code|phrase|wort)|kennwort|pwd|mot de passe|contraseña)\b[\"']?\s*"
        r"(?:[:=]\s*\S{5,}[^\s.,;:!?)\]]|(?:is|was|ist|lautet|est|es)\s+(?=\S*\d)\S{3,}[^\s.,;:!?)\]])"
        r"|\bpw ?[:=]\s*\S{5,}[^\s.,;:!?)\]]|\bpin(?: code)?\s*(?:[:=]|is|ist)\s*\d{4,8}\b"
        r"|(?<![a-z])(?:secret|(?:api|access)[_ -]?key|token)[\"']?\s*(?:=\s*|:\s*(?=\S*\d))\S{5,}[^\s.,;:!?)\]]"
        r"|\bbearer\s+(?=\S*\d)[\w.+/=-]{19,}"
        # Long and random, whatever it is for.
        r"|(?<![\w/.@+=-])(?-i:(?=[A-Z0-9+/=]*[a-z])(?=[a-z0-9+/=]*[A-Z])(?=[A-Za-z+/=]*\d)[A-Za-z0-9+/=]{32,})(?![\w/-])"
        r"|(?<![\w/-])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{32,}(?![\w-])",
        re.IGNORECASE,
    ),
    "web address with a password": re.compile(r"\b\w+://[^\s/:@]+:[^\s/@]+@\S*[^\s.,;:!?)\]]"),
    "e-mail address": re.compile(
        r"\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+\b"
        # Written so that machines should not see it.
        r"|\b[\w.+-]{1,64}\s?[\[(]\s?(?:at|ät)\s?[\])]\s?[\w-]+(?:\s?(?:\.|[\[(]\s?(?:dot|punkt)\s?[\])])\s?[\w-]+)+\b",
        re.IGNORECASE,
    ),
    "account number": re.compile(
        rf"\b[A-Z]{{2}}\d{{2}}(?:{BETWEEN}?[A-Z0-9]{{4}}){{2,7}}(?:{BETWEEN}?[A-Z0-9]{{1,4}})?\b", re.IGNORECASE
    ),
    "card number": re.compile(rf"(?<![\d-])[2-6]\d{{3,}}(?:[.]?{BETWEEN}?\d{{2,}}){{1,6}}(?![\d-])"),
    "social security number": re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"),
    "phone number": re.compile(
        # With the country, with a zero in front, as in North America.
        r"(?<![\w.-])(?:(?:\+|00)\d{1,3}[ \u00a0./-]?(?:\(0\)[ \u00a0]?)?\(?\d{1,4}\)?(?:[ \u00a0./-]?\d{2,4}){2,4}"
        r"|(?:\(0\d{1,4}\)|0\d{1,4})(?:[ \u00a0./-]?\d{2,4}){2,4}"
        r"|(?:1[ .-])?(?:\(\d{3}\)|\d{3})[ .-]\d{3}[ .-]\d{4})(?![\w-])"
        # Any other where a word says what it is.
        r"|\b(?:tel|telefon|telephone|phone|mobile|cell|fax|handy|whatsapp|call|text|sms)\b[^\d\n+(]{0,20}"
        r"(\+?\(?\d[\d \u00a0()./-]{5,}\d)(?![\w-])",
        re.IGNORECASE,
    ),
    "street address": re.compile(
        r"\b\d{1,5}[A-Za-z]? (?!(?:The|An?|In|On|Of|At|For) )(?:[A-Z][\w'’-]*\.? ){1,3}"
        r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Boulevard|Blvd|Way|Terrace|Court|Plaza|Square|Place|Close|"
        r"Crescent|Gardens|Row|Parkway|Highway|Circle|Mews|Grove|Quay)\b"
        r"|\bP\.? ?O\.? Box \d+|\bPostfach \d[\d ]*\d"
        # A British postcode; an American state with its code.
        r"|\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b|, [A-Z]{2} \d{5}(?:-\d{4})?\b"
        # Hauptstraße 12, Lange Straße 5, Kerkstraat 3.
        r"|\b[A-ZÄÖÜ][\w-]+(?:straße|strasse|str\.|gasse|weg|platz|allee|damm|ufer|straat|gracht|plein) \d{1,4}[a-z]?\b"
        r"|\b[A-ZÄÖÜ][\w-]+ (?:Straße|Strasse|Str\.|Gasse|Weg|Platz|Allee|Damm|Ufer) \d{1,4}[a-z]?\b"
        # 5 rue de la Paix; Calle Mayor 12, Via Roma 3.
        r"|\b\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|chemin|impasse|allée|quai|route|Rue|Avenue|Boulevard)"
        r" (?:de la |de l['’]|du |des |de |d['’])?[A-ZÀ-Ý][\w'’-]+(?: [A-ZÀ-Ý][\w'’-]+)*"
        r"|\b(?:Calle|Avenida|Paseo|Via|Viale|Corso|Piazza|Rua) (?:(?:de|de la|del|della|dei|di|do|da) )?"
        r"[A-ZÀ-Ý][\w'’-]+(?: [A-ZÀ-Ý][\w'’-]+){0,2},? \d{1,4}\b"
    ),
    "name": re.compile(
        r"\b(?:[Mm]y name is|[Mm]y name['’]s|I am called|[Mm]ein Name ist|[Ii]ch heiße|[Jj]e m['’]appelle"
        r"|[Mm]on nom est|[Mm]e llamo|[Mm]i chiamo|[Mm]e chamo|[Ii]k heet) ([A-ZÀ-Ý][\w'-]+(?: [A-ZÀ-Ý][\w'-]+){0,2})"
    ),
}
"""In the order in which they claim a stretch of text. Of names these find an introduction alone; `app.pipeline.names`
finds the others where a recogniser is installed. What a group holds is the thing, the rest of a match leads to it."""

DATE = re.compile(
    r"\d{1,2}([./ -])\d{1,2}\1(?:\d{2}|\d{4})|\d{4}[./-]\d{1,2}[./-]\d{1,2}|(?:1[89]|20)\d\d ?- ?(?:1[89]|20)\d\d"
)
"""A day, or a span of years: written like a phone number, and none."""


def luhn_holds(number: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1)."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def iban_holds(account: str) -> bool:
    """The check digits of international account numbers (ISO 13616)."""
    compact = "".join(filter(str.isalnum, account))
    turned = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return 15 <= len(compact) <= 34 and int(turned) % 97 == 1


def phone_holds(number: str) -> bool:
    """Whether it has as many digits as phone numbers do (ITU-T E.164), and is no date."""
    return 7 <= sum(map(str.isdigit, number)) <= 15 and not DATE.fullmatch(number.strip())


CHECKS: dict[str, Callable[[str], bool]] = {
    "card number": luhn_holds,
    "account number": iban_holds,
    "phone number": phone_holds,
}


Pieces = tuple[tuple[str, str], ...]
"""A text in its order: each piece, and what kind of thing it is; empty for what was not found."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A stretch of a text that looks personal or secret."""

    kind: str
    start: int
    end: int
    text: str


def _held(kind: str, match: re.Match[str]) -> tuple[int, int] | None:
    """The stretch for which the checksum holds: a match may have swallowed a word or a number beside it."""
    start, end = match.span(match.lastindex or 0)
    holds = CHECKS.get(kind)
    if holds is None:
        return start, end
    text = match.string
    starts = [start, *(place + 1 for place in range(start, end) if text[place] in APART)]
    ends = [end, *(place for place in range(end - 1, start, -1) if text[place] in APART)]
    for begin, finish in itertools.product(starts, ends):
        if finish > begin and holds(text[begin:finish]):
            return begin, finish
    return None


def _spans(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """What the patterns find, and last what the recogniser of names does, where there is one."""
    for kind in possible_kinds(text):
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


@functools.cache
def edition() -> str:
    """Changes with what can be found: with the patterns, and with whether a recogniser of names is installed."""
    patterns = "\n".join(pattern.pattern for pattern in PATTERNS.values())
    return hashlib.sha256(f"{names.installed()}\n{patterns}".encode()).hexdigest()[:16]


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
