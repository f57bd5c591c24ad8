"""A history file as rows of named text, whatever its format and encoding.

CSV, TSV, JSON (a list of objects), JSON Lines and LaMP question files, told apart by content first, then by suffix.
LaMP's own format is read by `app.lamp`. Knows no store; what a row means is decided in `importing`.
"""

import codecs
import contextlib
import csv
import dataclasses
import io
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app import lamp
from app.errors import BadInput, FileNotUsable
from app.pipeline.advancing import Told, quiet, told
from app.wording import counted

MAX_FILE = 2 * 1024**3
"""Largest history file, in bytes."""
DELIMITERS = (",", ";", "\t", "|")
SEPARATOR = re.compile(r"sep=([,;\t|])[ \t]*\r?\n")
"""The line by which a spreadsheet says what stands between the cells."""
FORMATS = "CSV, TSV, JSON, JSON Lines or a LaMP question file"


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a file; `problem` says why it cannot be used."""

    line: int
    """The line it starts on; in a JSON list its number in the list, from 1."""
    values: Mapping[str, str]
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A file that was read."""

    format: str
    encoding: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    users: tuple[str, ...] = ()
    """The people in a LaMP question file."""
    prompt: str | None = None
    """The person's first question in a LaMP question file; it tells the task."""


def read_bytes(path: Path) -> bytes:
    """The content of a history file; raises FileNotUsable where it cannot be read, is too large or empty."""
    if path.is_dir():
        raise FileNotUsable(f"Expected a history file, but {path} is a folder; name one file in it.")
    try:
        if path.stat().st_size > MAX_FILE:
            raise FileNotUsable(f"{path.name} is larger than 2 GB; split it and import the parts.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotUsable(f"There is no file {path}; check the name.") from None
    except OSError as error:
        raise FileNotUsable(f"{path.name} cannot be read ({error.strerror}); check that you may open it.") from None
    if not data.strip():
        raise FileNotUsable(f"{path.name} is empty; expected {FORMATS} with at least one record.")
    return data


def _leftover(error: UnicodeError) -> tuple[str, int]:
    """Read the bytes that are no UTF-8 as Windows-1252, and where even that fails as Latin-1."""
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    try:
        return bad.decode("cp1252"), error.end
    except UnicodeDecodeError:
        return bad.decode("latin-1"), error.end


codecs.register_error("cdcda-leftover", _leftover)


def _unmarked_utf16(data: bytes) -> str | None:
    """Which UTF-16 a text without a mark is: of Western text every other byte is zero, and of no other kind of file."""
    even, odd = data[:4096:2], data[1:4096:2]
    for encoding, zeros, letters in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros.count(0) * 2 > len(zeros) and 0 not in letters:
            return encoding
    return None


_LOOKED_AT = 65_536
"""Bytes that are enough to tell an encoding by."""
_LATIN = ("cp1250", "iso8859-2", "cp1254", "iso8859-9", "cp1257", "iso8859-13")
"""Encodings of Latin script for other languages than the Western ones, by their Python names."""
_SURE, _SURE_OF_SCRIPT = 0.12, 0.25
"""Confidence of chardet from which it is believed that a text is in one of these, or in another script."""
_HIGH = re.compile(rb"[\x80-\xff]+")


def _not_ascii(data: bytes) -> bytes:
    """The first lines that have more than ASCII in them."""
    found = b""
    for line in io.BytesIO(data):
        if len(found) >= _LOOKED_AT:
            break
        if not line.isascii():
            found += line[:_LOOKED_AT]
    return found


def _told_by_its_looks(data: bytes) -> str | None:
    """The encoding before Unicode of a text that is neither UTF-8 nor Western; None where that does not show.

    Accents stand alone among ASCII letters; letters of another script stand side by side.
    """
    import chardet

    sample = _not_ascii(data)
    runs = [len(run) for run in _HIGH.findall(sample)]
    in_utf8 = sum(len(letter.encode()) for letter in sample.decode("utf-8", "ignore") if not letter.isascii())
    found = chardet.detect(sample)
    if 2 * in_utf8 >= sum(runs) or found["encoding"] is None:
        return None
    encoding = codecs.lookup(found["encoding"]).name
    if encoding in _LATIN:
        return encoding if found["confidence"] > _SURE else None
    side_by_side = 2 * sum(run for run in runs if run > 1) > sum(runs)
    return encoding if side_by_side and found["confidence"] > _SURE_OF_SCRIPT else None


def decode(data: bytes, name: str) -> tuple[str, str]:
    """The text of a file and its encoding; raises FileNotUsable where it is no text."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace"), "utf-16"
    if encoding := _unmarked_utf16(data):
        return data.decode(encoding, "replace"), encoding
    if data.startswith(b"PK\x03\x04") or b"\x00" in data[:65536]:
        raise FileNotUsable(f"{name} is not a text file; expected {FORMATS} (save a spreadsheet as CSV first).")
    encoding = "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-8"
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError:
        if other := _told_by_its_looks(data):
            return data.decode(other, "replace"), other
        # Exports are often UTF-8 with a few old bytes in between, so the two are read side by side; a file that is
        # Windows-1252 throughout comes out the same way.
        return data.decode(encoding, "cdcda-leftover"), "cp1252"


def _text_of(value: Any) -> str:
    # Python writes NaN for what is missing in a table of numbers.
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _object_row(line: int, value: Any) -> Row:
    if not isinstance(value, dict):
        return Row(line, {}, f"expected an object with named fields, got {type(value).__name__}")
    return Row(line, {str(key): _text_of(item) for key, item in value.items()})


def _columns_of(rows: tuple[Row, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for row in rows for column in row.values))


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_json(text: str) -> bool:
    """Whether a text is JSON, or begins with a line that holds an object, as JSON Lines do."""
    for part, kinds in ((text.lstrip().partition("\n")[0], (dict,)), (text, (dict, list))):
        with contextlib.suppress(ValueError):
            if isinstance(_parse_json(part), kinds):
                return True
    return False


def _lines_table(text: str, encoding: str, tell: Told) -> Table:
    rows = []
    lines = text.split("\n")
    for number, line in enumerate(told(lines, len(lines), tell), 1):
        if not line.strip():
            continue
        try:
            rows.append(_object_row(number, _parse_json(line)))
        except ValueError:
            rows.append(Row(number, {}, "this line is not valid JSON"))
    return Table("JSON Lines", encoding, _columns_of(tuple(rows)), tuple(rows))


def _lamp_table(values: list[Any], encoding: str, name: str, user: str | None) -> Table:
    found = {person.user: person for person in lamp.people(lamp.parse_questions(values, name))}
    if user is None and len(found) > 1:
        names = ", ".join(list(found)[:5])
        raise BadInput(
            f"This LaMP file holds the profiles of {len(found)} users and one history is one person's; "
            f"name one with --user ({names}{', ...' if len(found) > 5 else ''})."
        )
    if user is not None and user not in found:
        raise BadInput(f"There is no user {user!r} in this LaMP file; its users are {', '.join(list(found)[:10])}.")
    person = found[user if user is not None else next(iter(found))]
    rows = tuple(Row(number, item) for number, item in enumerate(person.profile, 1))
    return Table("LaMP", encoding, _columns_of(rows), rows, tuple(found), person.questions[0].prompt)


def _json_table(value: Any, encoding: str, name: str, user: str | None, tell: Told) -> Table | None:
    """The table in a parsed JSON file; None when it is one object that stands for itself."""
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        if len(lists) != 1:
            return None
        value = lists[0]
    if not isinstance(value, list):
        return None
    if lamp.looks_like_questions(value):
        return _lamp_table(value, encoding, name, user)
    rows = tuple(_object_row(number, item) for number, item in enumerate(told(value, len(value), tell), 1))
    return Table("JSON", encoding, _columns_of(rows), rows)


def delimiter_of(header: str, suffix: str = "") -> str:
    """What stands between the cells of a header; the file's suffix is a hint."""
    if suffix in (".tsv", ".tab") and "\t" in header:
        return "\t"
    return max(DELIMITERS, key=lambda mark: (header.count(mark), -DELIMITERS.index(mark)))


def _named(header: list[str]) -> tuple[str, ...]:
    names: list[str] = []
    for number, cell in enumerate(header, 1):
        name = cell.strip() or f"column {number}"
        names.append(name if name not in names else f"{name} {number}")
    return tuple(names)


def _is_whole(text: str, delimiter: str) -> bool:
    """Whether text of several lines is one row, every quotation mark of which closes where a cell ends."""
    try:
        return len(list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False


def cells_of(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """Each row that is not blank with the line it starts on; a quoted cell may hold line ends.

    A quotation mark that is never closed would take all that follows into its cell: of its line None comes, and the
    next line begins anew.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    file = io.StringIO(text, newline="")
    reader, before = csv.reader(file, delimiter=delimiter), 0
    line, start = 1, 0
    while (cells := next(reader, None)) is not None:
        following = before + reader.line_num + 1
        if following - line > 1 and not _is_whole(text[start : file.tell()], delimiter):
            file.seek(start)
            file.readline()
            reader, before, following = csv.reader(file, delimiter=delimiter), line, line + 1
            yield line, None
        elif any(map(str.strip, cells)):
            yield line, cells
        line, start = following, file.tell()


def _delimited_row(line: int, cells: list[str] | None, columns: tuple[str, ...]) -> Row:
    if cells is None:
        return Row(line, {}, "a quotation mark opens a field in it and is never closed")
    # Spreadsheets write a mark too many where a cell beside the table was ever touched.
    while len(cells) > len(columns) and not cells[-1].strip():
        cells.pop()
    fits = len(cells) == len(columns)
    problem = None if fits else f"{counted(len(cells), 'field')} where the header has {len(columns)}"
    return Row(line, dict(zip(columns, cells, strict=False)), problem)


def _delimited_table(text: str, encoding: str, suffix: str, tell: Told) -> Table:
    told_mark = SEPARATOR.match(text)
    first = next((line for line in text[told_mark.end() if told_mark else 0 :].splitlines() if line.strip()), "")
    delimiter = told_mark[1] if told_mark else delimiter_of(first, suffix)
    cells = cells_of(text, delimiter)
    if told_mark:
        next(cells)
    header = next(cells, (0, None))[1] or [cell.strip(' "') for cell in first.split(delimiter)]
    columns = _named(header)
    rows = tuple(_delimited_row(line, row, columns) for line, row in told(cells, text.count("\n"), tell))
    return Table("TSV" if delimiter == "\t" else "CSV", encoding, columns, rows)


def _read_json(text: str, encoding: str, path: Path, user: str | None, tell: Told) -> Table | None:
    """The table where the text is JSON or JSON Lines; None where it is something else."""
    if not text.lstrip().startswith(("[", "{")):
        if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
            raise FileNotUsable(f"{path.name} is not JSON although its name says so; check how it was exported.")
        return None
    try:
        table = _json_table(_parse_json(text), encoding, path.name, user, tell)
        return table or _lines_table(text, encoding, tell)
    except ValueError as error:
        if text.lstrip().startswith("{") and "\n" in text.strip():
            return _lines_table(text, encoding, tell)
        if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
            return None
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise FileNotUsable(
            f"{path.name} is not valid JSON ({where}); it may be cut short, so export it again."
        ) from None


def table_of(text: str, encoding: str, path: Path, user: str | None = None, tell: Told = quiet) -> Table:
    """The table that a text is; the path's name is told in errors, and its suffix is a hint. Raises as `read_table`."""
    if not text.strip():
        raise FileNotUsable(f"{path.name} is empty; expected {FORMATS} with at least one record.")
    table = _read_json(text, encoding, path, user, tell)
    if table is None:
        table = _delimited_table(text, encoding, path.suffix.lower(), tell)
    if not table.rows:
        raise FileNotUsable(f"{path.name} has a header and no record below it; expected at least one.")
    return table


def read_table(path: Path, user: str | None = None, tell: Told = quiet) -> Table:
    """Read a history file; raises FileNotUsable, or BadInput when a LaMP file needs a user.

    `user` names the person in a LaMP question file (its user_id, or a number from 0 where it has none); `tell` is told
    how many rows are read, of how many lines.
    """
    text, encoding = decode(read_bytes(path), path.name)
    return table_of(text, encoding, path, user, tell)
