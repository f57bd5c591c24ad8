"""The header of a GGUF file: enough to tell a whole file from one that was cut short.

Knows nothing of models. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3,
little endian).
"""

import functools
import math
import mmap
import struct
from pathlib import Path

MAGIC = b"GGUF"
_VALUE_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a metadata value by its type number; 8 is a string, 9 an array."""
_STRING = 8
_ARRAY = 9
_ALIGNMENT_KEY = b"general.alignment"


class NotGguf(ValueError):
    """The bytes are no GGUF header, or only the beginning of one."""


class _Cursor:
    """Walks over the header, little endian."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0

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


def _alignment(cursor: _Cursor, metadata: int) -> int:
    """Walks over the metadata; the alignment that it states, else the default of 32."""
    alignment = 32
    for _ in range(metadata):
        key, kind = cursor.string(), cursor.number("I")
        if key == _ALIGNMENT_KEY and kind == 4:
            alignment = cursor.number("I")
        else:
            cursor.skip_value(kind)
    return alignment


def _tensors_end(cursor: _Cursor, tensors: int) -> int:
    """Walks over the tensor descriptions; where the last tensor ends, counted from the start of the data."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    end = 0
    for _ in range(tensors):
        cursor.skip_string()
        shape = [cursor.number("Q") for _ in range(cursor.number("I"))]
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(cursor.number("I"))]
        end = max(end, cursor.number("Q") + math.prod(shape) // block * size)
    return end


def _end(data: mmap.mmap) -> int:
    cursor = _Cursor(data)
    if data[:4] != MAGIC:
        raise NotGguf("no GGUF magic")
    cursor.offset = 4
    if cursor.number("I") not in (2, 3):
        raise NotGguf("unknown GGUF version")
    tensors, metadata = cursor.number("Q"), cursor.number("Q")
    alignment = _alignment(cursor, metadata)
    end = _tensors_end(cursor, tensors)
    return -(-cursor.offset // alignment) * alignment + end


@functools.lru_cache(maxsize=64)
def _expected_size(path: Path, size: int, modified: int) -> int:
    """As `expected_size`; size and time of the file are in the key, so that a changed file is read again."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _end(data)
        except (struct.error, KeyError, ValueError, IndexError, OverflowError) as error:
            raise NotGguf(str(error)) from error


def expected_size(path: Path) -> int:
    """The least size in bytes of the whole file, as its header states it; raises NotGguf and OSError."""
    status = path.stat()
    if status.st_size == 0:
        raise NotGguf("empty file")
    return _expected_size(path, status.st_size, status.st_mtime_ns)
