import hashlib
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.device.writing import replacing
from app.errors import DiskFull, FileNotUsable, JobRefused, NotWritten
from app.pipeline import adapters, editing
from app.pipeline.archive import export_archive, import_archive
from app.pipeline.forgetting import archives, delete_everything, forget, forget_deleted, retrain_task
from app.pipeline.network import is_offline, set_offline
from app.pipeline.payload import build_payload
from app.pipeline.sharing import share_ids
from app.pipeline.tasks import make_task
from app.pipeline.workspace import Workspace, open_workspace
from personal_store import archive, generations, jobs, ledger, records, training
from personal_store.errors import NotEmpty, StoreNotReadable
from personal_store.nouns import NewGeneration, RecordQuery, Votes
from personal_store.store import Row, Store
from tests.limits import largest_file
from tests.pipeline.support import add_pairs, workspace_with

NEWER = json.dumps({"format": "cdcda-archive", "version": 9, "schema": 1, "tables": {}, "files": {}}).encode()


def dump(workspace: Workspace) -> dict[str, list[dict[str, object]]]:
    with workspace.store() as store:
        return {table: list(archive.rows_of(store, table)) for table in archive.TABLES}


def full(folder: Path) -> Workspace:
    """A workspace with something in every table that a person fills."""
    workspace, ids = workspace_with(folder, 6)
    share_ids(workspace, ids[:2])
    add_pairs(workspace, ids[:2])
    make_task(workspace, "mood", "{input}", answer="label", labels=("good", "bad"))
    editing.edit(workspace, ids[3], output="Straße – 😀")
    editing.delete(workspace, ids[4:5])
    payload = build_payload(workspace)
    with workspace.store() as store:
        ledger.append_upload(store, str(payload.destination), payload.record_ids, 1, payload.sha256, "sent")
        learned = training.save_training_set(store, ids[:2], (), (), 0, "h")
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "done")
        made = training.add_adapter(store, "a", "one", "base", learned.id, job.id, {"task": "title"})
        training.activate(store, made.id)
        before, after = (
            generations.add_generation(store, NewGeneration("title", "text", by, {}, 0, "answer", 2, 0.1))
            for by in (None, made.id)
        )
        compared = generations.add_comparison(store, before.id, after.id, blind=True, after_first=True)
        generations.vote(store, compared.id, "after")
    (workspace.adapters / "one").mkdir()
    (workspace.adapters / "one" / "adapter.bin").write_bytes(bytes(range(256)))
    (workspace.adapters / "one" / "manifest.json").write_text("{}")
    return workspace


def test_an_archive_that_cannot_be_written_is_a_sentence_and_what_was_there_stays(tmp_path: Path) -> None:
    workspace, path = full(tmp_path / "old"), tmp_path / "all.zip"
    (workspace.adapters / "one" / "adapter.bin").write_bytes(random.Random(0).randbytes(3_000_000))
    path.write_bytes(b"mine")
    with largest_file(2_000_000), pytest.raises(DiskFull, match=r"The archive cannot be written in .*ulimit"):
        export_archive(workspace, path)
    with pytest.raises(NotWritten, match="no file stands where a folder should be"):
        export_archive(workspace, path / "all.zip")
    assert path.read_bytes() == b"mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["all.zip", "old"]


KILLED = """
import os, signal, sys
from pathlib import Path
from app.pipeline import archive
from app.pipeline.workspace import open_workspace

archive._write_adapters = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
archive.export_archive(open_workspace(sys.argv[1]), Path(sys.argv[2]))
"""


def export_and_be_killed(workspace: Workspace) -> Path:
    """What a process leaves that is killed in the middle of an archive."""
    workspace.exports.mkdir(exist_ok=True)
    path = workspace.exports / "cdcda-then.zip"
    subprocess.run([sys.executable, "-c", KILLED, workspace.data_dir, path], check=False)
    (left,) = workspace.exports.iterdir()
    return left


def test_an_archive_that_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    workspace = full(tmp_path)
    left = export_and_be_killed(workspace)
    export_archive(workspace, workspace.exports / "cdcda-now.zip")
    assert not left.exists()


@pytest.mark.parametrize("forgets", [lambda workspace: forget(workspace, 1), forget_deleted, delete_everything])
def test_an_archive_that_a_killed_process_left_goes_with_what_is_forgotten_and_one_that_is_being_written_is_named(
    tmp_path: Path, forgets: Callable[[Workspace], object]
) -> None:
    workspace = full(tmp_path)
    left = export_and_be_killed(workspace)
    with replacing(workspace.exports / "cdcda-now.zip", "The archive") as written:
        written.write_bytes(b"half")
        forgets(workspace)
        assert archives(workspace) == (str(written),)
    assert not left.exists()


def test_an_archive_whose_adapters_cannot_be_written_is_a_sentence_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    old, path = full(tmp_path / "old"), tmp_path / "all.zip"
    (old.adapters / "one" / "adapter.bin").write_bytes(random.Random(0).randbytes(3_000_000))
    export_archive(old, path)
    new = open_workspace(tmp_path / "new")
    with largest_file(2_000_000), pytest.raises(DiskFull, match="An adapter of the archive cannot be written"):
        import_archive(new, path)
    assert list(new.adapters.iterdir()) == []
    import_archive(new, path)
    assert dump(new) == dump(old)


def test_what_is_exported_comes_back_row_for_row(tmp_path: Path) -> None:
    old = full(tmp_path / "old")
    done = export_archive(old, tmp_path / "all.zip")
    assert (tmp_path / "all.zip").stat().st_mode & 0o777 == 0o600
    new = open_workspace(tmp_path / "new")
    assert import_archive(new, tmp_path / "all.zip").rows == done.rows
    assert dump(new) == dump(old)
    assert (new.adapters / "one" / "adapter.bin").read_bytes() == bytes(range(256))
    assert build_payload(new).body == build_payload(old).body
    with new.store() as store:
        assert ledger.broken_line(store) is None
        assert generations.count_votes(store) == (Votes(1, True, 0, 0, 1),)
        assert records.find_records(store, RecordQuery(text="Straße")).total == 1
    assert editing.undo(new) == editing.undo(old)
    assert editing.add(new, "title", "later", "later").id == editing.add(old, "title", "later", "later").id


def test_an_archive_that_is_made_while_a_training_runs_comes_back_without_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, path = full(tmp_path / "old"), tmp_path / "all.zip"
    (old.adapters / "job-2").mkdir()
    for unfinished in ("job-2/checkpoint.safetensors", "one/checkpoint.safetensors", "one/adapter.gguf.part"):
        (old.adapters / unfinished).write_bytes(b"half")
    rows_of = archive.rows_of

    def meanwhile(store: Store, table: str) -> Iterator[Row]:
        yield from rows_of(store, table)
        (old.adapters / "one" / "adapter.bin").write_bytes(table.encode())
        # As a job reports; it must not wait for the archive.
        with old.store() as other:
            jobs.add_event(other, 1, "step", {})

    monkeypatch.setattr(archive, "rows_of", meanwhile)
    done = export_archive(old, path)
    monkeypatch.undo()
    assert (done.files, done.rows["job_events"]) == (2, 0)
    new = open_workspace(tmp_path / "new")
    import_archive(new, path)
    assert sorted(path.name for path in new.adapters.rglob("*")) == ["adapter.bin", "manifest.json", "one"]


@pytest.mark.parametrize("behind", ["tables/sqlite_sequence.jsonl", "adapters/one/adapter.bin"])
def test_an_adapter_that_is_deleted_while_an_archive_is_made_is_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: str
) -> None:
    old, path, begin = full(tmp_path / "old"), tmp_path / "all.zip", zipfile.ZipFile.open

    def meanwhile(file: zipfile.ZipFile, name: Any, *arguments: Any, **options: Any) -> Any:
        opened = begin(file, name, *arguments, **options)
        if name == behind and adapters.listing(old):
            adapters.delete(old, 1)
        return opened

    monkeypatch.setattr(zipfile.ZipFile, "open", meanwhile)
    done = export_archive(old, path)
    monkeypatch.undo()
    assert (done.files, done.rows["adapters"]) == (0, 0)
    new = open_workspace(tmp_path / "new")
    import_archive(new, path)
    assert dump(new) == dump(old)
    assert list(new.adapters.iterdir()) == []


def test_the_hash_in_an_archive_is_of_what_was_packed_though_the_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, begin = full(tmp_path / "old"), zipfile.ZipFile.open
    adapter, other = old.adapters / "one" / "adapter.bin", tmp_path / "other"
    other.write_bytes(b"trained again")

    def replaced(file: zipfile.ZipFile, name: Any, *arguments: Any, **options: Any) -> Any:
        if "adapter.bin" in str(name) and other.exists():
            other.replace(adapter)
        return begin(file, name, *arguments, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", replaced)
    export_archive(old, tmp_path / "all.zip")
    assert not other.exists()
    assert import_archive(open_workspace(tmp_path / "new"), tmp_path / "all.zip").files == 2


def test_an_archive_does_not_come_back_beside_an_adapter_that_was_brought_in(tmp_path: Path) -> None:
    export_archive(full(tmp_path / "old"), tmp_path / "all.zip")
    new = open_workspace(tmp_path / "new")
    with new.store() as store:
        training.add_adapter(store, "a", "imported-x", "base", None, None, {})
    with pytest.raises(NotEmpty):
        import_archive(new, tmp_path / "all.zip")


def test_an_archive_comes_back_only_into_an_empty_folder(tmp_path: Path) -> None:
    old = full(tmp_path / "old")
    export_archive(old, tmp_path / "all.zip")
    before = dump(old)
    with pytest.raises(NotEmpty):
        import_archive(old, tmp_path / "all.zip")
    assert dump(old) == before


def change(path: Path, name: str, content: bytes) -> None:
    """Replace one file of an archive."""
    with zipfile.ZipFile(path) as file:
        members = {member: file.read(member) for member in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for member, data in {**members, name: content}.items():
            file.writestr(member, data)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tables/records.jsonl", b"{}\n"),
        ("adapters/one/adapter.bin", b"other"),
        ("manifest.json", b"{}"),
        ("../escape", b"out"),
        ("manifest.json", NEWER),
    ],
)  # fmt: skip
def test_a_changed_archive_is_refused_and_nothing_of_it_kept(tmp_path: Path, name: str, content: bytes) -> None:
    export_archive(full(tmp_path / "old"), tmp_path / "all.zip")
    change(tmp_path / "all.zip", name, content)
    new = open_workspace(tmp_path / "new")
    with pytest.raises(FileNotUsable) as refused:
        import_archive(new, tmp_path / "all.zip")
    assert "\n" not in str(refused.value)
    with new.store() as store:
        assert records.count_records(store).total == 0
    assert not (tmp_path / "escape").exists()


def with_rows(path: Path, table: str, rows: list[Any], schema: int = archive.SCHEMA) -> None:
    """Give an archive other rows of a table, hash and all, as somebody with an editor would."""
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    with zipfile.ZipFile(path) as file:
        manifest = json.loads(file.read("manifest.json"))
    manifest["tables"][table] = {"rows": len(rows), "sha256": hashlib.sha256(content).hexdigest()}
    change(path, f"tables/{table}.jsonl", content)
    change(path, "manifest.json", json.dumps({**manifest, "schema": schema}).encode())


def rows_in(path: Path, table: str) -> list[Any]:
    """The rows of a table in an archive."""
    with zipfile.ZipFile(path) as file:
        return [json.loads(line) for line in file.read(f"tables/{table}.jsonl").splitlines()]


IMPOSSIBLE: list[tuple[str, Any]] = [
    ("records", {"task": None}),
    ("records", {"id": "one"}),
    ("records", {"id": 2**70}),
    ("records", {"input": {"text": "nested"}}),
    ("records", {"content_hash": None}),
    ("records", []),
    ("records", {}),
    ("shares", {"shared": 7}),
    ("shares", {"record_id": 999}),
    ("pairs", {"record_id": 999}),
    ("pairs", {"number": 0}),
    ("uploads", {"id": 5}),
    ("jobs", {"state": "asleep"}),
    ("training_sets", {"record_ids": "[1,"}),
    ("preferences", {"value": "{"}),
    ("tasks", {"labels": "good, bad"}),
    ("sqlite_sequence", {"name": "records", "seq": "many"}),
    ("adapters", {"folder": "../../elsewhere"}),
]


@pytest.mark.parametrize(("table", "change_of"), IMPOSSIBLE, ids=lambda value: str(value)[:40])
def test_an_archive_with_an_impossible_row_is_refused_in_a_sentence_and_nothing_of_it_kept(
    tmp_path: Path, table: str, change_of: Any
) -> None:
    path = tmp_path / "all.zip"
    export_archive(full(tmp_path / "old"), path)
    first, *others = rows_in(path, table)
    with_rows(path, table, [{**first, **change_of} if change_of else change_of, *others])
    new = open_workspace(tmp_path / "new")
    before = dump(new)
    with pytest.raises((FileNotUsable, StoreNotReadable)) as refused:
        import_archive(new, path)
    assert f"archive's table {table}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert dump(new) == before
    assert list(new.adapters.iterdir()) == []


def test_an_archive_in_which_boxes_stand_in_the_records_comes_back(tmp_path: Path) -> None:
    path, old = tmp_path / "all.zip", full(tmp_path / "old")
    export_archive(old, path)
    boxes = {row.pop("record_id"): row for row in rows_in(path, "shares")}
    untouched = {"shared": 0, "shared_by": None, "shared_as": None}
    records_then = [{**row, **boxes.get(row["id"], untouched)} for row in rows_in(path, "records")]
    with_rows(path, "shares", [])
    with_rows(path, "records", records_then, schema=5)
    new = open_workspace(tmp_path / "new")
    import_archive(new, path)
    assert dump(new) == dump(old)


@pytest.mark.parametrize(
    "manifest",
    [
        {"tables": {"records": {}}},
        {"tables": {"records": 3}},
        {"tables": []},
        {"files": 3},
        {"version": "one"},
    ],
)  # fmt: skip
def test_an_archive_with_a_manifest_made_by_hand_is_refused(tmp_path: Path, manifest: dict[str, Any]) -> None:
    path = tmp_path / "all.zip"
    export_archive(full(tmp_path / "old"), path)
    with zipfile.ZipFile(path) as file:
        whole = json.loads(file.read("manifest.json"))
    tables = {**whole["tables"], **manifest["tables"]} if isinstance(manifest.get("tables"), dict) else whole["tables"]
    change(
        path, "manifest.json", json.dumps({**whole, **manifest, "tables": manifest.get("tables") and tables}).encode()
    )
    with pytest.raises(FileNotUsable):
        import_archive(open_workspace(tmp_path / "new"), path)


def test_an_archive_with_broken_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    export_archive(full(tmp_path / "old"), path)
    whole = path.read_bytes()
    place = whole.index(b"tables/records.jsonl") + 60
    path.write_bytes(whole[:place] + b"\xff" * 20 + whole[place + 20 :])
    with pytest.raises(FileNotUsable, match=r"damaged|cannot be read"):
        import_archive(open_workspace(tmp_path / "new"), path)


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "all.zip").write_bytes(content)
    with pytest.raises(FileNotUsable, match="cannot be read"):
        import_archive(open_workspace(tmp_path / "new"), tmp_path / "all.zip")


def test_everything_is_deleted_but_not_under_a_job(tmp_path: Path) -> None:
    workspace = full(tmp_path)
    with workspace.store() as store:
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "running")
    with pytest.raises(JobRefused, match="stop it first"):
        delete_everything(workspace)
    with workspace.store() as store:
        jobs.set_state(store, job.id, "stopped")
    # As a process leaves them that is killed while it brings an adapter in, or takes one out.
    for parent in (workspace.data_dir, workspace.exports, workspace.adapters):
        (parent / f"{adapters.UNFINISHED}one" / "peft").mkdir(parents=True)
    assert delete_everything(workspace)
    assert not list(workspace.data_dir.rglob(f"{adapters.UNFINISHED}*"))
    assert all(rows == [] for rows in dump(workspace).values())
    assert list(workspace.adapters.iterdir()) == []
    left = b"".join(path.read_bytes() for path in workspace.data_dir.rglob("*") if path.is_file())
    assert b"Input number" not in left


@pytest.mark.parametrize("offline", [True, False])
def test_deleting_everything_leaves_the_offline_switch_as_it_is(tmp_path: Path, offline: bool) -> None:
    workspace = full(tmp_path)
    set_offline(workspace, offline)
    delete_everything(workspace)
    assert is_offline(workspace) is offline
    rows = dump(workspace)
    assert [row["name"] for row in rows.pop("preferences")] == ["offline"]
    assert not any(rows.values())


@pytest.mark.parametrize(("before", "archived"), [(True, False), (False, True), (True, None), (False, False)])
def test_an_archive_never_turns_the_offline_switch_off(tmp_path: Path, before: bool, archived: bool | None) -> None:
    old, new = full(tmp_path / "old"), open_workspace(tmp_path / "new")
    if archived is not None:
        set_offline(old, archived)
    export_archive(old, tmp_path / "all.zip")
    set_offline(new, before)
    import_archive(new, tmp_path / "all.zip")
    assert is_offline(new) is bool(before or archived)


def test_forgetting_what_the_active_adapter_learned_from_offers_to_train_again(tmp_path: Path) -> None:
    workspace = full(tmp_path)
    assert retrain_task(workspace) is None
    with workspace.store() as store:
        first = records.all_records(store)[0].id
    editing.delete(workspace, [first])
    assert retrain_task(workspace) == "title"
    editing.undo(workspace)
    assert retrain_task(workspace) is None


def test_every_table_of_the_store_is_in_an_archive(tmp_path: Path) -> None:
    with open_workspace(tmp_path).store() as store:
        tables = store.column("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'records_fts%'")
    assert set(tables) == set(archive.TABLES)
