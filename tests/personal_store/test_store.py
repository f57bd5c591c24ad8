import multiprocessing
import sqlite3
import stat
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from personal_store import migrations
from personal_store.errors import StoreBusy, StoreFull, StoreNotReadable, StoreTooNew
from personal_store.jobs import create_job
from personal_store.nouns import NewRecord, RecordQuery
from personal_store.preferences import secret
from personal_store.records import add_records, all_records, find_records
from personal_store.store import Store, now, open_store
from personal_store.training import adapters, add_adapter, save_training_set


def add_one(path: Path, number: int) -> str:
    """Runs in a process of its own: opens the store, adds a record and reads the secret."""
    with open_store(path) as store:
        add_records(store, [NewRecord("chat", f"input {number}", "output", None, "test")])
        return secret(store).hex()


def schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_new_store_is_readable_by_its_owner_alone(store: Store, path: Path) -> None:
    store.run("INSERT INTO preferences VALUES ('a', '1')")
    files = sorted(file.name for file in path.parent.iterdir())
    assert files == ["store.db", "store.db-shm", "store.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_the_settings_that_the_store_relies_on(store: Store) -> None:
    for pragma, expected in {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 10_000,
    }.items():
        assert store.value(f"PRAGMA {pragma}") == expected


def test_times_are_utc_iso() -> None:
    assert now().endswith("+00:00")
    assert "T" in now()


def test_several_processes_and_threads_open_a_new_file_at_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as processes, ThreadPoolExecutor(4) as threads:
        work = [(processes if number % 4 == 0 else threads).submit(add_one, path, number) for number in range(24)]
        secrets = {each.result() for each in work}
    assert len(secrets) == 1
    with open_store(path) as store:
        assert find_records(store, RecordQuery()).total == 24


def test_many_threads_race_for_the_schema(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        barrier = threading.Barrier(8)

        def open_together(path: Path = path, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            with open_store(path) as store:
                return int(store.value("PRAGMA user_version"))

        with ThreadPoolExecutor(8) as threads:
            versions = [each.result() for each in [threads.submit(open_together) for _ in range(8)]]
        assert versions == [len(migrations.MIGRATIONS)] * 8


@pytest.mark.parametrize("content", [b"date,title\n2024-01-01,A title\n" * 20, b"SQLite format 3\0short", b"\0" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreNotReadable, match="no SQLite database"):
        open_store(path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_file_with_the_number_of_a_deleted_store_is_looked_at_too(path: Path) -> None:
    for attempt in range(20):
        open_store(path).close()
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        other = path.with_name(f"other-{attempt}.db")
        other.write_bytes(b"date,title\n" * 20)
        with pytest.raises(StoreNotReadable, match="no SQLite database"):
            open_store(other)


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    for user_version in (0, 75):
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE bookmarks (address TEXT)")
            other.execute(f"PRAGMA user_version = {user_version}")
        with pytest.raises(StoreNotReadable, match="another program"):
            open_store(path)
        assert [name for name, _ in schema(path)] == ["bookmarks"]


def test_a_damaged_store_says_so(path: Path) -> None:
    open_store(path).close()
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)
    with pytest.raises(StoreNotReadable, match="damaged"):
        open_store(path)


def test_a_folder_in_place_of_the_file_and_a_missing_folder_are_explained(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "store.db"):
        with pytest.raises(StoreNotReadable, match="cannot"):
            open_store(path)


def test_a_newer_file_is_refused_and_not_touched(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    path.chmod(0o640)
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match="schema 99"):
        open_store(path)
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_a_version_that_is_still_in_the_log_counts(path: Path) -> None:
    with open_store(path), closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
        with pytest.raises(StoreTooNew):
            open_store(path)


def test_an_older_file_is_copied_and_brought_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
    with open_store(path) as old:
        old.run(
            "INSERT INTO records (task, input, output, imported_at, source, content_hash)"
            " VALUES ('chat', 'kept text', 'output', '2024-01-01', 'test', 'a hash')"
        )
    old_schema = schema(path)
    steps = (
        f"ALTER TABLE records ADD COLUMN mood TEXT; {migrations.FINDINGS}",
        f"CREATE TABLE moods (name TEXT); CREATE INDEX m ON moods (name); {migrations.SHARES}",
    )
    monkeypatch.setattr(migrations, "MIGRATIONS", (migrations.FIRST, *steps))
    with open_store(path) as new:
        assert new.value("PRAGMA user_version") == 3
        assert new.value("SELECT mood FROM records") is None
        assert find_records(new, RecordQuery(text="kept")).total == 1
    copy = migrations.backup_path(path, 1)
    assert schema(copy) == old_schema
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT input FROM records").fetchall() == [("kept text",)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert sorted(file.name for file in path.parent.iterdir()) == ["store.db", copy.name]


def test_a_file_from_the_first_schema_ends_with_the_schema_of_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    every = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", every[:1])
    open_store(old).close()
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    open_store(old).close()
    open_store(new).close()
    assert schema(old) == schema(new)


def test_adapters_of_an_earlier_schema_stay_and_ids_of_deleted_ones_do_not_come_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", every[: every.index(migrations.ADAPTERS)])
    with open_store(path) as old:
        training_set = save_training_set(old, [], [], [], 0, "hash")
        job = create_job(old, "train", {})
        for id in (1, 2):
            old.run(
                "INSERT INTO adapters (name, folder, base, training_set_id, job_id, manifest, active, created_at)"
                " VALUES ('mine', ?, 'base', ?, ?, '{}', ?, '2024')",
                [str(id), training_set.id, job.id, id == 1],
            )
        old.run("DELETE FROM adapters WHERE id = 2")
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    with open_store(path) as new:
        (kept,) = adapters(new)
        assert (kept.id, kept.name, kept.active, kept.job_id, kept.note) == (1, "mine", True, job.id, "")
        assert add_adapter(new, "next", "3", "base", None, None, {}).id == 3


def test_boxes_keep_their_state_when_they_move_out_of_the_records(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", every[: every.index(migrations.SHARES)])
    boxes = [(0, None, None), (1, "slider", None), (0, "hand", None), (1, "hand", "redacted")]
    with open_store(path) as old:
        for number, box in enumerate(boxes):
            old.run(
                "INSERT INTO records (task, input, output, imported_at, source, content_hash, findings, shared,"
                " shared_by, shared_as) VALUES ('chat', 'text', 'output', '2024-01-01', 'test', ?, '', ?, ?, ?)",
                [str(number), *box],
            )
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    with open_store(path) as new:
        found = all_records(new)
        assert [(int(item.shared), item.shared_by, item.shared_as) for item in found] == boxes
        assert new.value("SELECT count(*) FROM shares") == 3


def test_a_copy_that_cannot_be_made_is_a_sentence_and_the_file_stays_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
    open_store(path).close()
    old_schema, copy = schema(path), migrations.backup_path(path, 1)
    copy.mkdir()
    monkeypatch.undo()
    with pytest.raises(StoreNotReadable, match=f"{copy} should be a file .*Is a directory"):
        open_store(path)
    assert schema(path) == old_schema
    copy.rmdir()
    open_store(path).close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["store.db", copy.name]


def test_a_failing_step_leaves_the_schema_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(path).close()
    before = schema(path)
    monkeypatch.setattr(
        migrations, "MIGRATIONS", (*migrations.MIGRATIONS, "CREATE TABLE half (a TEXT); INSERT INTO nowhere VALUES (1)")
    )
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        open_store(path)
    assert schema(path) == before


def test_threads_migrate_one_old_file_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(path).close()
    old_schema = schema(path)
    steps = (*migrations.MIGRATIONS, "CREATE TABLE moods (name TEXT)", "ALTER TABLE moods ADD COLUMN colour TEXT")
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    with ThreadPoolExecutor(6) as threads:
        for each in [threads.submit(lambda: open_store(path).close()) for _ in range(6)]:
            each.result()
    assert schema(migrations.backup_path(path, len(steps) - 2)) == old_schema
    assert dict(schema(path))["moods"] == "CREATE TABLE moods (name TEXT, colour TEXT)"


def test_a_damaged_old_file_is_not_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        # A pair without a record: damage that SQLite itself does not see.
        connection.execute("INSERT INTO finished_records VALUES (1, 1)")
        connection.commit()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, "CREATE TABLE moods (name TEXT)"))
    with pytest.raises(StoreNotReadable, match="damaged"):
        open_store(path)
    assert "moods" not in dict(schema(path))


def test_a_full_disk_keeps_nothing_of_the_change(store: Store) -> None:
    store.run(f"PRAGMA max_page_count = {store.value('PRAGMA page_count') + 2}")
    records = [NewRecord("chat", f"input {number} " + "words " * 500, "output", None, "test") for number in range(50)]
    with pytest.raises(StoreFull, match="make room"):
        add_records(store, records)
    assert find_records(store, RecordQuery()).total == 0
    store.run("PRAGMA max_page_count = 100000")
    assert len(add_records(store, records).added) == 50


def test_a_lock_held_too_long_is_explained(path: Path) -> None:
    with (
        open_store(path) as holder,
        open_store(path, busy_seconds=0.1) as waiting,
        holder.change(),
        pytest.raises(StoreBusy, match="locked"),
    ):
        secret(waiting)


def test_a_change_is_kept_whole_or_not_at_all(store: Store) -> None:
    def fail_halfway() -> None:
        with store.change():
            store.run("INSERT INTO preferences VALUES ('a', '1')")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_halfway()
    assert store.rows("SELECT * FROM preferences") == []


def test_a_store_stays_in_its_thread(store: Store) -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(sqlite3.ProgrammingError, match="thread"):
        threads.submit(store.rows, "SELECT 1").result()
