"""LaMP's files from a loopback server that stands for the public one."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import main
from app.errors import BadInput, DownloadFailed
from app.evaluation.downloading import SOURCE, FileProgress, addresses, download
from app.pipeline.network import set_offline
from app.pipeline.workspace import Workspace, open_workspace

FILES = ("train_questions.json", "train_outputs.json", "dev_questions.json", "dev_outputs.json")


class Lamp(http.server.BaseHTTPRequestHandler):
    """Answers every address with its own path; one it does not have, and one that it cuts short."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = self.path.encode()
        self.send_response(404 if "LaMP_4/train" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:-3] if "LaMP_3/train" in self.path else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def source() -> Iterator[str]:
    Lamp.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lamp) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/LaMP"
        server.shutdown()


@pytest.fixture
def workspace(data_dir: Path) -> Workspace:
    return open_workspace(data_dir)


def test_the_four_files_come_and_those_that_are_there_stay(workspace: Workspace, tmp_path: Path, source: str) -> None:
    heard: list[FileProgress] = []
    (tmp_path / "lamp").mkdir()
    (tmp_path / "lamp" / "dev_outputs.json").write_text("mine")
    paths = download(workspace, "LaMP_5", tmp_path / "lamp", "time", heard.append, source)
    assert [path.name for path in paths] == list(FILES)
    assert paths[0].read_text() == "/LaMP/time/LaMP_5/train/train_questions.json"
    assert paths[3].read_text() == "mine"
    assert len(Lamp.asked) == 3
    assert heard[0] == FileProgress("train_questions.json", 44, 44)


def test_each_split_has_a_folder_of_its_own(
    data_dir: Path, source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "__defaults__", (source,))
    for split, path in (("time", "/LaMP/time/LaMP_5"), ("user", "/LaMP/LaMP_5")):
        assert main(["lamp", "download", "LaMP_5", "--split", split, "--json", "--data-dir", str(data_dir)]) == 0
        files = json.loads(capsys.readouterr().out)["files"]
        assert Path(files[3]) == data_dir / "lamp" / f"LaMP_5-{split}" / "dev_outputs.json"
        assert Path(files[3]).read_text() == f"{path}/dev/dev_outputs.json"


def test_a_name_that_is_no_task_makes_no_folder(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lamp", "download", "../../evil", "--json", "--data-dir", str(data_dir)]) == 2
    assert "There is no task" in capsys.readouterr().err
    assert not [path for path in data_dir.parent.rglob("*") if "evil" in path.name or path.name == "lamp"]


def test_the_addresses_of_both_splits() -> None:
    assert addresses("title", "user")["dev_outputs.json"] == f"{SOURCE}/LaMP_5/dev/dev_outputs.json"
    assert addresses("LaMP_2", "time")["dev_questions.json"] == f"{SOURCE}/time/LaMP_2/new/dev/dev_questions.json"


@pytest.mark.parametrize(("task", "says"), [("LaMP_4", "status 404"), ("LaMP_3", "should have|broke off")])
def test_what_does_not_come_says_where_to_put_it(
    workspace: Workspace, tmp_path: Path, source: str, task: str, says: str
) -> None:
    with pytest.raises(DownloadFailed, match=says) as caught:
        download(workspace, task, tmp_path / "lamp", "user", lambda _: None, source)
    assert f"put it into {tmp_path / 'lamp'} as train_questions.json" in str(caught.value)
    assert not list((tmp_path / "lamp").glob("*.json"))


def test_offline_nothing_is_fetched(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_offline(open_workspace(data_dir), True)
    assert main(["lamp", "download", "LaMP_5", "--json", "--data-dir", str(data_dir)]) == 1
    assert "offline switch" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["LaMP_6", "chat"])
def test_a_task_without_public_files_is_named(task: str) -> None:
    with pytest.raises(BadInput, match=r"choose another task|none of LaMP's"):
        addresses(task, "time")
