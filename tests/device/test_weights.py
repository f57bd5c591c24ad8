import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from app.device import weights
from app.device.catalogue import LocalModel
from app.errors import BadInput, DiskFull, ModelDamaged, NotWritten
from tests.limits import largest_file
from tests.tiny import Architecture, tiny_folder, tiny_gguf


def gguf_model(folder: Path, architecture: Architecture = "llama", seed: int = 0) -> LocalModel:
    path = tiny_gguf(folder, architecture, seed)
    return LocalModel(path.stem, path, "gguf")


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_prepared_gguf_has_the_weights_of_the_folder_rounded_to_bfloat16(
    tmp_path: Path, architecture: Architecture
) -> None:
    import torch
    from safetensors.torch import load_file

    prepared = weights.prepare(gguf_model(tmp_path, architecture), tmp_path / "cache", lambda _: None)
    ours = load_file(prepared / "model.safetensors")
    theirs = load_file(tiny_folder(tmp_path, architecture) / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name].to(torch.bfloat16)) for name in theirs)


def test_a_gguf_is_unpacked_once_and_says_so(tmp_path: Path) -> None:
    model, said = gguf_model(tmp_path), list[str]()
    first = weights.prepare(model, tmp_path / "cache", said.append)
    assert weights.prepare(model, tmp_path / "cache", said.append) == first
    assert said == ["Unpacking tiny-llama-0 for fine-tuning; this is done once."]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.name]


def test_another_file_under_the_same_name_is_unpacked_anew(tmp_path: Path) -> None:
    model = gguf_model(tmp_path)
    first = weights.prepare(model, tmp_path / "cache", lambda _: None)
    shutil.copy(tiny_gguf(tmp_path / "other", seed=1), model.path)
    assert weights.prepare(model, tmp_path / "cache", lambda _: None) != first


def test_a_safetensors_folder_is_used_as_it_is(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    model = LocalModel("tiny", folder, "safetensors")
    assert weights.prepare(model, tmp_path / "cache", lambda _: None) == folder
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("keep", [0, 3, 1000, 200_000])
def test_a_gguf_that_was_cut_is_refused_and_leaves_nothing(tmp_path: Path, keep: int) -> None:
    model = gguf_model(tmp_path)
    model.path.write_bytes(model.path.read_bytes()[:keep])
    with pytest.raises(ModelDamaged, match="models pull"):
        weights.prepare(model, tmp_path / "cache", lambda _: None)
    assert not (tmp_path / "cache").exists()


def test_an_unknown_architecture_is_refused_with_a_sentence(tmp_path: Path) -> None:
    model = gguf_model(tmp_path)
    model.path.write_bytes(model.path.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lemma", 1))
    with pytest.raises(ModelDamaged, match="cannot be unpacked"):
        weights.prepare(model, tmp_path / "cache", lambda _: None)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    with pytest.raises(DiskFull, match="free some"):
        weights.prepare(gguf_model(tmp_path), tmp_path / "cache", lambda _: None)
    assert not list((tmp_path / "cache").iterdir())


def test_a_model_that_cannot_be_unpacked_for_its_size_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    model, cache = gguf_model(tmp_path), tmp_path / "cache"
    with largest_file(10_000), pytest.raises(DiskFull, match=r"unpacked for fine-tuning cannot be written.*ulimit"):
        weights.prepare(model, cache, lambda _: None)
    assert not list(cache.iterdir())
    assert weights.prepare(model, cache, lambda _: None).is_dir()


def test_a_file_in_place_of_the_cache_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"mine")
    with pytest.raises(NotWritten, match="no file stands where a folder should be"):
        weights.prepare(gguf_model(tmp_path), tmp_path / "cache", lambda _: None)
    assert (tmp_path / "cache").read_bytes() == b"mine"


def test_nf4_puts_every_linear_layer_but_the_head_into_four_bits(tmp_path: Path) -> None:
    import bitsandbytes
    import torch

    network = weights.load_for_training(tiny_folder(tmp_path), "nf4", "cpu")
    linear = {name: layer for name, layer in network.named_modules() if isinstance(layer, torch.nn.Linear)}
    four_bit = {name for name, layer in linear.items() if isinstance(layer, bitsandbytes.nn.Linear4bit)}
    assert set(linear) - four_bit == {"lm_head"}
    layer = network.model.layers[0].mlp.up_proj
    assert (layer.weight.dtype, layer.weight.quant_type, layer.compute_dtype) == (torch.uint8, "nf4", torch.bfloat16)


def test_apple_gpus_get_bfloat16_and_a_sentence() -> None:
    assert weights.possible_quantisation("nf4", "cpu") == ("nf4", "")
    quantisation, sentence = weights.possible_quantisation("nf4", "mps")
    assert quantisation == "none"
    assert "Apple" in sentence


def test_a_folder_with_a_pickle_in_place_of_safetensors_is_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelDamaged, match="safetensors"):
        weights.load_for_training(folder, "none", "cpu")


def test_a_folder_with_cut_safetensors_is_refused(tmp_path: Path) -> None:
    path = tiny_folder(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelDamaged, match="whole safetensors"):
        weights.load_for_training(path.parent, "none", "cpu")


def test_a_folder_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = tiny_folder(tmp_path) / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelDamaged, match=r"lacks model\.layers\.1\.mlp\.up_proj\.weight"):
        weights.load_for_training(path.parent, "none", "cpu")


def test_an_architecture_that_is_not_supported_is_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mistral", "architectures": None}))
    with pytest.raises(BadInput, match="mistral"):
        weights.load_for_training(folder, "none", "cpu")


def test_a_base_is_known_by_its_content(tmp_path: Path) -> None:
    model = gguf_model(tmp_path)
    moved = LocalModel("moved", Path(shutil.copy(model.path, tmp_path / "moved.gguf")), "gguf")
    assert weights.model_hash(model) == weights.model_hash(moved)
    folders = [LocalModel("tiny", tiny_folder(tmp_path, seed=seed), "safetensors") for seed in (0, 1)]
    assert weights.model_hash(folders[0]) != weights.model_hash(folders[1])
