"""The header of a GGUF file: enough to tell a whole file from one that was cut short, and how large its network is.

Knows nothing of models. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3,
little endian).
"""

import dataclasses
import functools
import math
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path

MAGIC = b"GGUF"
_VALUE_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a metadata value by its type number; 8 is a string, 9 an array."""
_INTEGERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 10: "Q", 11: "q"}
"""How struct reads the values that are whole numbers."""
_FLOATS = {6: "f", 12: "d"}
"""And those that are not."""
_STRING = 8
_ARRAY = 9
_ALIGNMENT_KEY = "general.alignment"
_DEFAULT_ALIGNMENT = 32


class NotGguf(ValueError):
    """The bytes are no GGUF header, or only the beginning of one."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What the head of a file states."""

    numbers: Mapping[str, int]
    """Values that are whole numbers, "llama.block_count" for example."""
    floats: Mapping[str, float]
    """Other numbers, "llama.rope.freq_base" for example."""
    texts: Mapping[str, str]
    """Values that are strings, "general.architecture" for example."""
    tensors: Mapping[str, tuple[int, ...]]
    """Shapes by name, the fastest dimension first: [inputs, outputs] of a linear layer."""
    size: int
    """Least bytes of the whole file."""


class _Cursor:
    """Walks over the header, little endian."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0

    def real(self, form: str) -> float:
        (value,) = struct.unpack_from("<" + form, self.data, self.offset)
        self.offset += struct.calcsize(form)
        return float(value)

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from("<" + form, self.data, self.offset)
        self.offset += struct.calcsize(form)
        return int(value)

    def skip_string(self) -> None:
        # The length moves the cursor too, so it must be read before the offset is.
        length = self.number("Q")
        self.offset += length

    def string(self) -> bytes:
        start = self.offset
        self.skip_string()
        return self.data[start + 8 : self.offset]

    def skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self.skip_string()
        elif kind == _ARRAY:
            self.skip_array()
        else:
            self.offset += _VALUE_SIZES[kind]

    def skip_array(self) -> None:
        kind, count = self.number("I"), self.number("Q")
        if kind != _STRING:
            self.offset += count * _VALUE_SIZES[kind]
            return
        for _ in range(count):
            self.skip_string()


def _metadata(cursor: _Cursor, count: int) -> tuple[dict[str, int], dict[str, float], dict[str, str]]:
    """Walks over the metadata: its whole numbers, its other numbers and its strings by name."""
    numbers: dict[str, int] = {}
    floats: dict[str, float] = {}
    texts: dict[str, str] = {}
    for _ in range(count):
        key, kind = cursor.string().decode("utf-8", "replace"), cursor.number("I")
        if kind in _INTEGERS:
            numbers[key] = cursor.number(_INTEGERS[kind])
        elif kind in _FLOATS:
            floats[key] = cursor.real(_FLOATS[kind])
        elif kind == _STRING:
            texts[key] = cursor.string().decode("utf-8", "replace")
        else:
            cursor.skip_value(kind)
    return numbers, floats, texts


def _tensors(cursor: _Cursor, count: int) -> tuple[dict[str, tuple[int, ...]], int]:
    """Walks over the tensor descriptions: their shapes, and where the last ends, from the start of the data."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    shapes: dict[str, tuple[int, ...]] = {}
    end = 0
    for _ in range(count):
        name = cursor.string().decode("utf-8", "replace")
        shape = tuple(cursor.number("Q") for _ in range(cursor.number("I")))
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(cursor.number("I"))]
        end = max(end, cursor.number("Q") + math.prod(shape) // block * size)
        shapes[name] = shape
    return shapes, end


def _walk(data: mmap.mmap) -> Header:
    cursor = _Cursor(data)
    if data[:4] != MAGIC:
        raise NotGguf("no GGUF magic")
    cursor.offset = 4
    if cursor.number("I") not in (2, 3):
        raise NotGguf("unknown GGUF version")
    tensors, metadata = cursor.number("Q"), cursor.number("Q")
    numbers, floats, texts = _metadata(cursor, metadata)
    shapes, end = _tensors(cursor, tensors)
    alignment = numbers.get(_ALIGNMENT_KEY, _DEFAULT_ALIGNMENT)
    return Header(numbers, floats, texts, shapes, -(-cursor.offset // alignment) * alignment + end)


@functools.lru_cache(maxsize=64)
def _header(path: Path, size: int, modified: int) -> Header:
    """As `read_header`; size and time of the file are in the key, so that a changed file is read again."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _walk(data)
        except (struct.error, KeyError, ValueError, IndexError, ArithmeticError) as error:
            raise NotGguf(str(error)) from error


def read_header(path: Path) -> Header:
    """What the file's header states; raises NotGguf and OSError."""
    status = path.stat()
    if status.st_size == 0:
        raise NotGguf("empty file")
    return _header(path, status.st_size, status.st_mtime_ns)


def expected_size(path: Path) -> int:
    """The least size in bytes of the whole file, as its header states it; raises NotGguf and OSError."""
    return read_header(path).size
