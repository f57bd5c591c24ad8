"""Finding models by name and by path, and telling whole files from damaged ones."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from app.device import gguf_header
from app.device.catalogue import CATALOGUE, EMBEDDED, find_entry, find_model, installed, strongest_cloud
from app.errors import ModelDamaged, ModelMissing
from tests.tiny import tiny_folder, tiny_gguf


def test_the_embedded_model_is_the_file_that_the_catalogue_describes(tmp_path: Path) -> None:
    model, entry = find_model(EMBEDDED, tmp_path), find_entry(EMBEDDED)
    assert (model.name, model.kind, model.path.name) == (EMBEDDED, "gguf", entry.file)
    assert model.path.stat().st_size == entry.bytes
    with model.path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256


def test_every_entry_says_what_it_is_and_where_it_comes_from() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len({entry.file for entry in CATALOGUE}) == len(CATALOGUE) == 7
    for entry in CATALOGUE:
        assert entry.licence
        assert entry.licence_url.startswith("https://")
        assert (entry.hub_repo is None) == (entry.hub_file is None)
        assert entry.packages or entry.hub_repo
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", package) for package in entry.packages)
        # Parts from packages are only worth joining when what comes out can be checked.
        assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.sha256 or not entry.packages


def test_the_model_that_may_not_be_used_commercially_says_so() -> None:
    assert "not for commercial use" in find_entry("qwen2.5-3b").licence


def test_an_unknown_entry_is_missing() -> None:
    with pytest.raises(ModelMissing, match=r"cdcda models list"):
        find_entry("gpt-9")


def test_a_model_that_was_not_fetched_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"cdcda models pull qwen2\.5-0\.5b`.*cdcda models list"):
        find_model("qwen2.5-0.5b", tmp_path)


def test_a_name_that_is_nothing_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"cdcda models list"):
        find_model("no-such-model", tmp_path)


def test_a_fetched_model_is_found_by_its_catalogue_name(tmp_path: Path) -> None:
    shutil.copy(tiny_gguf(tmp_path / "made"), tmp_path / find_entry("qwen2.5-0.5b").file)
    assert find_model("qwen2.5-0.5b", tmp_path).path.parent == tmp_path
    assert [model.name for model in installed(tmp_path)] == [EMBEDDED, "qwen2.5-0.5b"]


def test_a_gguf_is_found_by_path_and_by_name_in_the_models_folder(tmp_path: Path) -> None:
    path = tiny_gguf(tmp_path)
    assert find_model(str(path), tmp_path / "other") == find_model("tiny-llama-0", tmp_path)
    assert find_model(path.name, tmp_path).kind == "gguf"


def test_a_folder_is_found_by_path_and_by_name_in_the_models_folder(tmp_path: Path) -> None:
    path = tiny_folder(tmp_path)
    assert find_model(str(path), tmp_path / "other") == find_model("tiny-llama-0", tmp_path)
    assert find_model(str(path), tmp_path).kind == "safetensors"


def test_the_header_states_the_size_of_the_file(tmp_path: Path) -> None:
    path = tiny_gguf(tmp_path, "qwen2")
    assert gguf_header.expected_size(path) <= path.stat().st_size < gguf_header.expected_size(path) + 32


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_gguf_cut_short_is_damaged(tmp_path: Path, share: float) -> None:
    path = tiny_gguf(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelDamaged, match=r"cdcda models pull"):
        find_model(str(path), tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"GGUF", b"GGUF\x63\0\0\0" + bytes(80), b"GGUF" + b"\xff" * 99]
)
def test_a_file_that_is_no_gguf_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wrong.gguf").write_bytes(content)
    with pytest.raises(ModelDamaged, match=r"should be a GGUF model"):
        find_model("wrong", tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_damaged(tmp_path: Path, name: str) -> None:
    folder = tiny_folder(tmp_path)
    (folder / name).unlink()
    with pytest.raises(ModelDamaged, match=rf"lacks .*{name.removeprefix('model')}"):
        find_model(str(folder), tmp_path)


def test_damaged_files_are_not_among_the_installed(tmp_path: Path) -> None:
    (tmp_path / "wrong.gguf").write_bytes(b"GGUF")
    tiny_gguf(tmp_path)
    assert [model.name for model in installed(tmp_path)] == [EMBEDDED, "tiny-llama-0"]


def test_the_models_folder_need_not_exist(tmp_path: Path) -> None:
    assert [model.name for model in installed(tmp_path / "none")] == [EMBEDDED]
    assert strongest_cloud(tmp_path / "none").name == EMBEDDED


def test_the_strongest_model_for_the_service_is_the_largest_gguf(tmp_path: Path) -> None:
    tiny_folder(tmp_path, "qwen2")
    llama, qwen2 = tiny_gguf(tmp_path, "llama"), tiny_gguf(tmp_path, "qwen2")
    assert llama.stat().st_size > qwen2.stat().st_size
    assert strongest_cloud(tmp_path).path == llama
