"""How a GGUF scales its rotary frequencies, in the words of transformers' configurations.

transformers' own GGUF loader leaves the scaling out, and llama.cpp applies it: without this, another network would be
trained than the one that answers. Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from pathlib import Path
from typing import Any

from app.device.gguf_header import Header, read_header
from app.errors import BadInput

_FACTORS = "rope_freqs.weight"
"""A tensor with one divisor for each frequency; Llama 3.1 and later have it."""
_UNDERSTOOD = {"type", "factor", "original_context_length", "finetuned"}
"""What is read behind `rope.scaling.`; the last changes nothing in llama.cpp."""


def _refused(path: Path, why: str) -> BadInput:
    return BadInput(
        f"{path.name} scales its rotary frequencies in a way that fine-tuning does not know ({why}); choose another"
        " model from `cdcda models list`."
    )


def _architecture(header: Header) -> str:
    return header.texts.get("general.architecture", "")


def _context(header: Header) -> int | None:
    """Tokens that the model was made for."""
    return header.numbers.get(f"{_architecture(header)}.context_length")


def _values(header: Header) -> dict[str, Any]:
    """What the header says of the scaling, by the name behind `rope.scaling.`."""
    rope = f"{_architecture(header)}.rope."
    said: dict[str, Any] = {**header.numbers, **header.floats, **header.texts}
    # The older name of the factor.
    values = {"factor": said[f"{rope}scale_linear"]} if f"{rope}scale_linear" in said else {}
    prefix = f"{rope}scaling."
    return values | {key.removeprefix(prefix): value for key, value in said.items() if key.startswith(prefix)}


def _by_formula(path: Path, header: Header) -> dict[str, Any]:
    """The scaling that the header states; the defaults are llama.cpp's."""
    values = _values(header)
    if others := values.keys() - _UNDERSTOOD:
        raise _refused(path, f"rope.scaling.{min(others)}")
    kind, factor = values.get("type", "linear"), values.get("factor", 0.0) or 1.0
    if kind not in ("none", "linear", "yarn"):
        raise _refused(path, f"rope.scaling.type {kind}")
    if kind == "none" or factor == 1.0:
        return {}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    original = values.get("original_context_length") or _context(header)
    if not original:
        raise _refused(path, "yarn without a context length")
    return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}


def _by_divisors(path: Path, header: Header) -> dict[str, Any]:
    import gguf

    tensor = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == _FACTORS)
    divisors = [float(divisor) for divisor in tensor.data]
    # Of transformers' kinds the one that takes any divisors; here they are the same at every length.
    return {
        "rope_type": "longrope",
        "short_factor": divisors,
        "long_factor": divisors,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": _context(header),
    }


def is_scaled(path: Path) -> bool:
    """Whether a GGUF scales its rotary frequencies; raises BadInput where `rotary_scaling` cannot say how."""
    header = read_header(path)
    scaling = _by_formula(path, header)
    if scaling and _FACTORS in header.tensors:
        raise _refused(path, f"{_FACTORS} beside rope.scaling.type")
    return bool(scaling) or _FACTORS in header.tensors


def rotary_scaling(path: Path) -> dict[str, Any]:
    """What belongs into `rope_parameters` of a GGUF's network besides their base; empty where nothing is scaled."""
    header = read_header(path)
    return _by_divisors(path, header) if _FACTORS in header.tensors else _by_formula(path, header)
