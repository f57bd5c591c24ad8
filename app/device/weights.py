"""A model's weights in the form that training needs: a safetensors folder, loaded in NF4.

Knows nothing of texts, tokens or adapters. A GGUF is dequantised once and kept; a safetensors folder is used as it is.
Nothing that could run code is loaded: no pickle, no Python file that came with a model.
"""

import contextlib
import functools
import hashlib
import io
import logging
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from app.device import gguf_header, memory
from app.device.catalogue import LocalModel
from app.device.rotary import is_scaled, rotary_scaling
from app.device.tidying import make_temporary, remove_abandoned, tidy, use
from app.device.writing import settle, writing
from app.errors import BadInput, DiskFull, ModelDamaged

Quantisation = Literal["nf4", "none"]

ARCHITECTURES = ("llama", "qwen2")
"""What transformers calls the networks that can be fine-tuned here and served by llama.cpp."""

UNPACKED = "The model that is unpacked for fine-tuning"


@functools.lru_cache(maxsize=256)
def _file_hash(path: Path, size: int, modified: int) -> str:
    """As `file_hash`; size and time are in the key, so that a changed file is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file; kept while its size and time stay the same."""
    status = path.stat()
    return _file_hash(path, status.st_size, status.st_mtime_ns)


def model_hash(model: LocalModel) -> str:
    """SHA-256 (hex) that identifies a base: of the GGUF file, or of a folder's weights and configuration."""
    if model.kind == "gguf":
        return file_hash(model.path)
    files = sorted([*model.path.glob("*.safetensors"), model.path / "config.json"])
    lines = "".join(f"{file_hash(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _check_whole(model: LocalModel) -> None:
    """Raises ModelDamaged for a GGUF that was cut short or is none."""
    try:
        expected = gguf_header.expected_size(model.path)
    except (gguf_header.NotGguf, OSError) as error:
        raise ModelDamaged(
            f"{model.path} should be a GGUF model but cannot be read as one; fetch it again with `cdcda models pull`."
        ) from error
    size = model.path.stat().st_size
    if size < expected:
        raise ModelDamaged(
            f"{model.path} should have {expected:,} bytes but has {size:,}: it was cut short; fetch it again with"
            " `cdcda models pull`."
        )


def _quiet_transformers() -> Any:
    """The transformers library without its progress bars and hints, which would write over ours."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    # It recommends a package that fetches compiled kernels from a model hub.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    return transformers


def _first_line(error: Exception) -> str:
    """What an exception of a library says, short enough for a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _dequantise(model: LocalModel) -> Any:
    """The GGUF as a transformers model in bfloat16, its configuration the one to save."""
    import torch

    transformers = _quiet_transformers()
    try:
        # The loader draws a progress bar of its own that no setting turns off.
        with contextlib.redirect_stderr(io.StringIO()), memory.returned_at_once():
            network = transformers.AutoModelForCausalLM.from_pretrained(
                str(model.path.parent),
                gguf_file=model.path.name,
                quantization_config=transformers.GgufConfig(dequantize=True),
                dtype=torch.bfloat16,
                local_files_only=True,
            )
        network.config.rope_parameters |= rotary_scaling(model.path)
        return network
    except (ValueError, KeyError, RuntimeError, OSError, struct.error, NotImplementedError) as error:
        raise ModelDamaged(
            f"The weights of {model.path} cannot be unpacked for fine-tuning ({_first_line(error)}); choose another"
            " model from `cdcda models list`."
        ) from error


def _save(network: Any, cache: Path, folder: Path) -> None:
    """Writes beside and renames, so that a folder of that name is always whole."""
    needed = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    free = shutil.disk_usage(cache).free
    if free < needed * 1.05:
        raise DiskFull(
            f"Unpacking the model needs {needed / 1e9:.1f} GB in {cache} but {free / 1e9:.1f} GB are free; free some"
            " space and start again."
        )
    temporary = make_temporary(cache)
    try:
        network.save_pretrained(temporary)
        settle(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_prepared(model: LocalModel, cache: Path) -> bool:
    """Whether the model was probably unpacked before; another file of the same name is not told from it."""
    return model.kind == "safetensors" or any(cache.glob(f"{model.path.stem}-*"))


def prepared_name(model: LocalModel) -> str:
    """What the folder of a model's unpacked weights is called; raises BadInput where they cannot be unpacked rightly.

    It holds the file's hash, so another file under the same name is unpacked anew.
    """
    # An earlier version unpacked models with scaled rotary frequencies as if they were not.
    scaled = "-scaled" if model.kind == "gguf" and is_scaled(model.path) else ""
    return f"{model.path.stem}-{model_hash(model)[:16]}{scaled}"


def prepare(model: LocalModel, cache: Path, report: Callable[[str], None]) -> Path:
    """The model as a transformers folder of safetensors; a GGUF is unpacked to bfloat16 below `cache` once and kept.

    `report` gets a sentence where there is something to wait for. What was prepared and not used for long goes. Raises
    BadInput, ModelDamaged, DiskFull and NotWritten.
    """
    if model.kind == "safetensors":
        return model.path
    _check_whole(model)
    folder = cache / prepared_name(model)
    if folder.is_dir():
        return use(folder)
    report(f"Unpacking {model.name} for fine-tuning; this is done once.")
    with writing(UNPACKED, cache):
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_abandoned(cache)
        tidy(cache)
        _save(_dequantise(model), cache, folder)
    return folder


def best_device() -> str:
    """Where training is fastest here: "cuda", "mps" or "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def possible_quantisation(wanted: Quantisation, device: str) -> tuple[Quantisation, str]:
    """What can be done there of what is wanted, and a sentence where it is less, else an empty one."""
    if wanted == "nf4" and device == "mps":
        return (
            "none",
            "NF4 weights are not available on Apple GPUs, so bfloat16 weights are used: about twice the memory.",
        )
    return wanted, ""


def check_architecture(architecture: str) -> None:
    """Of others, the loss on chosen positions or the adapter's way into llama.cpp would be wrong in silence."""
    if architecture not in ARCHITECTURES:
        raise BadInput(
            f"Fine-tuning works with {' and '.join(ARCHITECTURES)} models, but this one is a {architecture}; choose"
            " another from `cdcda models list`."
        )


def _nf4() -> Any:
    """NF4 weights in blocks of 64, multiplied in bfloat16; scales are not quantised again."""
    import torch
    import transformers

    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )


def load_for_training(folder: Path, quantisation: Quantisation, device: str) -> Any:
    """The network of a prepared folder, its linear layers in NF4 or everything in bfloat16.

    Raises ModelDamaged, and BadInput for an architecture that is not supported.
    """
    import torch
    from safetensors import SafetensorError

    transformers = _quiet_transformers()
    try:
        with memory.returned_at_once():
            network, report = transformers.AutoModelForCausalLM.from_pretrained(
                str(folder),
                dtype=torch.bfloat16,
                quantization_config=_nf4() if quantisation == "nf4" else None,
                device_map={"": device},
                attn_implementation="sdpa",
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
        # Without this a weight that is not in the files would be left random, with a warning that nobody sees.
        if report["missing_keys"]:
            raise ValueError(f"it lacks {min(report['missing_keys'])}")
    except (ValueError, KeyError, RuntimeError, OSError, SafetensorError) as error:
        raise ModelDamaged(
            f"The model folder {folder} should hold config.json and whole safetensors files but cannot be loaded"
            f" ({_first_line(error)}); delete it and start again, or choose another model."
        ) from error
    check_architecture(network.config.model_type)
    return network
