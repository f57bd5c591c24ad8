import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from personal_store import preferences
from personal_store.ledger import END, START, append_upload, broken_line, uploads
from personal_store.store import Store


def fill(store: Store) -> None:
    for number in range(4):
        append_upload(store, "https://service.example", [number, 7], 100 + number, f"{number:064x}", "sent")


def behind_its_back(path: Path, sql: str) -> None:
    """Change the file as somebody would who takes the triggers away first."""
    with closing(sqlite3.connect(path)) as connection:
        for name in ("uploads_never_change", "uploads_never_go", "uploads_only_at_the_end"):
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(sql)
        connection.commit()


def test_lines_come_back_in_order_and_hold_together(store: Store) -> None:
    assert broken_line(store) is None
    fill(store)
    lines = uploads(store)
    assert [line.bytes for line in lines] == [100, 101, 102, 103]
    assert lines[1].record_ids == (1, 7)
    assert [line.previous_hash for line in lines] == [START, *(line.line_hash for line in lines[:3])]
    assert broken_line(store) is None


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE uploads SET outcome = 'sent' WHERE id = 2",
        "DELETE FROM uploads",
        "REPLACE INTO uploads SELECT * FROM uploads WHERE id = 2",
        "INSERT INTO uploads SELECT id + 9, sent_at, '', record_ids, bytes, sha256, outcome, '', '' FROM uploads",
    ],
)
def test_the_database_refuses_a_change(store: Store, sql: str) -> None:
    fill(store)
    before = uploads(store)
    with pytest.raises(sqlite3.IntegrityError, match="ledger"):
        store.run(sql)
    assert uploads(store) == before


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("UPDATE uploads SET record_ids = '[1]' WHERE id = 2", 2),
        ("UPDATE uploads SET destination = 'elsewhere' WHERE id = 4", 4),
        ("UPDATE uploads SET sent_at = '2020' WHERE id = 1", 1),
        ("DELETE FROM uploads WHERE id = 3", 3),
        ("DELETE FROM uploads WHERE id = 1", 1),
        ("DELETE FROM uploads WHERE id = 4", 4),
        ("DELETE FROM uploads WHERE id > 2", 3),
        ("DELETE FROM uploads", 1),
    ],
)
def test_a_change_behind_its_back_shows(store: Store, path: Path, sql: str, line: int) -> None:
    fill(store)
    behind_its_back(path, sql)
    assert broken_line(store) == line


def test_a_line_that_was_put_in_or_made_anew_at_the_end_shows(store: Store, path: Path) -> None:
    fill(store)
    behind_its_back(path, "DELETE FROM uploads WHERE id = 4")
    end = preferences.get(store, END, None)
    append_upload(store, "elsewhere", [1], 1, "ab", "sent")
    preferences.put(store, END, end)
    assert broken_line(store) == 4
    append_upload(store, "elsewhere", [1], 1, "ab", "sent")
    preferences.put(store, END, [4, uploads(store)[3].line_hash])
    assert broken_line(store) == 5


def test_a_ledger_from_before_its_end_was_kept_is_whole(store: Store) -> None:
    fill(store)
    store.run("DELETE FROM preferences WHERE name = ?", [END])
    assert broken_line(store) is None
    fill(store)
    assert broken_line(store) is None


def test_every_field_counts(store: Store, path: Path) -> None:
    fill(store)
    behind_its_back(path, "SELECT 1")
    for column in ("sent_at", "destination", "record_ids", "bytes", "sha256", "outcome", "previous_hash", "line_hash"):
        store.run("SAVEPOINT whole")
        store.run(f"UPDATE uploads SET {column} = 12345 WHERE id = 2")
        assert broken_line(store) == 2, column
        store.run("ROLLBACK TO whole")
        store.run("RELEASE whole")
    assert broken_line(store) is None
