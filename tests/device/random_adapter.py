"""A LoRA of random numbers for the tiny models, as PEFT writes one and as llama.cpp reads one, in one folder.

Written apart from the product's own converter, so that one can be held against the other.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny import FEED_FORWARD, HEADS, HIDDEN, KEY_VALUE_HEADS, LAYERS, Architecture

RANK = 4
ALPHA = 8
_KEY_VALUE = HIDDEN // HEADS * KEY_VALUE_HEADS
_SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN, "attn_q"),
    "self_attn.k_proj": (HIDDEN, _KEY_VALUE, "attn_k"),
    "self_attn.v_proj": (HIDDEN, _KEY_VALUE, "attn_v"),
    "self_attn.o_proj": (HIDDEN, HIDDEN, "attn_output"),
    "mlp.gate_proj": (HIDDEN, FEED_FORWARD, "ffn_gate"),
    "mlp.up_proj": (HIDDEN, FEED_FORWARD, "ffn_up"),
    "mlp.down_proj": (FEED_FORWARD, HIDDEN, "ffn_down"),
}
"""Inputs, outputs and GGUF name of each linear layer."""

Array = np.ndarray[Any, np.dtype[np.float32]]


def _interleaved(rows: Array, heads: int) -> Array:
    """Rows from transformers' rotary order (first halves, then second halves) to pairs side by side."""
    half = rows.shape[0] // heads // 2
    order = [head * 2 * half + part * half + place for head in range(heads) for place in range(half) for part in (0, 1)]
    return np.ascontiguousarray(rows[order])


def _matrices(seed: int) -> Iterator[tuple[int, str, Array, Array]]:
    generator = np.random.default_rng(1000 + seed)
    for layer in range(LAYERS):
        for name, (inputs, outputs, _) in _SHAPES.items():
            first = generator.normal(0, inputs**-0.5, (RANK, inputs)).astype(np.float32)
            second = generator.normal(0, 0.3, (outputs, RANK)).astype(np.float32)
            yield layer, name, first, second


def _write_peft(folder: Path, seed: int) -> None:
    from safetensors.numpy import save_file

    tensors: dict[str, Array] = {}
    for layer, name, first, second in _matrices(seed):
        prefix = f"base_model.model.model.layers.{layer}.{name}"
        tensors |= {f"{prefix}.lora_A.weight": first, f"{prefix}.lora_B.weight": second}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    modules = [name.split(".")[1] for name in _SHAPES]
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "target_modules": modules}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")


def _write_gguf(path: Path, architecture: Architecture, seed: int) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, ALPHA)
    for layer, name, first, second in _matrices(seed):
        gguf_name = _SHAPES[name][2]
        if architecture == "llama" and gguf_name in ("attn_q", "attn_k"):
            second = _interleaved(second, HEADS if gguf_name == "attn_q" else KEY_VALUE_HEADS)
        writer.add_tensor(f"blk.{layer}.{gguf_name}.weight.lora_a", first)
        writer.add_tensor(f"blk.{layer}.{gguf_name}.weight.lora_b", second)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random_adapter(folder: Path, architecture: Architecture = "llama", seed: int = 0) -> Path:
    """Writes the adapter's folder and gives its path."""
    path = folder / f"adapter-{architecture}-{seed}"
    path.mkdir(parents=True, exist_ok=True)
    _write_peft(path, seed)
    _write_gguf(path / "adapter.gguf", architecture, seed)
    return path
