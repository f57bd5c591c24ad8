"""Memory: how much is free, how it is known that it ran out while a network computed, and how to make room again.

Knows no training. What is free is found without torch, so that a page can ask.
"""

import contextlib
import ctypes
import dataclasses
import gc
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_SIGNS = ("out of memory", "DefaultCPUAllocator", "can't allocate memory")
"""What torch's allocators write; on a CPU and an Apple GPU it is a plain RuntimeError."""
_CUDA_BUILD = re.compile(r"^cuda\b.*=\s*['\"]", re.MULTILINE)
"""What torch/version.py says where it was built for CUDA."""
_ASKING_SECONDS = 20.0
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt's settings (glibc's malloc.h)."""
_MAPPED_ALONE = 1 << 20
"""Bytes from which a block is mapped by itself, and so goes back to the system when it is freed."""
_USUAL = 32 << 20
"""Bytes to which glibc lets that limit grow by itself; mapping each block anew would slow the training down."""


@dataclasses.dataclass(frozen=True)
class Room:
    """Where a training would compute, and how much of its memory programs may still take."""

    device: str
    """ "cuda", "mps" or "cpu", as far as it can be told without torch."""
    free_mb: float


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


@contextlib.contextmanager
def returned_at_once() -> Iterator[None]:
    """What is freed inside goes back to the system, and not into a store of the C library's that is never emptied.

    Loading a network allocates and frees several times its size in blocks of some MB, from several threads. Of the C
    libraries only glibc needs telling, and only it is told.
    """
    library = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _MAPPED_ALONE)
    try:
        yield
    finally:
        gc.collect()
        library.malloc_trim(0)
        library.mallopt(_MMAP_THRESHOLD, _USUAL)
        library.mallopt(_TRIM_THRESHOLD, 2 * _USUAL)


def _highest_resident() -> int:
    """The most bytes that this process has had in memory.

    Linux's `ru_maxrss` outlives `exec`: a process that a large one started would begin with that one's peak.
    """
    import resource

    try:
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_mb(device: str) -> float:
    """The most memory in MB that this process has had so far, on the GPU for "cuda"."""
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated() / 1e6)
    return _highest_resident() / 1e6


def available() -> int:
    """Bytes that programs may still take; where the system does not say, all there are."""
    try:
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _built_for_cuda() -> bool:
    """Whether the installed torch is a CUDA build; it is not imported for that."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        return bool(_CUDA_BUILD.search((Path(found.origin).parent / "version.py").read_text("utf-8")))
    except OSError:
        return False


def _gpu_free_mb() -> float | None:
    """What NVIDIA's own tool says of the first GPU; None where there is none."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_ASKING_SECONDS).stdout
        return float(said.split()[0]) * 2**20 / 1e6
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def find_room() -> Room:
    """Where a training would compute now, and how much is free there."""
    if _built_for_cuda() and (free := _gpu_free_mb()) is not None:
        return Room("cuda", free)
    return Room("mps" if sys.platform == "darwin" else "cpu", available() / 1e6)
