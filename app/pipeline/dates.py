"""Dates as people and programs write them, turned into ISO 8601. Knows nothing of files."""

import datetime
import email.utils
import functools
import re
from collections.abc import Sequence

DAY_FIRST = ("%d-%m-%Y", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%y", "%d.%m.%y", "%d/%m/%y")
MONTH_FIRST = ("%m-%d-%Y", "%m.%d.%Y", "%m/%d/%Y", "%m-%d-%y", "%m.%d.%y", "%m/%d/%y")
OTHER_DAYS = ("%Y/%m/%d", "%Y.%m.%d", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%Y-%m")
CLOCKS = (" %H:%M:%S", " %H:%M", " %H.%M", " %I:%M %p", ", %H:%M")
MOMENTS = ("%a %b %d %H:%M:%S %z %Y",)
EARLIEST_YEAR = 1900
"""Earlier years are placeholders."""


def _iso(moment: datetime.datetime, day_only: bool) -> str | None:
    if moment.year < EARLIEST_YEAR:
        return None
    if day_only:
        return moment.date().isoformat()
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return aware.astimezone(datetime.UTC).isoformat(timespec="seconds")


def _from_epoch(text: str) -> str | None:
    """Seconds or milliseconds since 1970."""
    if not re.fullmatch(r"\d{9,10}(\.\d+)?|\d{12,13}", text):
        return None
    seconds = float(text) / (1000 if len(text) >= 12 and "." not in text else 1)
    return _iso(datetime.datetime.fromtimestamp(seconds, datetime.UTC), day_only=False)


def _strict(text: str, pattern: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(text, pattern)
    except ValueError:
        return None


def _from_patterns(text: str, days: Sequence[str]) -> str | None:
    for day in (*days, *OTHER_DAYS):
        if found := _strict(text, day):
            return _iso(found, day_only=True)
        for clock in CLOCKS:
            if found := _strict(text, day + clock):
                return _iso(found, day_only=False)
    for pattern in MOMENTS:
        if found := _strict(text, pattern):
            return _iso(found, day_only=False)
    return None


def _from_mail(text: str) -> str | None:
    """RFC 5322, as in "Mon, 20 Nov 1995 19:12:08 -0500"."""
    try:
        return _iso(email.utils.parsedate_to_datetime(text), day_only=False)
    except (ValueError, TypeError, OverflowError):
        return None


@functools.lru_cache(maxsize=10_000)
def to_iso(text: str, month_first: bool = False) -> str | None:
    """The ISO 8601 form of a date (a year or a day stays one, a moment becomes UTC), or None where it is no date."""
    text = text.strip()
    if not re.search(r"\d", text) or len(text) > 60:
        return None
    if re.fullmatch(r"(19|20)\d\d", text):
        return text
    try:
        return _iso(datetime.datetime.fromisoformat(text), day_only=len(text) <= 10)
    except (ValueError, OverflowError):
        pass
    first = MONTH_FIRST if month_first else DAY_FIRST
    return _from_epoch(text) or _from_patterns(text, first) or _from_mail(text)


def month_comes_first(texts: Sequence[str]) -> bool:
    """Whether a column of dates writes the month before the day; a tie is day first, as in most of the world."""
    pairs = [
        (int(found[1]), int(found[2]))
        for text in texts
        if (found := re.match(r"\s*(\d{1,2})[-./](\d{1,2})[-./]\d", text))
    ]
    return sum(second > 12 for _, second in pairs) > sum(first > 12 for first, _ in pairs)
