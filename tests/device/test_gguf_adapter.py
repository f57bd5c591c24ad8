import ctypes
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.device import weights
from app.device.catalogue import EMBEDDED, find_model
from app.device.finetuning import fine_tune
from app.device.gguf_adapter import layout_of, write_gguf_adapter
from app.device.llama_library import library, open_model
from app.device.rendering import Example, render_example, render_task
from app.device.tokenising import open_tokeniser
from app.device.training import FineTuning
from app.errors import AdapterRefused
from app.tasks import find_task
from tests.benchmarks.serving import write_adapter
from tests.device.random_adapter import random_adapter
from tests.tiny import IM_END, IM_START, Architecture, tiny_folder, tiny_gguf

EXAMPLES = [Example((IM_START, *f"say {letter}".encode()), (*letter.encode() * 3, IM_END)) for letter in "abcdefgh"]
PROMPT = [IM_START, *b"say something of th", 256, *" é 12".encode()]
ALL_F32 = 0


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than a tiny network's arithmetic where others use the cores too."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def llama_logits(base: Path, adapter: Path | None, ids: list[int]) -> np.ndarray[Any, Any]:
    """Logits of every position as llama.cpp computes them, the cache in float32."""
    llama = library()
    model = open_model(base)
    loaded = llama.llama_adapter_lora_init(model, str(adapter).encode()) if adapter else None
    settings = llama.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 512
    settings.type_k = settings.type_v = ALL_F32
    settings.n_threads = settings.n_threads_batch = 1
    settings.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama.llama_init_from_model(model, settings)
    if adapter:
        assert loaded, "llama.cpp refuses the adapter"
        scale = (ctypes.c_float * 1)(1.0)
        assert llama.llama_set_adapters_lora(context, (llama.llama_adapter_lora_p_ctypes * 1)(loaded), 1, scale) == 0
    batch = llama.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for place, token in enumerate(ids):
        batch.token[place], batch.pos[place] = token, place
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
        batch.logits[place] = 1
    assert llama.llama_decode(context, batch) == 0
    width = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    logits = np.ctypeslib.as_array(llama.llama_get_logits(context), (len(ids), width)).copy()
    llama.llama_batch_free(batch)
    llama.llama_free(context)
    llama.llama_model_free(model)
    return logits


def torch_logits(base: Path, adapter: Path | None, ids: list[int]) -> np.ndarray[Any, Any]:
    """Logits of every position as transformers and PEFT compute them in float32."""
    import peft
    import torch
    import transformers

    network = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter:
        network = peft.PeftModel.from_pretrained(network, adapter)
    with torch.no_grad():
        return np.asarray(network(input_ids=torch.tensor([ids])).logits[0])


def write_f32_gguf(quantised: Path, out: Path) -> None:
    """Writes a GGUF of the same weights as another, every one dequantised to float32."""
    llama = library()
    settings = llama.llama_model_quantize_default_params()
    settings.ftype, settings.allow_requantize = ALL_F32, True
    assert llama.llama_model_quantize(str(quantised).encode(), str(out).encode(), ctypes.byref(settings)) == 0


QUESTIONS = [f"{verb} {thing}." for verb in ("Describe", "Explain", "Praise", "Draw") for thing in
             ("a river", "rain on a tin roof", "the number 12", "an old café", "salt")]  # fmt: skip


def greedy(network: Any, ids: list[int], tokens: int) -> list[int]:
    import torch

    answer = network.generate(input_ids=torch.tensor([ids]), do_sample=False, max_new_tokens=tokens)
    return [int(token) for token in answer[0, len(ids) :]]


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_the_tiny_models_agree_without_an_adapter(tmp_path: Path, architecture: Architecture) -> None:
    theirs = torch_logits(tiny_folder(tmp_path, architecture), None, PROMPT)
    assert np.abs(llama_logits(tiny_gguf(tmp_path, architecture), None, PROMPT) - theirs).max() < 1e-3


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 1e-3), ("f16", 1e-1), ("q8", 3e-1)])
def test_llama_cpp_computes_with_the_adapter_what_peft_does(
    tmp_path: Path, architecture: Architecture, precision: Any, tolerance: float
) -> None:
    base, adapter, out = tiny_folder(tmp_path, architecture), tmp_path / "adapter", tmp_path / "adapter.gguf"
    settings = FineTuning(epochs=10, learning_rate=2e-2)
    fine_tune(base, EXAMPLES, [], settings, adapter, lambda _: None, lambda: False)
    write_gguf_adapter(adapter, layout_of(base), out, precision)
    gguf = tiny_gguf(tmp_path, architecture)
    theirs = torch_logits(base, adapter, PROMPT)
    assert np.abs(llama_logits(gguf, out, PROMPT) - theirs).max() < tolerance
    assert np.abs(llama_logits(gguf, None, PROMPT) - theirs).max() > 1


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_on_20_prompts_the_float32_forms_write_the_same_tokens_with_logits_within_a_hundredth(
    tmp_path: Path, architecture: Architecture
) -> None:
    import peft
    import torch
    import transformers

    base, gguf = tiny_folder(tmp_path, architecture), tiny_gguf(tmp_path, architecture)
    adapter, out = random_adapter(tmp_path, architecture), tmp_path / "converted.gguf"
    write_gguf_adapter(adapter, layout_of(base), out, "f32")
    network = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = peft.PeftModel.from_pretrained(network, adapter).eval()
    tokeniser = open_tokeniser(find_model(str(gguf), tmp_path))
    assert len(QUESTIONS) == 20
    for question in QUESTIONS:
        prompt = render_task(tokeniser, find_task("chat"), question)
        answer = greedy(adapted, prompt, 12)
        ours = llama_logits(gguf, out, prompt + answer)
        with torch.no_grad():
            theirs = np.asarray(adapted(input_ids=torch.tensor([prompt + answer])).logits[0])
        assert np.abs(ours - theirs).max() < 1e-2
        assert ours[len(prompt) - 1 : -1].argmax(1).tolist() == answer
    assert np.abs(llama_logits(gguf, None, prompt + answer) - theirs).max() > 1


def test_an_architecture_without_a_known_layout_is_refused(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path)
    config = base / "config.json"
    config.write_text(config.read_text().replace('"model_type": "llama"', '"model_type": "mamba"'))
    with pytest.raises(AdapterRefused, match="mamba"):
        write_gguf_adapter(tmp_path, layout_of(base), tmp_path / "adapter.gguf")
    assert not (tmp_path / "adapter.gguf").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_embedded_model_agrees_in_both_engines(tmp_path: Path) -> None:
    model = find_model(EMBEDDED, tmp_path)
    tokeniser = open_tokeniser(model)
    title = find_task("title")
    examples = [render_example(tokeniser, title, f"On {word}.", word.upper(), 96) for word in ("salt", "rain", "maps")]
    prepared = weights.prepare(model, tmp_path / "prepared", lambda _: None)
    adapter, out = tmp_path / "adapter", tmp_path / "adapter.gguf"
    settings = dataclasses.replace(FineTuning(), epochs=2)
    fine_tune(prepared, examples, [], settings, adapter, lambda _: None, lambda: False)
    write_gguf_adapter(adapter, layout_of(prepared), out, "f32")
    base = tmp_path / "base-f32.gguf"
    write_f32_gguf(model.path, base)
    prompt = render_task(tokeniser, title, "A paper on how bread is baked.")
    ours = llama_logits(base, out, prompt)
    theirs = torch_logits(prepared, adapter, prompt)
    # The prepared base is rounded to bfloat16, which the F32 base of llama.cpp is not: greedy tokens are compared.
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_embedded_model_in_float32_writes_the_same_tokens_with_logits_within_a_hundredth(tmp_path: Path) -> None:
    import peft
    import torch
    import transformers

    model = find_model(EMBEDDED, tmp_path)
    tokeniser = open_tokeniser(model)
    base = tmp_path / "base-f32.gguf"
    write_f32_gguf(model.path, base)
    network = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path,
        gguf_file=base.name,
        quantization_config=transformers.GgufConfig(dequantize=True),
        dtype=torch.float32,
        local_files_only=True,
    )
    network.save_pretrained(tmp_path / "folder")
    adapter = write_adapter(tmp_path / "folder", tmp_path / "adapter", seed=0)
    out = tmp_path / "adapter-f32.gguf"
    write_gguf_adapter(adapter, layout_of(tmp_path / "folder"), out, "f32")
    adapted = peft.PeftModel.from_pretrained(network, adapter).eval()
    for question in QUESTIONS:
        prompt = render_task(tokeniser, find_task("chat"), question)
        answer = greedy(adapted, prompt, 12)
        ours = llama_logits(base, out, prompt + answer)
        with torch.no_grad():
            theirs = np.asarray(adapted(input_ids=torch.tensor([prompt + answer])).logits[0])
        assert np.abs(ours - theirs).max() < 1e-2
        # What each token was chosen from: the same tokens, written one after the other.
        assert ours[len(prompt) - 1 : -1].argmax(1).tolist() == answer
    assert np.abs(llama_logits(base, None, prompt + answer) - theirs).max() > 0.1
