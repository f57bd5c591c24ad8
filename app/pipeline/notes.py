"""Notes as rows: a folder of Markdown or text files, and text that was pasted. Knows no task and no store.

A note has a title (its front matter's, its first heading, else the file's name), a body, and perhaps a date (its front
matter's, else one that its file's name begins with).
"""

import dataclasses
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from app.errors import FileNotUsable
from app.pipeline.advancing import Told, quiet, told
from app.pipeline.reading import SEPARATOR, Row, Table, cells_of, decode, delimiter_of, is_json, read_bytes, table_of

MARKDOWN = (".md", ".markdown")
SUFFIXES = (*MARKDOWN, ".txt", ".text")
MOST_NOTES = 1_000_000
COLUMNS = ("body", "title", "date", "file")
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
FIELD = re.compile(r"^(title|date|created)[ \t]*:[ \t]*(.+?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
HEADING = re.compile(r"\A\s*(?:#{1,6}[ \t]+(.+?)[ \t]*#*|([^\n]+)\n(?:=+|-{3,}))[ \t]*(?:\n|\Z)")
DATED = re.compile(r"(\d{4}-\d{2}-\d{2})[ _-]*(.*)")
BETWEEN = re.compile(r"\n[ \t]*(?:-{3,}|\*{3,}|={3,})[ \t]*\n|\n(?:[ \t]*\n){2,}")
"""What separates pasted notes: a line of dashes, or two empty lines."""

JSON_BEGINS = re.compile(r'\s*\[?\s*\{\s*"')
"""How objects begin, by themselves or in a list."""

LOOKED_AT = 20
"""Rows of a text that say whether it is a table."""


@dataclasses.dataclass(frozen=True)
class Pasted:
    """Text that a person pasted: a table as text, or notes with their title in the first line."""

    text: str
    name: str = "pasted text"


@dataclasses.dataclass(frozen=True)
class Notes:
    """Files that a person chose, a note each."""

    paths: tuple[Path, ...]
    name: str = "notes"


def _front(text: str) -> tuple[dict[str, str], str]:
    """The front matter's fields, and the rest."""
    found = FRONT_MATTER.match(text)
    if found is None:
        return {}, text
    fields = {key.lower(): value.strip("'\"") for key, value in FIELD.findall(found[1])}
    return fields, text[found.end() :]


def _note(text: str, name: str) -> dict[str, str]:
    fields, body = _front(text)
    dated = DATED.fullmatch(name)
    heading = HEADING.match(body)
    title = fields.get("title") or (heading and (heading[1] or heading[2])) or (dated and dated[2]) or name
    date = fields.get("date") or fields.get("created") or (dated[1] if dated else "")
    return {"body": (body[heading.end() :] if heading else body).strip(), "title": title.strip(), "date": date}


def _files(folder: Path) -> list[Path]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found or len(found) > MOST_NOTES:
        raise FileNotUsable(
            f"Expected a folder of notes ({', '.join(SUFFIXES)}), but {folder.name} has {len(found)}; name another one."
        )
    return found


def _row(number: int, path: Path, name: str) -> Row:
    try:
        text, _ = decode(read_bytes(path), name)
    except FileNotUsable as error:
        return Row(number, {"file": name}, str(error).rstrip("."))
    return Row(number, {**_note(text.replace("\r\n", "\n"), path.stem), "file": name})


def read_folder(folder: Path, tell: Told = quiet) -> Table:
    """The notes of a folder and of those in it, by path; a row's line is the note's number.

    Raises FileNotUsable where there is none.
    """
    files = _files(folder)
    numbered = enumerate(told(files, len(files), tell), 1)
    rows = tuple(_row(number, path, str(path.relative_to(folder))) for number, path in numbered)
    return Table("notes", "by file", COLUMNS, rows)


def read_notes(notes: Notes, tell: Told = quiet) -> Table:
    """The notes in those files; raises FileNotUsable where one is a table, which comes in alone."""
    for path in notes.paths:
        if path.suffix.lower() not in SUFFIXES:
            raise FileNotUsable(f"Several files are taken as notes, and {path.name} is none; choose it alone.")
    numbered = enumerate(told(notes.paths, len(notes.paths), tell), 1)
    rows = tuple(_row(number, path, path.name) for number, path in numbered)
    return Table("notes", "by file", COLUMNS, rows)


def _is_table(text: str, fitting: float = 1.0) -> bool:
    """Whether a text is JSON, or has a header of single words and below it rows with as many fields.

    `fitting` is the least part of its first rows that must have as many.
    """
    if text.lstrip().startswith(("[", "{")):
        # What is cut off is no JSON, but meant as it.
        return JSON_BEGINS.match(text) is not None or is_json(text)
    first = next(filter(str.strip, text.split("\n")), "")
    delimiter = delimiter_of(first)
    read = islice(cells_of(text, delimiter), LOOKED_AT)
    # A row whose quotation mark is never closed says nothing.
    header, *rows = [cells for _, cells in read if cells is not None] or [[]]
    fits = bool(rows) and sum(len(cells) == len(header) for cells in rows) >= fitting * len(rows)
    # Prose has commas, but no tabs, and a letter begins with "Dear Anna,".
    named = all(len(cell.split()) <= 3 for cell in header) and bool(header[-1].strip())
    return len(header) > 1 and fits and (delimiter == "\t" or named)


def read_text(path: Path, user: str | None = None, tell: Told = quiet) -> Table:
    """A text file as a note, or as a table where it is one, which Markdown never is. Raises as `reading.read_table`."""
    text, encoding = decode(read_bytes(path), path.name)
    markdown = path.suffix.lower() in MARKDOWN
    if not markdown and (SEPARATOR.match(text) or _is_table(text, fitting=0.8)):
        return table_of(text, encoding, path, user, tell)
    return read_notes(Notes((path,)), tell)


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Each pasted note with the line it begins on."""
    start = 0
    for end, after in [*(found.span() for found in BETWEEN.finditer(text)), (len(text), len(text))]:
        block = text[start:end]
        if block.strip():
            yield text.count("\n", 0, start + len(block) - len(block.lstrip())) + 1, block.strip()
        start = after


def read_pasted(pasted: Pasted, user: str | None = None) -> Table:
    """Pasted text as rows: a table, else notes whose first line is the title; raises FileNotUsable."""
    text = pasted.text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise FileNotUsable("There is no pasted text; paste notes, or a table with a header line.")
    if _is_table(text):
        return table_of(text, "pasted", Path(pasted.name), user)
    rows = []
    for line, block in _blocks(text):
        title, _, body = block.partition("\n")
        rows.append(Row(line, {"body": body.strip(), "title": title.lstrip("# ").strip(), "date": "", "file": ""}))
    return Table("notes", "pasted", COLUMNS[:3], tuple(rows))
