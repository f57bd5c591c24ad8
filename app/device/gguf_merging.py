"""A GGUF model with GGUF adapters added to its weights, as one GGUF file: W + sum of (alpha / rank) B A.

Layout of the file: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.device.writing import writing
from app.errors import AdapterRefused

Factors = Mapping[str, list[tuple[Any, Any]]]
"""By name of a weight A [rank, inputs] and B [outputs, rank] in float32, alpha / rank multiplied into B."""

_FIRST, _SECOND = ".lora_a", ".lora_b"
_BLOCK = 32
"""Numbers that Q8_0 keeps under one scale; a row that is no multiple of it cannot be kept so."""


def _read(adapter: Path) -> Mapping[str, tuple[Any, Any]]:
    import gguf

    reader = gguf.GGUFReader(adapter)
    alpha = float(reader.get_field(gguf.Keys.Adapter.LORA_ALPHA).contents())
    tensors = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    names = [name.removesuffix(_FIRST) for name in tensors if name.endswith(_FIRST)]
    pairs = {name: (tensors[name + _FIRST], tensors[name + _SECOND]) for name in names}
    return {name: (first, alpha / len(first) * second) for name, (first, second) in pairs.items()}


def _pairs(adapter: Path) -> Mapping[str, tuple[Any, Any]]:
    try:
        return _read(adapter)
    except (ValueError, LookupError, AttributeError) as error:
        raise AdapterRefused(
            f"{adapter} should be a GGUF adapter but cannot be read as one ({error}); train the adapter again."
        ) from error


def _factors(adapters: Sequence[Path]) -> Factors:
    found: dict[str, list[tuple[Any, Any]]] = {}
    for adapter in adapters:
        for name, pair in _pairs(adapter).items():
            found.setdefault(name, []).append(pair)
    return found


def _check_fit(base: Path, reader: Any, factors: Factors) -> None:
    shapes = {tensor.name: tuple(int(size) for size in reversed(tensor.shape)) for tensor in reader.tensors}
    for name, pairs in factors.items():
        if any(shapes.get(name) != (len(second), first.shape[1]) for first, second in pairs):
            raise AdapterRefused(
                f"The adapter should fit {base.name} but changes {name}, which that model has not, or not of that size;"
                " choose the model that it was trained on."
            )


def _kind(tensor: Any, small: bool) -> Any:
    """What a weight is stored as once it was changed."""
    import gguf

    kinds = gguf.GGMLQuantizationType
    if tensor.tensor_type == kinds.F32:
        return kinds.F32
    return kinds.Q8_0 if small and int(tensor.shape[0]) % _BLOCK == 0 else kinds.F16


def _announce(writer: Any, tensor: Any, kind: Any | None) -> None:
    import gguf
    import numpy as np

    shape, stored = tensor.data.shape, tensor.data.dtype
    if kind is not None:
        numbers = tuple(int(size) for size in reversed(tensor.shape))
        plain = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
        stored = np.dtype(plain.get(kind, np.uint8))
        shape = numbers if kind in plain else gguf.quant_shape_to_byte_shape(numbers, kind)
    size = int(np.prod(shape)) * stored.itemsize
    writer.add_tensor_info(tensor.name, shape, stored, size, kind or tensor.tensor_type)


def _added(tensor: Any, pairs: Sequence[tuple[Any, Any]], kind: Any) -> Any:
    import gguf

    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    for first, second in pairs:
        values = values + second @ first
    return gguf.quants.quantize(values, kind)


def _copy_metadata(reader: Any, writer: Any, small: bool) -> None:
    import gguf

    own = (gguf.Keys.General.ARCHITECTURE, gguf.Keys.General.FILE_TYPE)
    for field in reader.fields.values():
        if field.name in own or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        sub_type = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=sub_type)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if small else gguf.LlamaFileType.MOSTLY_F16)


def merge(base: Path, adapters: Sequence[Path], out: Path, small: bool = False) -> None:
    """Writes the GGUF model `base` with the GGUF adapters added to its weights to the file `out`.

    What they change is stored in float16 (in Q8_0 where `small`; float32 stays float32), the rest as it was. A tensor
    at a time is in memory. Raises AdapterRefused where an adapter changes what the model has not, DiskFull and
    NotWritten.
    """
    import gguf

    reader, factors = gguf.GGUFReader(base), _factors(adapters)
    _check_fit(base, reader, factors)
    kinds = {tensor.name: _kind(tensor, small) for tensor in reader.tensors if tensor.name in factors}
    writer = gguf.GGUFWriter(out, reader.get_field(gguf.Keys.General.ARCHITECTURE).contents())
    _copy_metadata(reader, writer, small)
    for tensor in reader.tensors:
        _announce(writer, tensor, kinds.get(tensor.name))
    with writing("The merged model", out.parent):
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for tensor in reader.tensors:
                pairs, kind = factors.get(tensor.name), kinds.get(tensor.name)
                writer.write_tensor_data(_added(tensor, pairs, kind) if pairs else tensor.data)
        finally:
            writer.close()
