"""How fast the store is at 100,000 records, and beside it the same queries through plain sqlite3, written by hand.

    python -m tests.benchmarks.store [RECORDS]

Medians of several runs, in milliseconds; an import once, in rows a second. Prints a table for docs/experiments.md.
"""

import csv
import hashlib
import itertools
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from app.pipeline.dates import to_iso
from app.pipeline.importing import import_file
from app.pipeline.looking import alike, ends
from app.pipeline.sensitivity import findings
from app.pipeline.sharing import share_ids, share_ratio, shared_now
from app.pipeline.workspace import Workspace, open_workspace
from personal_store.finding import search_expression
from personal_store.nouns import RecordQuery
from personal_store.records import find_records
from personal_store.store import Store, open_store

RUNS = 9
WORDS = 20_000
"""Different words; as in a language, few are common and most are rare."""
PLAIN_SCHEMA = """
CREATE TABLE records (id INTEGER PRIMARY KEY, task TEXT, input TEXT, output TEXT, created_at TEXT, imported_at TEXT,
    source TEXT, hash TEXT UNIQUE, findings TEXT, shared INTEGER DEFAULT 0);
CREATE INDEX by_time ON records (created_at);
CREATE INDEX by_task ON records (task, created_at);
CREATE VIRTUAL TABLE fts USING fts5 (input, output, content='records', content_rowid='id');
"""


def write_history(path: Path, count: int) -> None:
    """A CSV history of so many records of some 30 words."""
    draw = random.Random(0)
    weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(WORDS)))
    words = [f"w{rank}" for rank in range(WORDS)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "abstract", "title"])
        for number in range(count):
            day = f"20{number % 20 + 10:02}-{number % 12 + 1:02}-{number % 28 + 1:02}"
            text = draw.choices(words, cum_weights=weights, k=30)
            writer.writerow([day, " ".join(text), f"number {number} {text[0]}"])


def milliseconds(act: Callable[[], object]) -> float:
    """The median time of an act."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def by_hand(path: Path) -> sqlite3.Connection:
    """A database as a script would open it."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA cache_size = -65536")
    return database


def plain(source: Path, path: Path) -> sqlite3.Connection:
    """The same history in a database that was written by hand: the columns that a page shows, and no more."""
    database = by_hand(path)
    database.executescript(PLAIN_SCHEMA)
    database.execute("BEGIN")
    with source.open(newline="", encoding="utf-8") as file:
        rows = ((i, a, t, d, f"{i:064x}") for i, (d, a, t) in enumerate(list(csv.reader(file))[1:]))
        database.executemany(
            "INSERT INTO records VALUES (?, 'title', ?, ?, ?, '2026-01-01T00:00:00.000+00:00', 'a.csv', ?, '', 0)",
            rows,
        )
    database.execute("INSERT INTO fts (rowid, input, output) SELECT id, input, output FROM records")
    database.execute("COMMIT")
    return database


def full_rows(source: Path) -> Iterator[tuple[object, ...]]:
    """What an import stores of each row: its date read, its hash, what is personal in it, and no near duplicate."""
    seen: dict[int, list[tuple[str, str]]] = {}
    with source.open(newline="", encoding="utf-8") as file:
        for day, text, title in list(csv.reader(file))[1:]:
            keys = ends("title", text)
            if any(alike(text, a) and alike(title, b) for key in keys for a, b in seen.get(key, ())):
                continue
            for key in keys:
                seen.setdefault(key, []).append((text, title))
            hash = hashlib.sha256(json.dumps(["title", text, title]).encode()).hexdigest()
            found = "\n".join(findings(text, title))
            yield "title", text, title, to_iso(day), "now", "file", hash, found, *keys


def plain_full(source: Path, path: Path) -> None:
    """An import by hand that does all that ours does, into tables like ours."""
    open_store(path).close()
    database = by_hand(path)
    database.execute("BEGIN")
    database.execute("DROP TRIGGER records_inserted")
    database.executemany(
        "INSERT INTO records (task, input, output, created_at, imported_at, source, content_hash, findings, head, tail)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (content_hash) DO NOTHING",
        full_rows(source),
    )
    database.execute("INSERT INTO records_fts (rowid, input, output) SELECT id, input, output FROM records")
    database.execute("COMMIT")
    database.close()


def plain_page(database: sqlite3.Connection, query: RecordQuery) -> None:
    """A page of 50, the newest first, and how many there are."""
    words = search_expression(query.text.split())
    conditions = ["id IN (SELECT rowid FROM fts WHERE fts MATCH ?)" if words else "? = ''"]
    if query.task is not None:
        conditions.append(f"task = '{query.task}'")
    if query.shared is not None:
        conditions.append(f"shared = {query.shared:d}")
    where = "WHERE " + " AND ".join(conditions)
    page = f"SELECT * FROM records {where} ORDER BY created_at DESC, id DESC LIMIT 50 OFFSET {query.offset}"
    database.execute(page, [words]).fetchall()
    database.execute(f"SELECT count(*) FROM records {where}", [words]).fetchone()


def plain_marking(database: sqlite3.Connection, count: int) -> None:
    """Half of the records marked, and unmarked again."""
    ids = random.Random(0).sample(range(count), count // 2)
    for shared in (1, 0):
        database.execute("BEGIN")
        database.executemany("UPDATE records SET shared = ? WHERE id = ?", ((shared, id) for id in ids))
        database.execute("COMMIT")


def seconds(act: Callable[[], object]) -> float:
    """The time of one act."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def measure_imports(source: Path, folder: Path, count: int) -> sqlite3.Connection:
    """An import, the same work by hand, and the bare storing by hand; the last one's database."""
    ours = seconds(lambda: import_file(open_workspace(folder / "data"), source))
    same = seconds(lambda: plain_full(source, folder / "same.db"))
    start = time.perf_counter()
    database = plain(source, folder / "plain.db")
    bare = time.perf_counter() - start
    print(f"| import, rows a second | {count / ours:,.0f} | {count / same:,.0f} | {ours / same:.2f} |")
    print(f"| the same beside storing alone | {count / ours:,.0f} | {count / bare:,.0f} | {ours / bare:.2f} |")
    return database


def measure_page(store: Store, database: sqlite3.Connection, name: str, query: RecordQuery) -> None:
    """A page of 50 with a search and a sort, and how many there are."""
    ours = milliseconds(lambda: find_records(store, query))
    theirs = milliseconds(lambda: plain_page(database, query))
    hits = find_records(store, query).total
    print(f"| page of 50, {name} ({hits:,} found), ms | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |")


def measure_pages(store: Store, database: sqlite3.Connection, count: int) -> None:
    """Pages of rare and of common words."""
    measure_page(store, database, "no word", RecordQuery())
    measure_page(store, database, "a rare word", RecordQuery("w9000"))
    measure_page(store, database, "a middling word", RecordQuery("w300"))
    measure_page(store, database, "a common word", RecordQuery("w0"))
    measure_page(store, database, "the same, far down the list", RecordQuery("w0", offset=count // 4))


def measure_narrowed(workspace: Workspace, database: sqlite3.Connection) -> None:
    """Pages of a common word where a third of the records have another task and half of them are shared."""
    shared = share_ratio(workspace, 0.5).shared
    other = "UPDATE records SET task = 'tag' WHERE id % 3 = 0"
    database.execute(other)
    database.executemany("UPDATE records SET shared = 1 WHERE id = ?", ((id,) for id in shared))
    with workspace.store() as store:
        store.run(other)
        measure_page(store, database, "a common word of one task", RecordQuery("w0", task="title"))
        measure_page(store, database, "a common word kept at home", RecordQuery("w0", shared=False))
        measure_page(store, database, "a common word, both", RecordQuery("w0", task="title", shared=False))
        measure_page(store, database, "no word, both", RecordQuery(task="title", shared=False))


def measure_slider(workspace: Workspace, database: sqlite3.Connection, count: int) -> None:
    """Half of the records marked, and unmarked again."""
    times = [seconds(lambda ratio=ratio: share_ratio(workspace, ratio)) * 1000 for ratio in (0.5, 0.0) * 3]  # type: ignore[misc]
    theirs = milliseconds(lambda: plain_marking(database, count)) / 2
    ours = statistics.median(times[::2])
    print(f"| slider marks {count // 2:,}, ms | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |")


def measure_ticks(workspace: Workspace) -> None:
    """A box ticked and a page drawn again, while half of the history is shared."""
    share_ratio(workspace, 0.5)
    with workspace.store() as store:
        ids = [record.id for record in find_records(store, RecordQuery()).records]
    tick = milliseconds(lambda: share_ids(workspace, ids[:1], ids[0] not in shared_now(workspace).shared))
    print(f"| a box ticked, ms | {tick:.1f} | | |")


def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "history.csv"
        write_history(source, count)
        database = measure_imports(source, folder, count)
        workspace = open_workspace(folder / "data")
        with workspace.store() as store:
            measure_pages(store, database, count)
        measure_slider(workspace, database, count)
        measure_ticks(workspace)
        measure_narrowed(workspace, database)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
