"""A PEFT adapter as the GGUF adapter that llama.cpp reads, so that a CPU serves it fast.

What makes it fast is the rank: llama.cpp's vector code takes 32 values at a time, and the product with a matrix of
16 columns is computed value by value. So the rank is filled up with zeros to a multiple of 32, in Q8_0, which takes no
more bytes than float16 at half the rank; alpha grows with it, because llama.cpp divides it by the rank that it finds.

Format: what llama.cpp's own convert_lora_to_gguf.py writes. Metadata general.type, general.architecture, adapter.type,
adapter.lora.alpha; for each linear layer `blk.N.attn_q.weight.lora_a` [rank, in] and `.lora_b` [out, rank].
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from app.device.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from app.device.weights import ARCHITECTURES
from app.device.writing import replacing
from app.errors import AdapterRefused

LAYOUT = ("model_type", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
"""Names in config.json."""
PREFIX = "base_model.model."
"""What PEFT puts before the name that a layer has in the base."""
Precision = Literal["q8", "f16", "f32"]
"""Of the stored values. "f32" is exact."""
_FILE_TYPES: Mapping[Precision, str] = {"q8": "MOSTLY_Q8_0", "f16": "MOSTLY_F16", "f32": "ALL_F32"}
_BLOCK = 32
"""Values of a Q8_0 block."""
_SIDES = {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}


def _interleave(rows: Any, heads: int) -> Any:
    """Output rows of q or k from transformers' rotary order, two halves a head, to llama.cpp's, pairs side by side."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _rotated_heads(layer: str, config: Mapping[str, Any]) -> int:
    """Heads whose rows llama.cpp keeps in another order in this layer, or 0. Only its llama does; qwen2 keeps ours."""
    if config["model_type"] != "llama":
        return 0
    heads = int(config["num_attention_heads"])
    if layer.endswith("q_proj"):
        return heads
    return int(config.get("num_key_value_heads") or heads) if layer.endswith("k_proj") else 0


def _tensors(adapter: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and float32 values of every tensor of the GGUF adapter."""
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    architecture = gguf.MODEL_ARCH[config["model_type"].upper()]
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    for name, values in sorted(load_file(adapter / ADAPTER_WEIGHTS).items()):
        layer, side = next((name[: -len(end)], side) for end, side in _SIDES.items() if name.endswith(end))
        layer = layer.removeprefix(PREFIX)
        heads = _rotated_heads(layer, config)
        if heads and side == ".lora_b":
            values = _interleave(values, heads)
        yield f"{names.get_name(layer)}.weight{side}", np.ascontiguousarray(values, dtype=np.float32)


def layout_of(prepared: Path) -> Mapping[str, Any]:
    """What of a base's config.json decides where llama.cpp wants an adapter's values."""
    config = json.loads((prepared / "config.json").read_text("utf-8"))
    return {name: config[name] for name in LAYOUT if name in config}


def gguf_layout(model: Path) -> Mapping[str, Any]:
    """The same of a GGUF model, from its metadata."""
    import gguf

    reader = gguf.GGUFReader(model)

    def said(name: str) -> Any:
        return reader.get_field(name).contents()

    architecture = said(gguf.Keys.General.ARCHITECTURE)
    keys = (gguf.Keys.LLM.BLOCK_COUNT, gguf.Keys.Attention.HEAD_COUNT, gguf.Keys.Attention.HEAD_COUNT_KV)
    numbers = [int(said(key.format(arch=architecture))) for key in keys]
    return dict(zip(LAYOUT, [architecture, *numbers], strict=True))


def _filled_up(name: str, values: Any) -> Any:
    """A matrix with zeros up to a rank that is a multiple of the block; the rank is A's rows and B's columns."""
    import numpy as np

    more = -values.shape[0 if name.endswith(".lora_a") else 1] % _BLOCK
    return np.pad(values, ((0, more), (0, 0)) if name.endswith(".lora_a") else ((0, 0), (0, more)))


def _add_tensor(writer: Any, name: str, values: Any, precision: Precision) -> None:
    import gguf
    import numpy as np

    if precision == "q8" and values.shape[1] % _BLOCK == 0:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, values if precision == "f32" else values.astype(np.float16))


def _add_metadata(writer: Any, alpha: float, precision: Precision) -> None:
    import gguf

    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    writer.add_file_type(gguf.LlamaFileType[_FILE_TYPES[precision]])


def _write_out(writer: Any) -> None:
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def write_gguf_adapter(adapter: Path, layout: Mapping[str, Any], out: Path, precision: Precision = "q8") -> None:
    """Writes the PEFT adapter in folder `adapter`, trained on a base of this layout, to the file `out`.

    The file appears whole or not at all. Raises AdapterRefused for a base that llama.cpp could not serve it with, and
    DiskFull and NotWritten.
    """
    import gguf

    if layout["model_type"] not in ARCHITECTURES:
        raise AdapterRefused(
            f"A GGUF adapter needs a base that is one of {', '.join(ARCHITECTURES)}, but that of {adapter.name} is a"
            f" {layout['model_type']}; train on another model."
        )
    config = json.loads((adapter / ADAPTER_CONFIG).read_text("utf-8"))
    scale = config["lora_alpha"] / config["r"]
    with replacing(out, "The adapter in the form of llama.cpp") as temporary:
        writer = gguf.GGUFWriter(temporary, layout["model_type"])
        rank = config["r"] + -config["r"] % _BLOCK
        _add_metadata(writer, float(scale * rank), precision)
        for name, values in _tensors(adapter, layout):
            _add_tensor(writer, name, _filled_up(name, values), precision)
        _write_out(writer)
