"""What this computer can do for fine-tuning and writing: each finding is good, or says what to do about it.

Nothing is guessed where it can be tried: NF4 is shown by a real forward and backward pass, llama.cpp by loading it.
"""

import dataclasses
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from app.device import catalogue, memory, weights
from app.device.llama_library import built_for_amx, library
from app.device.precision import best_precision, processor_words

_MEMORY_WANTED = 4e9
"""Bytes; fine-tuning the embedded model takes about half of it."""
_DISK_WANTED = 2e9
"""Bytes; an unpacked small model and a few adapters."""
_VECTORS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "neon", "asimd", "bf16")
"""Names of CPU features in /proc/cpuinfo that decide the speed, on x86 and on ARM."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    detail: str
    advice: str = ""
    """What to do about it; empty where nothing needs doing."""


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", sys.version_info >= (3, 11), detail, "" if sys.version_info >= (3, 11) else "Use 3.11.")


def _cpu() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words, computed = processor_words(), f"fine-tuning computes in {best_precision('cpu')}"
    if not words:
        return Finding("CPU", True, f"{cores} cores; this system does not list the CPU's features; {computed}")
    found = [name for name in _VECTORS if name in words]
    detail = f"{cores} cores, {', '.join(found) or 'none of the vector features that are of use'}; {computed}"
    if found:
        return Finding("CPU", True, detail)
    return Finding("CPU", False, detail, "Everything works but slowly; choose the smallest device model.")


def _memory() -> Finding:
    free = memory.available()
    good = free >= _MEMORY_WANTED
    advice = "" if good else f"Fine-tuning wants {_MEMORY_WANTED / 1e9:.0f} GB; close other programs before it."
    return Finding("Memory", good, f"{free / 1e9:.1f} GB free", advice)


def _disk(data_dir: Path) -> Finding:
    there = next(folder for folder in (data_dir, *data_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    good = free >= _DISK_WANTED
    advice = "" if good else f"Models and adapters want {_DISK_WANTED / 1e9:.0f} GB; free some space."
    return Finding("Disk", good, f"{free / 1e9:.1f} GB free for {data_dir}", advice)


def _torch() -> Finding:
    import torch

    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    return Finding("PyTorch", True, f"{torch.__version__} built for {built_for}, {torch.get_num_threads()} threads")


def _driver() -> str:
    """Version of the NVIDIA driver, as its own tool says it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said[0] if said else "unknown"


def _gpu() -> Finding:
    import torch

    device = weights.best_device()
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        detail = f"{properties.name} with {properties.total_memory / 1e9:.0f} GB is used, driver {_driver()}"
        return Finding("GPU", True, detail)
    if device == "mps":
        return Finding("GPU", True, weights.possible_quantisation("nf4", device)[1])
    if shutil.which("nvidia-smi"):
        detail = f"there is an NVIDIA driver ({_driver()}) but PyTorch cannot use it"
        return Finding("GPU", False, detail, "Install a CUDA build of torch that this driver can run.")
    return Finding("GPU", True, "none; everything runs on the CPU")


def _nf4() -> Finding:
    """Quantises a small layer to NF4 and sends a gradient through it, as fine-tuning does."""
    # It would advertise a package with other kernels in the middle of the findings.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import bitsandbytes
    import torch

    device = weights.best_device()
    torch.manual_seed(0)
    dense = torch.nn.Linear(128, 64, bias=False)
    layer = bitsandbytes.nn.Linear4bit(128, 64, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
    layer.load_state_dict(dense.state_dict())
    layer.to(device)
    given = torch.randn(8, 128, device=device, dtype=torch.bfloat16, requires_grad=True)
    answer = layer(given)
    answer.float().square().sum().backward()
    exact = given.detach().float().cpu() @ dense.weight.detach().T
    error = float((answer.detach().float().cpu() - exact).norm() / exact.norm())
    passed = given.grad is not None and bool(torch.any(given.grad != 0))
    # Four bits are right to about a tenth; far beyond that the kernels do not work here.
    good = layer.weight.dtype == torch.uint8 and passed and error < 0.2
    detail = f"forward and backward pass on {device}, {error:.0%} off the exact result"
    return Finding("NF4", good, detail, "" if good else "Install bitsandbytes again, or train with bfloat16 weights.")


def _llama() -> Finding:
    """Loads llama.cpp and asks it what it was built for; adapters are served through a function of its library."""
    import importlib.metadata

    llama = library()
    features = re.findall(r"(\w+) = 1\b", llama.llama_print_system_info().decode())
    gpu = "with" if llama.llama_supports_gpu_offload() else "without"
    version = importlib.metadata.version("llama-cpp-python")
    without = "; its AMX code, which may crash, is left alone" if built_for_amx() else ""
    detail = f"{version} loads, {gpu} GPU support; built for {', '.join(features)}{without}"
    if not hasattr(llama, "llama_set_adapters_lora"):
        return Finding("llama.cpp", False, f"{detail}; cannot serve adapters", "Install llama-cpp-python again.")
    return Finding("llama.cpp", True, f"{detail}; serves adapters")


def _models(models_dir: Path) -> Finding:
    names, damaged = [model.name for model in catalogue.installed(models_dir)], catalogue.damaged(models_dir)
    if damaged:
        return Finding("Models", False, ", ".join(names) or "none that is whole", " ".join(damaged))
    if names:
        return Finding("Models", True, ", ".join(names))
    return Finding("Models", False, "none", "Fetch one with `cdcda models pull`, or install the program again.")


def _try(name: str, look: Callable[[], Finding], advice: str) -> Finding:
    """A look that may fail in any way that a library finds: the failure is the finding."""
    try:
        return look()
    except Exception as error:
        return Finding(name, False, f"failed: {str(error).strip() or type(error).__name__}", advice)


def examine(models_dir: Path, data_dir: Path) -> tuple[Finding, ...]:
    """Looks at everything that fine-tuning and writing need; takes some seconds, most of them to import PyTorch."""
    again = "Install the program again."
    looks: Sequence[tuple[str, Callable[[], Finding], str]] = (
        ("Python", _python, ""),
        ("CPU", _cpu, ""),
        ("Memory", _memory, ""),
        ("Disk", lambda: _disk(data_dir), "Choose another folder with --data-dir."),
        ("PyTorch", _torch, again),
        ("GPU", _gpu, again),
        ("NF4", _nf4, "Install bitsandbytes again, or train with bfloat16 weights."),
        ("llama.cpp", _llama, "Install llama-cpp-python again."),
        ("Models", lambda: _models(models_dir), "Fetch one with `cdcda models pull`."),
    )
    return tuple(_try(name, look, advice) for name, look, advice in looks)
