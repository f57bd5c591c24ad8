"""Task bases on tiny models: what is added up, in both engines and in training, and which folders are refused."""

import ctypes
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.device import bases, merging
from app.device.adapters import MANIFEST, check_adapter, finish
from app.device.bases import TaskBase, check_base, find_bases, find_by_hash, fits, load_base, served
from app.device.catalogue import LocalModel, find_model
from app.device.engines import Sampling, open_engine
from app.device.gguf_adapter import write_gguf_adapter
from app.device.llama_engine import LlamaDecoder
from app.device.llama_library import library, open_model
from app.device.rendering import template_hash
from app.device.tokenising import open_tokeniser
from app.device.torch_engine import TorchDecoder, TorchEngine
from app.errors import AdapterRefused, BadInput
from tests.device.random_adapter import random_adapter
from tests.device.random_base import random_base
from tests.device.test_adapters import a_manifest
from tests.tiny import IM_START, TOKENS, Architecture, tiny_folder, tiny_gguf

GREEDY = Sampling(max_tokens=12)
PROMPT = [IM_START, *b"say something of th", 256, *" é 12".encode()]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model_at(path: Path) -> LocalModel:
    return find_model(str(path), path.parent)


def llama_last_logits(path: Path, adapters: list[Path], ids: list[int]) -> np.ndarray[Any, Any]:
    """What the engine's own decoder has computed for the next token."""
    llama = library()
    model = open_model(path)
    decoder = LlamaDecoder(model, adapters, 256, 1)
    decoder.decode(tuple(ids))
    logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(decoder.context, -1), (len(TOKENS),)).copy()
    decoder.close()
    llama.llama_model_free(model)
    return logits


def merged_logits(prepared: Path, adapter: Path | None, ids: list[int]) -> np.ndarray[Any, Any]:
    """What transformers computes with a folder's weights and PEFT's adapter."""
    import peft
    import torch
    import transformers

    network = transformers.AutoModelForCausalLM.from_pretrained(prepared, dtype=torch.float32)
    if adapter:
        network = peft.PeftModel.from_pretrained(network, adapter)
    with torch.no_grad():
        return np.asarray(network(input_ids=torch.tensor([ids])).logits[0, -1])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_llama_cpp_with_base_and_adapter_computes_what_the_merged_weights_with_the_adapter_do(
    tmp_path: Path, architecture: Architecture
) -> None:
    gguf, folder = tiny_gguf(tmp_path, architecture), tiny_folder(tmp_path, architecture)
    base, adapter = random_base(tmp_path / "bases", gguf), random_adapter(tmp_path, architecture)
    prepared = merging.prepare_on(model_at(folder), base, tmp_path / "cache", lambda _: None)
    base_file = served(base, model_at(gguf), tmp_path / "cache") / "adapter.gguf"
    # In place of Q8_0, whose rounding a random network makes much of.
    write_gguf_adapter(base.folder, base.manifest.layout, base_file, "f32")
    both = llama_last_logits(gguf, [base_file, adapter / "adapter.gguf"], PROMPT)
    # llama.cpp keeps its cache in float16.
    assert np.abs(both - merged_logits(prepared, adapter, PROMPT)).max() < 0.05
    alone = llama_last_logits(gguf, [base_file], PROMPT)
    assert np.abs(alone - merged_logits(prepared, None, PROMPT)).max() < 0.05
    assert np.abs(both - alone).max() > 1
    assert np.abs(alone - llama_last_logits(gguf, [], PROMPT)).max() > 1


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_torch_engine_adds_base_and_adapter_up(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    base, adapter = random_base(tmp_path / "bases", folder), random_adapter(tmp_path)
    prepared = merging.prepare_on(model_at(folder), base, tmp_path / "cache", lambda _: None)
    engine = TorchEngine(model_at(folder), 256, 1)
    for laid in ([base.folder], [base.folder, adapter], [adapter], [base.folder]):
        decoder = engine._open_decoder([path / "adapter_model.safetensors" for path in laid])
        assert isinstance(decoder, TorchDecoder)
        decoder.decode(tuple(PROMPT))
        on = prepared if base.folder in laid else folder
        expected = merged_logits(on, adapter if adapter in laid else None, PROMPT)
        assert np.abs(decoder.logits.numpy() - expected).max() < 1e-3
    engine.close()


@pytest.mark.parametrize("kind", ["gguf", "safetensors"])
def test_every_mixture_writes_the_same_beside_others_as_alone(tmp_path: Path, kind: str) -> None:
    model = model_at(tiny_gguf(tmp_path) if kind == "gguf" else tiny_folder(tmp_path))
    base, adapter = random_base(tmp_path / "bases", model.path), random_adapter(tmp_path)
    laid = served(base, model, tmp_path / "cache")
    mixtures = [(None, None), (laid, None), (None, adapter), (laid, adapter)]
    prompt = PROMPT * 8

    def write(engine: Any, under: Path | None, over: Path | None) -> list[int]:
        stream = engine.stream(prompt, over, GREEDY, under)
        assert (stream.base, stream.adapter) == (under and under.name, over and over.name)
        list(stream)
        return list(stream.account.token_ids)

    alone = []
    for under, over in mixtures:
        engine = open_engine(model, 512, 1)
        alone.append(write(engine, under, over))
        engine.close()
    engine = open_engine(model, 512, 1)
    # Forwards and back again, so that each finds what another has left in memory.
    together = [write(engine, under, over) for under, over in [*mixtures, *reversed(mixtures)]]
    engine.close()
    assert together == [*alone, *reversed(alone)]
    assert len({tuple(ids) for ids in alone}) == 4


def test_merging_adds_the_update_in_float32_and_is_done_once(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model = model_at(tiny_folder(tmp_path))
    base = random_base(tmp_path / "bases", model.path)
    said: list[str] = []
    folder = merging.prepare_on(model, base, tmp_path / "cache", said.append)
    assert merging.prepare_on(model, base, tmp_path / "cache", said.append) == folder
    assert len(said) == 1
    before, after = load_file(model.path / "model.safetensors"), load_file(folder / "model.safetensors")
    lora = load_file(base.folder / "adapter_model.safetensors")
    name = "model.layers.1.self_attn.k_proj"
    first, second = (lora[f"base_model.model.{name}.lora_{side}.weight"].astype(np.float32) for side in "AB")
    assert np.allclose(after[f"{name}.weight"], before[f"{name}.weight"] + 2.0 * second @ first, atol=1e-5)
    assert (after["model.norm.weight"] == before["model.norm.weight"]).all()
    assert merging.prepare_on(model, None, tmp_path / "cache", said.append) == model.path


def test_a_base_of_another_architecture_is_not_merged(tmp_path: Path) -> None:
    model = model_at(tiny_folder(tmp_path))
    base = random_base(tmp_path / "bases", model.path)
    weights = base.folder / "adapter_model.safetensors"
    from safetensors.numpy import load_file, save_file

    tensors = {name.replace("layers.1", "layers.7"): value for name, value in load_file(weights).items()}
    save_file(tensors, weights)
    with pytest.raises(AdapterRefused, match="which that model has not"):
        merging.prepare_on(model, base, tmp_path / "cache", lambda _: None)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return tiny_gguf(tmp_path)


@pytest.fixture
def base(tmp_path: Path, gguf: Path) -> TaskBase:
    return random_base(tmp_path / "bases", gguf)


def test_a_base_fits_its_own_model_task_and_template(tmp_path: Path, base: TaskBase, gguf: Path) -> None:
    template = template_hash(open_tokeniser(model_at(gguf)))
    check_base(base, model_at(gguf), template)
    assert fits(base, "title", model_at(gguf), template)
    assert not fits(base, "chat", model_at(gguf), template)
    assert not fits(base, "title", model_at(gguf), "u" * 64)
    other = model_at(tiny_gguf(tmp_path, seed=1))
    assert not fits(base, "title", other, template)
    with pytest.raises(AdapterRefused, match="made on tiny-llama-0 and not on this tiny-llama-1"):
        check_base(base, other, template)
    with pytest.raises(AdapterRefused, match="template"):
        check_base(base, model_at(gguf), "u" * 64)
    with (base.folder / "LICENCE.txt").open("a") as file:
        file.write("!")
    with pytest.raises(AdapterRefused, match=r"LICENCE\.txt"):
        check_base(base, model_at(gguf), template)


def test_a_base_of_another_size_is_not_merged(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    model = model_at(tiny_folder(tmp_path))
    base = random_base(tmp_path / "bases", model.path)
    weights = base.folder / "adapter_model.safetensors"
    save_file({name: np.ascontiguousarray(value[:, :2]) for name, value in load_file(weights).items()}, weights)
    with pytest.raises(AdapterRefused, match="cannot be added to it"):
        merging.prepare_on(model, base, tmp_path / "cache", lambda _: None)


def test_a_manifest_with_numbers_that_no_model_has_is_refused(base: TaskBase) -> None:
    content = json.loads((base.folder / MANIFEST).read_text())
    for layers in (10**12, 0, -1, "2"):
        content["layout"]["num_hidden_layers"] = layers
        (base.folder / MANIFEST).write_text(json.dumps(content))
        with pytest.raises(AdapterRefused, match="not one that this version reads"):
            load_base(base.folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "name": "../up"}', "\x00"])
def test_a_manifest_that_cannot_be_read_is_refused_and_its_folder_not_listed(base: TaskBase, content: str) -> None:
    (base.folder / MANIFEST).write_text(content)
    with pytest.raises(AdapterRefused, match="manifest"):
        load_base(base.folder)
    assert find_bases(base.folder.parent.parent / "none", base.folder.parent) == ()


def test_unfinished_folders_are_not_listed(base: TaskBase) -> None:
    shutil.copytree(base.folder, base.folder.with_name(".growing"))
    assert [one.name for one in find_bases(base.folder.parent.parent / "none", base.folder.parent)] == ["titles"]
    (base.folder / MANIFEST).unlink()
    with pytest.raises(AdapterRefused, match="unfinished"):
        load_base(base.folder)


def test_an_adapter_serves_with_the_base_that_it_learned_on_and_no_other(
    tmp_path: Path, base: TaskBase, gguf: Path
) -> None:
    folder = random_adapter(tmp_path / "personal").rename(tmp_path / "adapter")
    model = model_at(gguf)
    finish(folder, dataclasses.replace(a_manifest(model), task_base=base.story()))
    template = a_manifest(model).template_hash
    assert check_adapter(folder, model, template, base.hash).task_base == {"name": "titles", "hash": base.hash}
    with pytest.raises(AdapterRefused, match="on top of the base titles and not on the bare model"):
        check_adapter(folder, model, template)
    with pytest.raises(AdapterRefused, match="on top of the base titles and not on another one"):
        check_adapter(folder, model, template, "0" * 64)
    finish(folder, a_manifest(model))
    with pytest.raises(AdapterRefused, match="on top of the bare model and not on another one"):
        check_adapter(folder, model, template, base.hash)


def test_a_base_is_found_by_what_it_computes_and_not_by_its_name(tmp_path: Path, base: TaskBase, gguf: Path) -> None:
    other = random_base(tmp_path / "others", gguf, seed=6)
    assert find_by_hash([other, base], base.story()) == base
    with pytest.raises(AdapterRefused, match="the one of that name here is another"):
        find_by_hash([other], base.story())
    with pytest.raises(AdapterRefused, match="not on this computer"):
        find_by_hash([], base.story())


def test_telling_more_of_a_base_does_not_make_it_another(tmp_path: Path, base: TaskBase) -> None:
    content = json.loads((base.folder / MANIFEST).read_text())
    (base.folder / MANIFEST).write_text(json.dumps({**content, "attribution": "everybody"}))
    assert load_base(base.folder).hash == base.hash


@pytest.mark.parametrize("name", ["", "Titles", "../up", "a/b", "-a", "a" * 41, "ä", "a\n"])
def test_a_name_that_is_no_plain_word_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="choose another name"):
        bases.check_name(name)


def test_llama_cpp_takes_all_adapters_of_one_call_together(tmp_path: Path, gguf: Path) -> None:
    """What the engine relies on: a second call replaces the first, and the memory before it stays as it was."""
    llama, adapters = library(), [random_adapter(tmp_path, seed=seed) / "adapter.gguf" for seed in (1, 2)]
    model = open_model(gguf)
    decoder = LlamaDecoder(model, adapters, 256, 1)
    one = (llama.llama_adapter_lora_p_ctypes * 1)(decoder._adapters[1])
    assert llama.llama_set_adapters_lora(decoder.context, one, 1, (ctypes.c_float * 1)(1.0)) == 0
    decoder.decode(tuple(PROMPT))
    logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(decoder.context, -1), (len(TOKENS),)).copy()
    decoder.close()
    llama.llama_model_free(model)
    assert np.abs(logits - llama_last_logits(gguf, [adapters[1]], PROMPT)).max() < 1e-4
    assert np.abs(logits - llama_last_logits(gguf, adapters, PROMPT)).max() > 1
