"""A count of one is said as one: the helper, and every sentence of the sources that puts a count before a noun."""

import re
from pathlib import Path

import pytest

from app.wording import came_to_nothing, counted, dates_unread, verb

ROOT = Path(__file__).parent.parent / "app"
NOUNS = "records|pairs|examples|tokens|rows|lines|files|answers|adapters|samples|messages|seconds|uploads|duplicates"
BARE = re.compile(rf"\}} (?!of )(?:[a-z-]+ )?(?:{NOUNS})\b(?!/)")
"""A placeholder before a noun that is always plural."""
NEVER_ONE = {
    "app/cli/serving.py": 1,  # the most tokens that a context may have
    "app/pipeline/editing.py": 1,  # "answers with one of"
    "app/pipeline/estimating.py": 1,  # tokens of an upload
    "app/pipeline/forecasting.py": 1,  # tokens at once
    "app/pipeline/importing.py": 1,  # "none of the"
    "app/pipeline/payload.py": 1,  # the most records of a request
    "app/pipeline/shelf.py": 1,  # tokens that were too many
    "app/ui/strings.py": 1,  # tokens at once
}
"""By file, how many such sentences hold a number that is never one."""


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 records"), (1, "1 record"), (2, "2 records"), (1000, "1000 records")]
)
def test_noun_goes_with_its_count(count: int, said: str) -> None:
    assert counted(count, "record") == said


def test_why_samples_came_to_nothing_is_said_where_it_is_known() -> None:
    why = {"failed": 3, "failed_because": ["too long", "unfinished thinking"]}
    assert came_to_nothing(why) == "3 samples came to nothing (too long, unfinished thinking)"
    assert came_to_nothing({"failed": 1}) == "1 sample came to nothing"


def test_noun_may_have_a_plural_of_its_own_and_a_verb() -> None:
    assert counted(2, "history", "histories") == "2 histories"
    assert [verb(count, "is", "are") for count in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, ""),
        (1, " 1 date could not be read; that record counts as newest."),
        (2, " 2 dates could not be read; those records count as newest."),
    ],
)
def test_what_becomes_of_records_without_a_readable_date_is_said(count: int, said: str) -> None:
    assert dates_unread(count) == said


def test_pattern_finds_what_it_is_for() -> None:
    assert BARE.search('f"{len(ids)} records are deleted"')
    assert BARE.search('f"{pairs} new pairs"')
    assert not BARE.search('f"{own} of your records"')
    assert not BARE.search("f\"{counted(own, 'record')} left\"")


@pytest.mark.parametrize("room", ["ui", "cli", "pipeline", "serving"])
def test_no_sentence_puts_a_bare_count_before_a_plural(room: str) -> None:
    found = {
        f"app/{room}/{path.name}": lines
        for path in sorted((ROOT / room).glob("*.py"))
        if (lines := [line.strip() for line in path.read_text("utf-8").splitlines() if BARE.search(line)])
    }
    assert {name: lines for name, lines in found.items() if len(lines) > NEVER_ONE.get(name, 0)} == {}
