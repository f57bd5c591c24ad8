"""Fetching and choosing bases, and the whole way: made, served, fetched, trained on top of, written with."""

import dataclasses
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.device.bases import TaskBase
from app.device.catalogue import find_model
from app.device.engines import Sampling
from app.device.training import FineTuning
from app.errors import AdapterRefused, BadInput, DiskFull, DownloadFailed, ModelMissing, Offline
from app.pipeline import bases, cloud, jobs
from app.pipeline.base_pulling import pull_base
from app.pipeline.comparison import compare
from app.pipeline.generation import Writer
from app.pipeline.local_service import CloudAddress
from app.pipeline.models import use_model
from app.pipeline.network import set_offline
from app.pipeline.pulling import PullProgress
from app.pipeline.workspace import Workspace, open_workspace
from app.tasks import find_task
from cloud_stub.pretraining.recipe import Recipe, make_base
from personal_store import generations
from tests.cloud_stub.fakes import TOKEN
from tests.cloud_stub.public_data import public_folder
from tests.cloud_stub.test_bases import offering
from tests.cloud_stub.test_pretraining import Quiet
from tests.device.random_base import random_base
from tests.limits import largest_file
from tests.pipeline.support import workspace_with
from tests.tiny import tiny_gguf

TITLE = find_task("title")
SHORT = Sampling(max_tokens=8)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = open_workspace(tmp_path / "data")
    use_model(made, str(tiny_gguf(tmp_path)))
    return made


@pytest.fixture
def served(tmp_path: Path) -> TaskBase:
    return random_base(tmp_path / "offered", tiny_gguf(tmp_path))


@pytest.fixture
def address(served: TaskBase) -> Iterator[CloudAddress]:
    with offering(served.folder.parent) as url:
        yield CloudAddress(url, TOKEN)


def ignore(progress: PullProgress) -> None:
    """Hear nothing."""


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_base_is_fetched_whole_with_progress_and_once(
    workspace: Workspace, address: CloudAddress, served: TaskBase
) -> None:
    (offer,) = [offer for offer in cloud.bases(workspace, address) if offer.model == "tiny-llama-0"]
    seen: list[PullProgress] = []
    base = pull_base(workspace, address, "titles", seen.append)
    assert content(base.folder) == content(served.folder)
    assert base.folder == workspace.bases / "titles"
    assert [path.name for path in workspace.bases.iterdir()] == ["titles"]
    assert (seen[-1].done, seen[-1].total) == (offer.bytes, offer.bytes)
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    seen.clear()
    assert pull_base(workspace, address, "titles", seen.append) == base
    assert seen == []
    with pytest.raises(ModelMissing, match="offers no base 'none'"):
        pull_base(workspace, address, "none", ignore)


def test_a_fetch_that_broke_off_goes_on(workspace: Workspace, address: CloudAddress, served: TaskBase) -> None:
    partial = workspace.bases / ".titles.partial"
    partial.mkdir()
    weights = (served.folder / "adapter_model.safetensors").read_bytes()
    (partial / "adapter_model.safetensors").write_bytes(weights[:5000])
    (partial / "left-over.txt").write_text("of another offer")
    seen: list[PullProgress] = []
    base = pull_base(workspace, address, "titles", seen.append)
    assert content(base.folder) == content(served.folder)
    assert min(one.done for one in seen if "safetensors" in one.note) > 5000


def test_a_second_fetch_of_a_base_at_the_same_time_is_refused(
    workspace: Workspace, address: CloudAddress, served: TaskBase
) -> None:
    refused: list[str] = []

    def fetch_again(progress: PullProgress) -> None:
        if not (workspace.bases / "titles").exists():
            with pytest.raises(DownloadFailed) as error:
                pull_base(workspace, address, "titles", ignore)
            refused.append(str(error.value))

    assert content(pull_base(workspace, address, "titles", fetch_again).folder) == content(served.folder)
    assert set(refused) == {"titles is being fetched already; wait until that has ended, and try again."}


def test_an_error_of_the_disk_while_a_base_is_fetched_is_a_sentence(
    workspace: Workspace, address: CloudAddress, served: TaskBase
) -> None:
    with largest_file(5000), pytest.raises(DiskFull, match="What is fetched of titles cannot be written"):
        pull_base(workspace, address, "titles", ignore)
    assert content(pull_base(workspace, address, "titles", ignore).folder) == content(served.folder)


def test_other_bytes_than_announced_are_not_kept(workspace: Workspace, address: CloudAddress, served: TaskBase) -> None:
    weights = served.folder / "adapter_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(DownloadFailed, match="another SHA-256"):
        pull_base(workspace, address, "titles", ignore)
    assert not (workspace.bases / "titles").exists()
    assert not (workspace.bases / ".titles.partial" / weights.name).exists()
    assert bases.local_bases(workspace) == tuple(base for base in bases.local_bases(workspace) if base.embedded)


def test_another_base_of_that_name_is_not_overwritten(
    workspace: Workspace, address: CloudAddress, tmp_path: Path
) -> None:
    mine = random_base(workspace.bases, tmp_path / "tiny-llama-0.gguf", seed=9)
    before = content(mine.folder)
    with pytest.raises(BadInput, match="cdcda bases remove titles"):
        pull_base(workspace, address, "titles", ignore)
    assert content(mine.folder) == before


def test_what_the_service_calls_a_base_is_checked(
    workspace: Workspace, address: CloudAddress, served: TaskBase
) -> None:
    manifest = served.folder / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "format": 99}))
    with pytest.raises(DownloadFailed, match="is no base"):
        pull_base(workspace, address, "titles", ignore)
    assert list(workspace.bases.iterdir()) == []


def test_the_offline_switch_closes_this_way_too(workspace: Workspace) -> None:
    set_offline(workspace, True)
    elsewhere = CloudAddress("https://service.example", "token")
    with pytest.raises(Offline):
        cloud.bases(workspace, elsewhere)
    with pytest.raises(Offline):
        pull_base(workspace, elsewhere, "titles", ignore)


def test_a_service_that_hangs_up_is_said_and_what_came_is_kept(workspace: Workspace, served: TaskBase) -> None:
    weights = (served.folder / "adapter_model.safetensors").read_bytes()
    with offering(served.folder.parent) as url:
        (offer,) = [one for one in cloud.bases(workspace, CloudAddress(url, TOKEN)) if one.model == "tiny-llama-0"]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path == "/v1/bases":
                self.end_headers()
                self.wfile.write(json.dumps({"protocol": "1", "bases": [offer.model_dump()]}).encode())
                return
            body = weights if "safetensors" in self.path else (served.folder / self.path.split("/")[-1]).read_bytes()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:1000] if body is weights else body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with pytest.raises(DownloadFailed):
            pull_base(workspace, CloudAddress(f"http://127.0.0.1:{server.server_port}", TOKEN), "titles", ignore)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (workspace.bases / ".titles.partial" / "adapter_model.safetensors").read_bytes() == weights[:1000]


def test_the_choice_decides_which_base_is_used(workspace: Workspace, tmp_path: Path) -> None:
    model = find_model(str(tmp_path / "tiny-llama-0.gguf"), tmp_path)
    first = random_base(workspace.bases, model.path, "a-first")
    second = random_base(workspace.bases, model.path, "b-second", seed=6)
    random_base(workspace.bases, model.path, "chatty", task="chat")
    template = first.manifest.template_hash
    pick: Callable[[], TaskBase | None] = lambda: bases.base_for(workspace, TITLE, model, template)  # noqa: E731
    assert (bases.chosen(workspace, TITLE), pick()) == ("automatic", first)
    bases.choose(workspace, "LaMP_5", "b-second")
    assert pick() == second
    bases.choose(workspace, "title", "none")
    assert pick() is None
    assert bases.base_for(workspace, TITLE, model, template, "automatic") == first
    assert bases.base_for(workspace, find_task("rating"), model, template) is None
    with pytest.raises(BadInput, match="for the task chat and not for title"):
        bases.choose(workspace, "title", "chatty")
    with pytest.raises(BadInput, match="There is no base 'gone'"):
        bases.choose(workspace, "title", "gone")
    other = find_model(str(tiny_gguf(tmp_path, seed=1)), tmp_path)
    assert bases.base_for(workspace, TITLE, other, template, "automatic") is None
    with pytest.raises(AdapterRefused, match="not on this tiny-llama-1"):
        bases.base_for(workspace, TITLE, other, template, "a-first")


def test_a_removed_base_is_gone_and_one_of_the_install_stays(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_base(workspace.bases, tmp_path / "tiny-llama-0.gguf", "mine")
    install = tmp_path / "install"
    random_base(install, tmp_path / "tiny-llama-0.gguf", "embedded")
    monkeypatch.setattr(bases, "embedded_bases", lambda: install)
    assert [(row.name, row.embedded) for row in bases.base_rows(workspace)] == [("embedded", True), ("mine", False)]
    assert bases.remove(workspace, "mine") == ()
    assert list(workspace.bases.iterdir()) == []
    with pytest.raises(AdapterRefused, match="came with the install"):
        bases.remove(workspace, "embedded")
    with pytest.raises(BadInput, match="no base 'mine'"):
        bases.remove(workspace, "mine")


def train(workspace: Workspace, base: str | None = None) -> dict[str, object]:
    job = jobs.start_train(workspace, jobs.TrainSettings(task="title", epochs=1, base=base))
    for _ in jobs.follow(workspace, job.id):
        pass
    ended = jobs.get(workspace, job.id)
    assert ended.state == "done", ended.error
    return dict(ended.result or {})


@pytest.mark.slow
def test_from_public_data_to_a_personal_adapter_on_top_of_it(tmp_path: Path) -> None:
    """Made by the service's own recipe, offered by the real service, fetched, trained on top of by a real job."""
    path = tiny_gguf(tmp_path)
    model = find_model(str(path), tmp_path)
    quick = FineTuning(rank=4, epochs=1, max_tokens=256)
    recipe = Recipe(TITLE, public_folder(tmp_path), model, "titles", tmp_path / "offered", tmp_path / "cache", quick)
    make_base(dataclasses.replace(recipe, questions=0), Quiet(), lambda: False)
    workspace, _ = workspace_with(tmp_path / "data", 6)
    use_model(workspace, str(path))
    with offering(tmp_path / "offered") as url:
        base = pull_base(workspace, CloudAddress(url, TOKEN), "titles", ignore)
    assert train(workspace)["task_base"] == "titles"
    writer = Writer(workspace)
    try:
        drafts = compare(writer, "A note", "title", sampling=SHORT)
        assert (drafts.before.base_name, drafts.before.adapter_id) == ("titles", None)
        assert (drafts.after.base_name, drafts.after.adapter_id) == ("titles", 1)
        assert drafts.before.generation
        with workspace.store() as store:
            stored = generations.get_generation(store, drafts.before.generation.id)
        assert stored.settings["task_base"] == base.story()
        bases.choose(workspace, "title", "none")
        bare = writer.generate("A note", "title", "none", SHORT)
        assert (bare.base_name, bare.adapter_id) == (None, None)
        # The adapter brings the base that it learned on along, whatever is chosen now.
        assert writer.generate("A note", "title", "latest", SHORT).base_name == "titles"
        assert bases.remove(workspace, "titles") == (1,)
        with pytest.raises(AdapterRefused, match="trained on top of the base titles, "):
            writer.generate("A note", "title", "latest", SHORT)
    finally:
        writer.close()


@pytest.mark.slow
def test_without_a_base_everything_is_as_before(workspace: Workspace, tmp_path: Path) -> None:
    workspace, _ = workspace_with(workspace.data_dir, 6)
    assert train(workspace)["task_base"] is None
    with pytest.raises(BadInput, match="There is no base 'gone'"):
        jobs.start_train(workspace, jobs.TrainSettings(task="title", base="gone"))
    writer = Writer(workspace)
    drafts = compare(writer, "A note", "title", sampling=SHORT)
    writer.close()
    assert (drafts.before.base_name, drafts.after.base_name) == (None, None)


def test_an_offered_base_is_listed_unless_that_very_base_is_here(
    workspace: Workspace, address: CloudAddress, tmp_path: Path
) -> None:
    def listed() -> list[bool]:
        rows = bases.base_rows(workspace, cloud.bases(workspace, address))
        return [row.installed for row in rows if row.model == "tiny-llama-0"]

    other = random_base(workspace.bases, tmp_path / "tiny-llama-0.gguf", seed=9)
    assert listed() == [True, False]
    bases.remove(workspace, other.name)
    assert listed() == [False]
    pull_base(workspace, address, "titles", ignore)
    assert listed() == [True]
