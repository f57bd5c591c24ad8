"""Dates as people and programs write them, turned into ISO 8601. Knows nothing of files.

A text is a day, and perhaps a clock somewhere behind it; they are read one after the other, so every way of writing the
one goes with every way of writing the other.
"""

import datetime
import functools
import re
from collections.abc import Iterable

EARLIEST_YEAR = 1900
"""Earlier years are placeholders."""
LONGEST = 80
"""Characters of a date: a browser adds the whole name of the time zone."""

CLOCK = re.compile(
    r"(?:,?\s+(?:at\s+)?|T)(\d{1,2})(?::(\d\d)(?::(\d\d)(?:[.,]\d+)?)?|\.(\d\d)$)"
    r"(?:\s*([ap])\.?m\b\.?)?(?:\s*(?:(?:UTC|GMT)?([+-]\d\d):?(\d\d)|([a-z]{1,5}))(?![\w+-]))?(?:\s*\([^)]*\))?",
    re.IGNORECASE,
)
"""Hour, minute, second, minute behind a dot, half of the day, hours and minutes from UTC, or a zone's name."""
ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
"""Hours from UTC of the zones that RFC 5322 names (section 4.3); any other name counts as UTC."""

NUMBERED = re.compile(r"(\d{1,2})([-./])(\d{1,2})\2(\d{4}|\d\d)")
YEAR_FIRST = re.compile(r"(\d{4})([-./])(\d{1,2})(?:\2(\d{1,2}))?")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    "(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
NAMED = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]?\s+)?"
    rf"(?:{_DAY}[\s.-]+{_MONTH}|{_MONTH}\.?\s+{_DAY})[\s,.-]+(\d{{4}}|\d\d)",
    re.IGNORECASE,
)
BEGINNING = re.compile(r"\s*(\d{1,2})[-./](\d{1,2})[-./]\d")


def _iso(moment: datetime.datetime) -> str | None:
    if moment.year < EARLIEST_YEAR:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return aware.astimezone(datetime.UTC).isoformat(timespec="seconds")


def _from_epoch(text: str) -> str | None:
    """Seconds or milliseconds since 1970."""
    if not re.fullmatch(r"\d{9,10}(\.\d+)?|\d{12,13}", text):
        return None
    seconds = float(text) / (1000 if len(text) >= 12 and "." not in text else 1)
    return _iso(datetime.datetime.fromtimestamp(seconds, datetime.UTC))


def _year(digits: str) -> int:
    """A year; of two digits, the one from 1969 to 2068 (as POSIX has it)."""
    year = int(digits)
    return year if len(digits) == 4 else year + (1900 if year >= 69 else 2000)


def _day(text: str, month_first: bool) -> datetime.datetime | None:
    """The day that a text without a clock is; raises ValueError for one that no calendar has."""
    if found := YEAR_FIRST.fullmatch(text):
        return datetime.datetime(int(found[1]), int(found[3]), int(found[4] or 1))
    if found := NUMBERED.fullmatch(text):
        first, second = int(found[1]), int(found[3])
        return datetime.datetime(_year(found[4]), *((first, second) if month_first else (second, first)))
    if found := NAMED.fullmatch(text):
        month = MONTHS.index((found[2] or found[3])[:3].lower()) + 1
        return datetime.datetime(_year(found[5]), month, int(found[1] or found[4]))
    return None


def _zone(clock: re.Match[str]) -> datetime.timezone:
    if clock[6]:
        minutes = int(clock[7]) if clock[6][0] == "+" else -int(clock[7])
        return datetime.timezone(datetime.timedelta(hours=int(clock[6]), minutes=minutes))
    return datetime.timezone(datetime.timedelta(hours=ZONES.get((clock[8] or "").upper(), 0)))


def _moment(day: datetime.datetime, clock: re.Match[str]) -> datetime.datetime:
    hour = int(clock[1])
    if clock[5]:
        hour = hour % 12 + (12 if clock[5] in "pP" else 0)
    return day.replace(hour=hour, minute=int(clock[2] or clock[4]), second=int(clock[3] or 0), tzinfo=_zone(clock))


def _written(text: str, month_first: bool) -> str | None:
    """A day with or without a clock."""
    clock = CLOCK.search(text)
    # Some write the year behind the clock.
    day = _day(text[: clock.start()] + text[clock.end() :] if clock else text, month_first)
    if day is None or day.year < EARLIEST_YEAR:
        return None
    return _iso(_moment(day, clock)) if clock else day.date().isoformat()


@functools.lru_cache(maxsize=10_000)
def to_iso(text: str, month_first: bool = False) -> str | None:
    """The ISO 8601 form of a date (a year or a day stays one, a moment becomes UTC), or None where it is no date."""
    text = text.strip()
    if not re.search(r"\d", text) or len(text) > LONGEST:
        return None
    if re.fullmatch(r"(19|20)\d\d", text):
        return text
    try:
        found = datetime.datetime.fromisoformat(text)
        return _iso(found) if len(text) > 10 else found.date().isoformat() if found.year >= EARLIEST_YEAR else None
    except (ValueError, OverflowError):
        pass
    try:
        return _from_epoch(text) or _written(text, month_first)
    except (ValueError, OverflowError):
        return None


def month_comes_first(texts: Iterable[str]) -> bool:
    """Whether a column of dates writes the month before the day; a tie is day first, as in most of the world."""
    pairs = [(int(found[1]), int(found[2])) for text in texts if (found := BEGINNING.match(text))]
    return sum(second > 12 for _, second in pairs) > sum(first > 12 for first, _ in pairs)
