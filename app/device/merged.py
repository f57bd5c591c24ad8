"""Small models with adapters merged in, kept as files: they write as fast as the bare model.

llama.cpp multiplies with a LoRA at every weight of every token. Beside a large model that is little; beside one of a
hundred million weights it is a quarter of the time (`tests/benchmarks/serving.py`). So an engine that was given a
folder for it has base and adapter of a small model added up once, in seconds, and opens that file as it would any
model. The file is named by the contents that it was made of, and can be made again at any time.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from app.device.gguf_merging import merge
from app.device.tidying import is_abandoned
from app.device.weights import file_hash
from app.errors import DiskFull, NotWritten

SMALL = 256 * 2**20
"""Bytes of the largest model file for which this is done."""
KEPT = 4
"""Files that stay: those used last."""
_FOLDER, _TEMPORARY = "merged", ".merging-"


def _folder(cache: Path) -> Path:
    return cache / _FOLDER


def _name(model: Path, adapters: Sequence[Path]) -> str:
    parts = "".join(f"{file_hash(path)}\n" for path in (model, *adapters))
    return f"{hashlib.sha256(parts.encode()).hexdigest()[:32]}.gguf"


def _tidy(folder: Path) -> None:
    files = sorted(folder.glob("*.gguf"), key=lambda file: file.stat().st_mtime, reverse=True)
    left = [file for file in folder.glob(f"{_TEMPORARY}*") if is_abandoned(file, _TEMPORARY)]
    for file in [*files[KEPT:], *left]:
        with contextlib.suppress(OSError):
            file.unlink()


def _make(model: Path, adapters: Sequence[Path], file: Path) -> None:
    """Under another name first: nobody opens half a file. Raises AdapterRefused, DiskFull and NotWritten."""
    handle, name = tempfile.mkstemp(prefix=f"{_TEMPORARY}{os.getpid()}-", dir=file.parent)
    os.close(handle)
    try:
        merge(model, adapters, Path(name), small=True)
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def merged_file(model: Path, adapters: Sequence[Path], cache: Path) -> Path | None:
    """The model with those GGUF adapters added to its weights, made below `cache` where it is missing (seconds).

    None where the model is too large for it, and where there is no room for the file: the adapters are laid over the
    model then, which computes the same, only slower. Raises AdapterRefused where one does not fit.
    """
    if not adapters or model.stat().st_size > SMALL:
        return None
    folder = _folder(cache)
    file = folder / _name(model, adapters)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.is_file():
            _make(model, adapters, file)
        os.utime(file)
        _tidy(folder)
    except (OSError, DiskFull, NotWritten):
        return None
    return file


def throw_away(cache: Path) -> None:
    """Remove every such file: what an adapter learned is in them too."""
    for file in _folder(cache).glob("*"):
        with contextlib.suppress(OSError):
            file.unlink()
