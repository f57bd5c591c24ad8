"""In which numbers a network computes while it is trained: bfloat16, or float32 where that is faster.

Most processors have no arithmetic for bfloat16. There each product is emulated, 4 to 40 times slower than in float32
(docs/experiments.md, 2026-11-29); the weights are held in NF4 either way. Decided by what the processor is and not by a
measurement, so that the same training gives the same adapter. Knows no network.
"""

import functools
from pathlib import Path
from typing import Any, Literal

Precision = Literal["bfloat16", "float32"]


@functools.cache
def processor_words() -> frozenset[str]:
    """Every word of /proc/cpuinfo, features and maker among them; empty where the system has no such file."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:
        return frozenset()


def _multiplies_bfloat16(words: frozenset[str]) -> bool:
    """Whether the processor is at least as fast in bfloat16 as in float32.

    AMD's with AVX-512 BF16 were, Intel's with that alone took twice as long. AMX and ARM's BF16 were not measured: the
    word of their makers is taken.
    """
    return "amx_bf16" in words or {"avx512_bf16", "AuthenticAMD"} <= words or "bf16" in words


def best_precision(device: str, words: frozenset[str] | None = None) -> Precision:
    """What to compute in on "cuda", "mps" or "cpu"; `words` describe another processor than this one."""
    if device != "cpu" or _multiplies_bfloat16(processor_words() if words is None else words):
        return "bfloat16"
    return "float32"


def computing(device: str, precision: Precision) -> Any:
    """Computes in this precision inside; the adapter's own weights stay float32, or small steps would be lost."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def computed_in(x: Any) -> Any:
    """The dtype that a network is to compute in here: bfloat16 inside `computing` of it, else at least float32."""
    import torch

    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return torch.promote_types(x.dtype, torch.float32)
