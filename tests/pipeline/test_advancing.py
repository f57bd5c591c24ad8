"""An import says how far it is, over all its steps."""

import csv
import json
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from app.pipeline.advancing import PARTS, TOLD_EVERY, Advance
from app.pipeline.importing import Source, import_file
from app.pipeline.notes import Notes
from app.pipeline.workspace import open_workspace
from personal_store import records
from personal_store.nouns import RecordQuery


def texts(count: int) -> list[tuple[str, str]]:
    """Records that are not alike."""
    return [
        (f"In week {n} the {n % 97} boats at pier {n % 89} waited for tide {n}.", f"Week {n}, boats")
        for n in range(count)
    ]


def as_csv(path: Path, count: int) -> Source:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("abstract", "title"), *texts(count)])
    return path


def as_json(path: Path, count: int) -> Source:
    path.write_text(json.dumps([{"abstract": input, "title": output} for input, output in texts(count)]))
    return path


def as_json_lines(path: Path, count: int) -> Source:
    lines = [json.dumps({"abstract": input, "title": output}) for input, output in texts(count)]
    path.write_text("\n".join(lines))
    return path


def as_notes(path: Path, count: int) -> Source:
    for number, (input, output) in enumerate(texts(count)):
        path.with_name(f"{number}.md").write_text(f"# {output}\n\n{input}\n")
    return Notes(tuple(path.with_name(f"{number}.md") for number in range(count)))


def said(folder: Path, source: Source) -> list[Advance]:
    """What an import says, one word after the other."""
    heard: list[Advance] = []
    import_file(open_workspace(folder), source, listen=heard.append)
    return heard


def check(heard: list[Advance], rows: int) -> None:
    """It speaks often, in the order of the steps, never goes back, and is done once, at the end."""
    shares = [advance.share for advance in heard]
    assert shares == sorted(shares)
    assert [number for number, share in enumerate(shares) if share >= 1] == [len(shares) - 1]
    steps = {step: list(words) for step, words in groupby(heard, lambda advance: advance.step)}
    assert list(steps) == list(PARTS)
    for step, words in steps.items():
        assert words[0].done == 0
        assert rows <= words[-1].done + TOLD_EVERY, step
        assert all(later.done - word.done <= TOLD_EVERY for word, later in pairwise(words)), step
    assert len(heard) >= (len(PARTS) + 1) * rows // TOLD_EVERY


@pytest.mark.parametrize("write", [as_csv, as_json, as_json_lines])
def test_an_import_tells_how_far_it_is(tmp_path: Path, write: Callable[[Path, int], Source]) -> None:
    rows = 4 * TOLD_EVERY + 300
    check(said(tmp_path / "data", write(tmp_path / "history.csv", rows)), rows)


def test_notes_are_told_as_they_are_read(tmp_path: Path) -> None:
    heard = said(tmp_path / "data", as_notes(tmp_path / "note", TOLD_EVERY + 100))
    assert [advance.done for advance in heard if advance.step == "reading"] == [0, TOLD_EVERY]


def test_a_small_import_and_a_repeated_one_are_done_once(tmp_path: Path) -> None:
    source = as_csv(tmp_path / "history.csv", 3)
    for _ in range(2):
        assert [advance.share for advance in said(tmp_path / "data", source)].count(1.0) == 1


def test_an_import_behind_deleted_records_is_not_done_early(tmp_path: Path) -> None:
    rows = 3 * TOLD_EVERY
    with open_workspace(tmp_path / "data").store() as store:
        store.run("INSERT INTO sqlite_sequence VALUES ('records', 1000000)")
    check(said(tmp_path / "data", as_csv(tmp_path / "history.csv", rows)), rows)
    with open_workspace(tmp_path / "data").store() as store:
        assert records.find_records(store, RecordQuery("boats")).total == rows


@pytest.mark.slow
def test_an_import_of_100_000_records_tells_how_far_it_is(tmp_path: Path) -> None:
    rows = 100_000
    check(said(tmp_path / "data", as_csv(tmp_path / "history.csv", rows)), rows)
    with open_workspace(tmp_path / "data").store() as store:
        assert records.count_records(store).total == rows
