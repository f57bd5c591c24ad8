"""The sample history keeps its promises: enough records, one style, nothing said twice, titles true to their notes."""

import csv
import datetime
import itertools
import json
import pathlib
import re

import pytest

SAMPLE = pathlib.Path(__file__).resolve().parent.parent / "assets" / "sample"
STYLE = r"[^A-Z:—()]{3,28}: [^A-Z:—()]+ — [^A-Z:—()]+ \([^A-Z:—()]+\), kettle on"
SIGN_OFF = ", kettle on"


def sentences(note: str) -> list[str]:
    """Split at the white space after a full stop; a time like 7.12 has none and stays whole."""
    return re.split(r"(?<=[.!?])\s+", note.strip())


def long_words(text: str) -> set[str]:
    """Words of four letters or more, lower case: those that carry what a note is about."""
    return set(re.findall(r"[\w'-]{4,}", text.lower()))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (SAMPLE / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    prompts_by_task: dict[str, list[str]] = json.loads((SAMPLE / "prompts.json").read_text(encoding="utf-8"))
    assert list(prompts_by_task) == ["title"]
    return prompts_by_task["title"]


def test_columns_are_those_the_importer_recognises() -> None:
    first_line = (SAMPLE / "history.csv").read_text(encoding="utf-8").splitlines()[0]
    assert first_line == "date,abstract,title"


def test_there_are_at_least_eighty_records(rows: list[dict[str, str]]) -> None:
    assert len(rows) >= 80


def test_every_field_is_filled_and_trimmed(rows: list[dict[str, str]]) -> None:
    bad = [row for row in rows if None in row or not all(value and value == value.strip() for value in row.values())]
    assert bad == []


def test_dates_are_iso_and_rise(rows: list[dict[str, str]]) -> None:
    dates = [datetime.date.fromisoformat(row["date"]) for row in rows]
    assert [date.isoformat() for date in dates] == [row["date"] for row in rows]
    assert all(earlier < later for earlier, later in itertools.pairwise(dates))
    assert {date.year for date in dates} == {2023, 2024, 2025}


def test_notes_and_titles_are_unique(rows: list[dict[str, str]]) -> None:
    assert len({row["abstract"] for row in rows}) == len(rows)
    assert len({row["title"] for row in rows}) == len(rows)


def test_no_sentence_of_a_note_is_repeated(rows: list[dict[str, str]], prompts: list[str]) -> None:
    notes = [row["abstract"] for row in rows] + prompts
    said = [sentence.casefold() for note in notes for sentence in sentences(note)]
    assert sorted({sentence for sentence in said if said.count(sentence) > 1}) == []


def test_notes_are_two_or_three_sentences_of_thirty_to_sixty_words(
    rows: list[dict[str, str]], prompts: list[str]
) -> None:
    notes = [row["abstract"] for row in rows] + prompts
    assert [note for note in notes if len(sentences(note)) not in (2, 3)] == []
    assert [note for note in notes if not 30 <= len(note.split()) <= 60] == []


def test_titles_follow_the_style(rows: list[dict[str, str]]) -> None:
    following = [row for row in rows if re.fullmatch(STYLE, row["title"]) and row["title"] == row["title"].lower()]
    assert len(following) >= 0.95 * len(rows)


def test_notes_are_plain_so_that_only_training_can_bring_the_style(
    rows: list[dict[str, str]], prompts: list[str]
) -> None:
    notes = [row["abstract"] for row in rows] + prompts
    assert [note for note in notes if re.search(r"[—()]|kettle on", note)] == []


def test_titles_speak_of_their_own_note(rows: list[dict[str, str]]) -> None:
    """A title shares more long words with its note than with any other note of the history."""
    notes = [long_words(row["abstract"]) for row in rows]
    strangers = []
    for number, row in enumerate(rows):
        words = long_words(row["title"].removesuffix(SIGN_OFF))
        shared = [len(words & note) for note in notes]
        if shared[number] < 3 or shared.count(max(shared)) > 1 or shared[number] != max(shared):
            strangers.append(row["title"])
    assert strangers == []


def test_there_are_five_prompts_that_are_not_in_the_history(rows: list[dict[str, str]], prompts: list[str]) -> None:
    assert len(set(prompts)) == 5
    assert set(prompts).isdisjoint(row["abstract"] for row in rows)


def test_the_readme_states_the_same_style() -> None:
    assert f"    {STYLE}\n" in (SAMPLE / "README.md").read_text(encoding="utf-8")
