"""Finds what looks personal or secret in a text, and writes the text without it.

A pattern each, and a checksum where the thing has one. A help for choosing what to share, not a proof that a text is
harmless. Reads nothing but the text, so the same text gives the same findings on any day, with the same recogniser.
"""

import dataclasses
import functools
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from app.pipeline import names
from app.pipeline.prefilter import possible_kinds

BETWEEN = r"[ \u00a0\u2009-]"
"""What may stand between the groups of a number."""

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
        # Both cases by name: IGNORECASE would let letters of Turkish, which have no place in such a number, pass for I.
        rf"\b[A-Za-z]{{2}}\d{{2}}(?:{BETWEEN}?[A-Za-z0-9]{{4}}){{2,7}}(?:{BETWEEN}?[A-Za-z0-9]{{1,4}})?\b"
    ),
    "card number": re.compile(rf"(?<!\d)[2-6]\d{{3,}}(?:(?:[.]{BETWEEN}?|{BETWEEN})\d{{2,}}){{0,6}}(?!\d)"),
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
        r"|[Mm]on nom est|[Mm]e llamo|[Mm]i chiamo|[Mm]e chamo|[Ii]k heet) ([A-ZÀ-Ý][\w'’-]+(?: [A-ZÀ-Ý][\w'’-]+){0,2})"
    ),
}
"""In the order in which they claim a stretch of text. Of names these find an introduction alone; `app.pipeline.names`
finds the others where a recogniser is installed. What a group holds is the thing, the rest of a match leads to it."""

DATE = re.compile(
    r"\d{1,2}([./ -])\d{1,2}\1(?:\d{2}|\d{4})|\d{4}[./-]\d{1,2}[./-]\d{1,2}|(?:1[89]|20)\d\d ?- ?(?:1[89]|20)\d\d"
)
"""A day, or a span of years: written like a phone number, and none."""

SEVERAL = re.compile(r"(?:[ \u00a0\u2009()./+-]*\d){16,}+")
"""More digits on end than one phone number can have (ITU-T E.164)."""

REST = re.compile(r"[+(]?\w(?:[\s\S]*\w)?")
"""What is left of a stretch of which a part belongs to something else."""

SEARCH = 3
"""Goes up when the same patterns find more than before, so that all records are looked at again."""


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
    """Whether it has as many digits as phone numbers have, and is no date."""
    return sum(map(str.isdigit, number)) >= 7 and not DATE.fullmatch(number.strip())


CHECKSUMS: dict[str, Callable[[str], bool]] = {"card number": luhn_holds, "account number": iban_holds}

Span = tuple[int, int]
Pieces = tuple[tuple[str, str], ...]
"""A text in its order: each piece, and what kind of thing it is; empty for what was not found."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A stretch of a text that looks personal or secret."""

    kind: str
    start: int
    end: int
    text: str


def _with_checksum(kind: str, text: str) -> Iterator[Span]:
    """From each place where the pattern begins, the longest stretch for which the checksum holds.

    A match may have swallowed a word or another number behind it, and another number may begin inside it.
    """
    place = 0
    while match := PATTERNS[kind].search(text, place):
        start, end = match.span()
        gaps = [gap for gap in range(start + 1, end) if not text[gap].isalnum()]
        held = (finish for finish in (end, *reversed(gaps)) if CHECKSUMS[kind](text[start:finish]))
        if finish := next(held, None):
            yield start, finish
        place = start + 1


def _phone_numbers(text: str) -> Iterator[Span]:
    """Phone numbers; several that stand on end are one stretch, because nobody knows where each of them ends."""
    place = 0
    while match := PATTERNS["phone number"].search(text, place):
        start, end = match.span(match.lastindex or 0)
        place = start + 1
        if phone_holds(text[start:end]):
            if several := SEVERAL.match(text, start):
                place = end = several.end()
            yield start, end


def _of_kind(kind: str, text: str) -> Iterator[Span]:
    if kind in CHECKSUMS:
        return _with_checksum(kind, text)
    if kind == "phone number":
        return _phone_numbers(text)
    return (match.span(match.lastindex or 0) for match in PATTERNS[kind].finditer(text))


def _spans(text: str) -> Iterator[tuple[str, Span]]:
    """What the patterns find, and last what the recogniser of names does, where there is one."""
    for kind in possible_kinds(text):
        yield from ((kind, span) for span in _of_kind(kind, text))
    if recognise := names.recogniser():
        yield from (("name", span) for span in recognise(text))


def _unclaimed(text: str, span: Span, found: Sequence[Finding]) -> list[Span]:
    """What of a stretch belongs to nothing that was found before."""
    start, end = span
    overlapping = sorted((other.start, other.end) for other in found if start < other.end and other.start < end)
    if not overlapping:
        return [span]
    rests = zip(
        (start, *(after for _, after in overlapping)), (*(before for before, _ in overlapping), end), strict=True
    )
    return [rest.span() for begin, finish in rests if (rest := REST.search(text, begin, finish))]


def find(text: str) -> tuple[Finding, ...]:
    """Everything found in the text, in its order; nothing is found twice."""
    found: list[Finding] = []
    for kind, span in _spans(text):
        found += [Finding(kind, start, end, text[start:end]) for start, end in _unclaimed(text, span, found)]
    return tuple(sorted(found, key=lambda finding: finding.start))


@functools.cache
def edition() -> str:
    """Changes with what can be found: the patterns, how they are put to use, whether names can be recognised."""
    patterns = "\n".join(pattern.pattern for pattern in PATTERNS.values())
    return hashlib.sha256(f"{SEARCH}\n{names.installed()}\n{patterns}".encode()).hexdigest()[:16]


def _cut(text: str, place: int, found: Sequence[Finding]) -> Pieces:
    """The pieces of a text that begins at that place of what was searched."""
    cut: list[tuple[str, str]] = []
    done = 0
    for finding in found:
        start, end = max(finding.start - place, 0), min(finding.end - place, len(text))
        if start < end:
            cut += [(text[done:start], ""), (text[start:end], finding.kind)]
            done = end
    return tuple(piece for piece in (*cut, (text[done:], "")) if piece[0])


def pieces(*texts: str) -> tuple[Pieces, ...]:
    """Each text cut where something was found: nothing is lost, and joined its pieces are the text again.

    The texts are searched as one, a line break between them: an input may end with what its output gives away.
    """
    found = find("\n".join(texts))
    places = itertools.accumulate((len(text) + 1 for text in texts), initial=0)
    return tuple(_cut(text, place, found) for text, place in zip(texts, places, strict=False))


def findings(*texts: str) -> tuple[str, ...]:
    """The kinds of personal or secret things that the texts, searched as one, seem to hold."""
    return tuple(dict.fromkeys(finding.kind for finding in find("\n".join(texts))))


def redact(*texts: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The texts with placeholders like "[phone number 1]" for what was found, and what each placeholder stands for.

    The same thing has the same placeholder in all of them.
    """
    placeholders: dict[tuple[str, str], str] = {}
    counts: Counter[str] = Counter()

    def hidden(text: str, kind: str) -> str:
        if kind and (text, kind) not in placeholders:
            counts[kind] += 1
            placeholders[text, kind] = f"[{kind} {counts[kind]}]"
        return placeholders.get((text, kind), text)

    written = tuple("".join(hidden(*piece) for piece in cut) for cut in pieces(*texts))
    return written, {name: text for (text, _), name in placeholders.items()}


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
