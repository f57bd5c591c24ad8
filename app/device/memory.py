"""Memory that ran out while a network computed: how that is known, and how to make room again. Knows no training."""

import gc

_SIGNS = ("out of memory", "DefaultCPUAllocator", "can't allocate memory")
"""What torch's allocators write; on a CPU and an Apple GPU it is a plain RuntimeError."""


def ran_out(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the CPU or on a GPU."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS)


def give_back(device: str) -> None:
    """Frees what nobody holds any more, the blocks that torch keeps on a GPU included."""
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    if device == "mps":
        torch.mps.empty_cache()
