"""Everything of a person in one file, and back: docs/archive.md describes the format.

A ZIP file with `manifest.json`, a JSON Lines file a table, and the adapters' folders. What comes back is the same row
for row, ids, ledger and settings included.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from app.device.adapters import MANIFEST as ADAPTER_MANIFEST
from app.device.checkpoints import CHECKPOINT
from app.device.writing import replacing, writing
from app.errors import FileNotUsable
from app.pipeline import network
from app.pipeline.workspace import Workspace
from personal_store import archive, preferences, training
from personal_store.store import Row, Store

FORMAT = "cdcda-archive"
VERSION = 1
MANIFEST = "manifest.json"
MOST_BYTES = 64 * 1024**3
"""Largest unpacked archive."""


@dataclasses.dataclass(frozen=True)
class Archived:
    """What went into an archive, or came out of one."""

    path: str
    rows: dict[str, int]
    """By table."""
    files: int
    """Of adapters."""
    bytes: int


def _put(file: zipfile.ZipFile, name: str, blocks: Iterable[bytes]) -> str:
    """Write one file of an archive; the SHA-256 (hex) of what was written."""
    sha256 = hashlib.sha256()
    with file.open(name, "w", force_zip64=True) as stream:
        for block in blocks:
            stream.write(block)
            sha256.update(block)
    return sha256.hexdigest()


def _line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _write_tables(store: Store, file: zipfile.ZipFile) -> dict[str, Any]:
    tables = {}
    # The tables belong together, whatever another process does meanwhile.
    with store.snapshot():
        for table in archive.TABLES:
            rows = int(store.value(f"SELECT count(*) FROM {table}"))
            sha256 = _put(file, f"tables/{table}.jsonl", map(_line, archive.rows_of(store, table)))
            tables[table] = {"rows": rows, "sha256": sha256}
    return tables


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def _is_of_adapter(path: Path) -> bool:
    """Whether it is a file of an adapter, and not of a training in progress, which replaces it at any moment."""
    return path.is_file() and not path.is_symlink() and path.name != CHECKPOINT and path.suffix != ".part"


def _write_adapters(workspace: Workspace, file: zipfile.ZipFile) -> dict[str, str]:
    written = {}
    # A folder without a manifest is unfinished.
    for folder in sorted(manifest.parent for manifest in workspace.adapters.glob(f"*/{ADAPTER_MANIFEST}")):
        for path in sorted(filter(_is_of_adapter, folder.rglob("*"))):
            name = f"adapters/{path.relative_to(workspace.adapters).as_posix()}"
            written[name] = _put(file, name, _blocks(path))
    return written


def _pack(workspace: Workspace, raw: IO[bytes]) -> tuple[dict[str, Any], dict[str, str]]:
    """Write a whole archive, in place of what was written; its tables, and its adapters' files with their hashes."""
    raw.seek(0)
    raw.truncate()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as file:
        with workspace.store() as store:
            tables = _write_tables(store, file)
        adapters = _write_adapters(workspace, file)
        made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        manifest = {"format": FORMAT, "version": VERSION, "schema": archive.SCHEMA, "made": made}
        file.writestr(MANIFEST, json.dumps({**manifest, "tables": tables, "files": adapters}, indent=1))
    return tables, adapters


def _adapter_ids(workspace: Workspace) -> set[int]:
    with workspace.store() as store:
        return {adapter.id for adapter in training.adapters(store)}


def _pack_what_stays(workspace: Workspace, raw: IO[bytes]) -> tuple[dict[str, Any], dict[str, str]]:
    """The same, anew where an adapter was deleted meanwhile: its row would come back without its folder."""
    while True:
        before = _adapter_ids(workspace)
        try:
            packed = _pack(workspace, raw)
        except FileNotFoundError:
            if before <= _adapter_ids(workspace):
                raise
            continue
        if before <= _adapter_ids(workspace):
            return packed


def export_archive(workspace: Workspace, path: Path | str) -> Archived:
    """Write everything into a new file, readable by its owner alone; raises DiskFull and NotWritten."""
    path = Path(path)
    with replacing(path, "The archive") as unfinished:
        descriptor = os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as raw:
            tables, adapters = _pack_what_stays(workspace, raw)
    rows = {name: table["rows"] for name, table in tables.items()}
    return Archived(str(path), rows, len(adapters), path.stat().st_size)


def _manifest(file: zipfile.ZipFile, name: str) -> dict[str, Any]:
    refused = FileNotUsable(f"{name} is not an archive of this program; choose a file that `cdcda export` wrote.")
    try:
        manifest = json.loads(file.read(MANIFEST))
        known = manifest["format"] == FORMAT
        newer = manifest["version"] > VERSION or manifest["schema"] > archive.SCHEMA
        unpacked = sum(info.file_size for info in file.infolist())
        tables = {f"tables/{table}.jsonl": str(listed["sha256"]) for table, listed in manifest["tables"].items()}
        hashes = tables | dict(manifest["files"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise refused from None
    if not known or unpacked > MOST_BYTES or set(hashes) != set(file.namelist()) - {MANIFEST}:
        raise refused
    if newer:
        raise FileNotUsable(f"{name} was written by a newer version of the program; install that version first.")
    return {**manifest, "hashes": hashes}


def _check_whole(file: zipfile.ZipFile, manifest: dict[str, Any], name: str) -> None:
    """Raise FileNotUsable unless every file of the archive is as it was written."""
    for member, expected in manifest["hashes"].items():
        sha256 = hashlib.sha256()
        with file.open(member) as stream:
            while block := stream.read(1 << 20):
                sha256.update(block)
        if sha256.hexdigest() != expected:
            raise FileNotUsable(f"{name} is damaged ({member}); use another copy of it.")


def _check_folder(row: Any) -> None:
    """Raise FileNotUsable for an adapter that would lie elsewhere than among the adapters."""
    folder = row.get("folder") if isinstance(row, dict) else None
    if isinstance(folder, str) and (folder in (".", "..") or set(folder) & set("/\\\0")):
        raise FileNotUsable(
            f"A row of the archive's table adapters names the folder {folder!r}, which is no adapter's; use another"
            " copy of the archive."
        )


def _rows(file: zipfile.ZipFile, table: str) -> Generator[Any, None, None]:
    with file.open(f"tables/{table}.jsonl") as stream:
        for line in stream:
            row = json.loads(line)
            if table == "adapters":
                _check_folder(row)
            yield row


@contextlib.contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """Take away again what a block put into a folder, unless it ends well."""
    before = set(folder.iterdir())
    try:
        yield
    except BaseException:
        # Why it did not end well is the thing to tell, whatever stays of it on a disk that lets go of nothing.
        with contextlib.suppress(OSError):
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _take_adapters(workspace: Workspace, file: zipfile.ZipFile, members: Iterable[str], name: str) -> None:
    for member in members:
        parts = PurePosixPath(member).parts
        if parts[0] != "adapters" or ".." in parts:
            raise FileNotUsable(f"{name} has a file {member!r} that is no adapter's; use another archive.")
        path = workspace.adapters.joinpath(*parts[1:])
        content = file.read(member)
        with writing("An adapter of the archive", path.parent):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(content)


def _take_in(workspace: Workspace, store: Store, file: zipfile.ZipFile, name: str) -> tuple[dict[str, int], int]:
    """The rows of each table and the number of files that came in; the offline switch stays on where it is on."""
    manifest = _manifest(file, name)
    _check_whole(file, manifest, name)
    with _all_or_nothing(workspace.adapters), store.change():
        archive.check_empty(store)
        offline = preferences.get(store, network.PREFERENCE, False)
        rows = {}
        for table in manifest["tables"]:
            # Closed here: an error keeps what it came through alive, and with it the open file.
            with contextlib.closing(_rows(file, table)) as read:
                rows[table] = archive.put_rows(store, table, read)
        if offline:
            preferences.put(store, network.PREFERENCE, True)
        _take_adapters(workspace, file, manifest["files"], name)
    return rows, len(manifest["files"])


UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError)
"""What `zipfile` and `json` raise for a file that is cut short, damaged, encrypted or packed in an unknown way."""


def import_archive(workspace: Workspace, path: Path | str) -> Archived:
    """Bring an archive back into an empty data folder, all of it or nothing.

    Raises FileNotUsable, NotEmpty, DiskFull and NotWritten, and StoreNotReadable for rows that cannot be.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as file, workspace.store() as store:
            rows, files = _take_in(workspace, store, file, path.name)
    except UNREADABLE as error:
        what = getattr(error, "strerror", None) or "it is no whole archive"
        raise FileNotUsable(f"{path} cannot be read ({what}); check the file.") from None
    return Archived(str(path), rows, files, path.stat().st_size)
