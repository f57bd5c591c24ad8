"""Bring a history in: a file, a folder of notes or pasted text -> Records.

Columns and the task are guessed, can be named instead, and each row that cannot be used is reported with its line.
Nothing is stored when the file as a whole cannot be used.
"""

import contextlib
import csv
import dataclasses
import gc
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app import lamp
from app.errors import FileNotUsable
from app.pipeline.advancing import Listener, Told, finished, quiet, teller, told
from app.pipeline.dates import month_comes_first, to_iso
from app.pipeline.looking import Known, examined, keep_up
from app.pipeline.notes import SUFFIXES, Notes, Pasted, read_folder, read_notes, read_pasted, read_text
from app.pipeline.reading import Row, Table, read_table
from app.pipeline.tasks import find_task as find_any_task
from app.pipeline.workspace import Workspace
from app.tasks import TASKS, Task, find_task, read_number
from cloud_stub.schemas import MAX_TEXT
from personal_store import records
from personal_store.nouns import NewRecord

SAMPLE = 500
"""Rows that are looked at to guess what the columns are."""
DATE_NAMES = ("date", "created_at", "created", "timestamp", "time", "datetime", "published", "pubdate", "day")
WORD_END = re.compile(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Between the words of a column's name, camelCase too."""
RATINGS = frozenset({"1", "2", "3", "4", "5", "1.0", "2.0", "3.0", "4.0", "5.0"})
MOST_LABELS = 30


@dataclasses.dataclass(frozen=True)
class ColumnMapping:
    """Which column is what; None: not known, or (date) not there."""

    task: str
    input: str | None
    output: str | None
    date: str | None


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A row that cannot be used."""

    line: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Preview:
    """What an import would do."""

    format: str
    encoding: str
    columns: tuple[str, ...]
    mapping: ColumnMapping
    rows: tuple[tuple[str, str, str | None], ...]
    """The first input, output and date of those that can be used."""
    usable: int
    rejected: tuple[Rejected, ...]
    users: tuple[str, ...]
    """The people in a LaMP question file."""
    problem: str | None
    """Why nothing can be imported with this mapping, as `import_file` would say it."""
    unread_dates: int
    """Usable rows with a date that could not be read; they count as written at their import."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """What an import did."""

    imported: int
    duplicates: int
    rejected: tuple[Rejected, ...]
    ids: tuple[int, ...]
    near: tuple[Rejected, ...] = ()
    """Rows that were left out because they are almost the same as another."""
    unread_dates: int = 0
    """Usable rows with a date that could not be read; they count as written at their import."""


Source = Path | str | Pasted | Notes


@dataclasses.dataclass(frozen=True)
class _Usable:
    line: int
    input: str
    output: str
    date: str | None


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """What the person named; None: to be guessed."""

    task: Task | None
    input: str | None
    output: str | None
    date: str | None


def _column(table: Table, name: str | None, flag: str) -> str | None:
    """The column of that name, in any case; raises FileNotUsable where there is none."""
    if name is None:
        return None
    for column in table.columns:
        if column == name or column.lower() == name.lower():
            return column
    raise FileNotUsable(
        f"There is no column {name!r}; the file has {', '.join(table.columns)}, so name one of these with {flag}."
    )


def _first_named(columns: Sequence[str], names: Sequence[str]) -> tuple[int, str] | None:
    """The first of the names that is a column, with its rank."""
    lowered = {column.lower(): column for column in reversed(columns)}
    return next(((rank, lowered[name]) for rank, name in enumerate(names) if name in lowered), None)


def _texts(table: Table, column: str) -> list[str]:
    return [text for row in table.rows[:SAMPLE] if (text := row.values.get(column, "").strip())]


def _may_hold(table: Table, column: str, task: Task) -> bool:
    """Whether the answers of that task can stand in a column: ratings are mostly numbers."""
    texts = _texts(table, column)
    return task.answer != "rating" or 2 * sum(read_number(text) is not None for text in texts) >= len(texts)


def _by_names(table: Table, wanted: _Wanted) -> tuple[Task, str, str] | None:
    """The task whose usual column names fit best, and whose answers may stand there."""
    best: tuple[int, Task, str, str] | None = None
    for task in (wanted.task,) if wanted.task else TASKS:
        source = (0, wanted.input) if wanted.input else _first_named(table.columns, task.input_columns)
        others = [column for column in table.columns if source is None or column != source[1]]
        target = (0, wanted.output) if wanted.output else _first_named(others, task.output_columns)
        if not source or not target or not (wanted.task or _may_hold(table, target[1], task)):
            continue
        if best is None or source[0] + target[0] < best[0]:
            best = (source[0] + target[0], task, source[1], target[1])
    return best[1:] if best else None


def _is_writing(texts: Sequence[str]) -> bool:
    """Whether a column holds what a person wrote, and not numbers, dates or one repeated value."""
    if not texts or len(set(texts)) == 1 < len(texts):
        return False
    plain = sum(not text.replace(".", "").replace("-", "").isdigit() and to_iso(text) is None for text in texts)
    return plain * 2 > len(texts)


def _mean_length(texts: Sequence[str]) -> float:
    return sum(map(len, texts)) / max(len(texts), 1)


def _task_of(table: Table, source: str, target: str) -> Task:
    """The task that an output column looks like: by its name, else by its values."""
    for task in TASKS:
        if target.lower() in task.output_columns[:1] and _may_hold(table, target, task):
            return task
    texts = _texts(table, target)
    if set(texts) <= RATINGS:
        return find_task("rating")
    if len(set(texts)) <= min(MOST_LABELS, len(texts) // 5):
        return find_task("tag")
    short = _mean_length(texts) * 2 < _mean_length(_texts(table, source))
    return find_task("title" if short else "chat")


def _by_lengths(table: Table, wanted: _Wanted) -> tuple[str | None, str | None]:
    """The longest column of writing as input, and the only shorter one as output."""
    writing = {column: _mean_length(texts) for column in table.columns if _is_writing(texts := _texts(table, column))}
    source = wanted.input
    if source is None:
        free = [column for column in writing if column != wanted.output]
        source = max(free, key=lambda column: writing[column], default=None)
    shorter = [column for column in writing if column != source and writing[column] < writing.get(source or "", 0)]
    usual = [column for column in table.columns if column != source and _first_named((column,), _all_outputs())]
    candidates = usual or shorter
    target = wanted.output or (candidates[0] if len(candidates) == 1 else None)
    return source, target


def _all_outputs() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for task in TASKS for name in task.output_columns))


def _names_both(wanted: _Wanted) -> bool:
    return wanted.task is None and wanted.input is not None and wanted.output is not None


def _guess_pair(table: Table, wanted: _Wanted) -> tuple[Task, str | None, str | None]:
    if table.format == "LaMP" and table.prompt is not None:
        return _guess_profile(table, wanted)
    if named := None if _names_both(wanted) else _by_names(table, wanted):
        return named
    source, target = _by_lengths(table, wanted)
    if source is None or target is None or source == target:
        return wanted.task or find_task("chat"), source, None if source == target else target
    return wanted.task or _task_of(table, source, target), source, target


def _guess_profile(table: Table, wanted: _Wanted) -> tuple[Task, str | None, str | None]:
    task = wanted.task or lamp.task_of(table.prompt or "")
    if task is None:
        raise FileNotUsable(
            "The prompts of this LaMP file are of no task that is known here; name the task with --task."
        )
    rule = lamp.RULES.get(task.lamp or "")
    if rule is None:
        return task, wanted.input, wanted.output
    # A record has an input: a LaMP-7 item can be one only where it carries a neutral text.
    return task, wanted.input or rule.input or rule.neutral, wanted.output or rule.output


def _may_be_date(table: Table, column: str) -> bool:
    """Whether a word of a column's name says that it is the date, and a value too."""
    words = [word.lower() for word in WORD_END.split(column) if word]
    if "date" not in words and "_".join(words) not in DATE_NAMES:
        return False
    texts = _texts(table, column)
    month_first = month_comes_first(texts)
    return any(to_iso(text, month_first) for text in texts)


def _guess_date(table: Table) -> str | None:
    named = _first_named(table.columns, DATE_NAMES)
    if named:
        return named[1]
    return next((column for column in table.columns if _may_be_date(table, column)), None)


def _mapping(table: Table, wanted: _Wanted) -> ColumnMapping:
    task, source, target = _guess_pair(table, wanted)
    return ColumnMapping(task.name, source, target, wanted.date or _guess_date(table))


def _problem(table: Table, mapping: ColumnMapping, name: str) -> str | None:
    columns = ", ".join(table.columns)
    if mapping.input is None or mapping.output is None:
        lacking = [
            flag for flag, column in (("--input", mapping.input), ("--output", mapping.output)) if column is None
        ]
        has = f"it has {columns}, so " if columns else ""
        return (
            f"It is not clear which columns of {name} hold the input and the output; "
            f"{has}name them with {' and '.join(lacking)}."
        )
    if mapping.output not in table.columns:
        return f"Expected a column {mapping.output!r} in {name}, which has {columns}; name the right one with --output."
    return None


def _clean(text: str) -> str:
    """Without what no store or model can hold: lone surrogates, NUL, foreign line ends."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    return text.encode("utf-8", "replace").decode("utf-8").strip() if not text.isascii() else text.strip()


def _reason(row: Row, mapping: ColumnMapping, labels: Sequence[str], source: str, target: str) -> str | None:
    if row.problem:
        return row.problem
    for what, column, text in (("input", mapping.input, source), ("output", mapping.output, target)):
        if not text:
            return f"the {what} ({column}) is empty"
        if len(text) > MAX_TEXT:
            return f"the {what} ({column}) has {len(text):,} characters, more than {MAX_TEXT:,}"
    if labels and target not in labels:
        return f"the output ({mapping.output}) is none of the task's labels"
    return None


def _sort_rows(
    table: Table, mapping: ColumnMapping, task: Task, tell: Told
) -> tuple[list[_Usable], list[Rejected], int]:
    """What can be used, what cannot, and how many dates of the former could not be read."""
    usable: list[_Usable] = []
    rejected: list[Rejected] = []
    unread_dates = 0
    # All of them: a file in the order of time may begin with hundreds of days that say nothing.
    month_first = month_comes_first({row.values.get(mapping.date or "", "") for row in table.rows})
    for row in told(table.rows, len(table.rows), tell):
        source = _clean(row.values.get(mapping.input or "", ""))
        target = _clean(row.values.get(mapping.output or "", ""))
        if reason := _reason(row, mapping, task.labels, source, target):
            rejected.append(Rejected(row.line, reason))
        else:
            written = row.values.get(mapping.date or "", "")
            date = to_iso(written, month_first)
            if date is None and written.strip():
                unread_dates += 1
            usable.append(_Usable(row.line, source, target, date))
    return usable, rejected, unread_dates


def _read(source: Source, user: str | None, tell: Told) -> tuple[Table, str]:
    """The rows of what a person brings, and its name."""
    if isinstance(source, Pasted):
        return read_pasted(source, user), source.name
    if isinstance(source, Notes):
        return read_notes(source, tell), source.name
    path = Path(source)
    if path.is_dir():
        return read_folder(path, tell), path.name
    read = read_text if path.suffix.lower() in SUFFIXES else read_table
    return read(path, user, tell), path.name


@dataclasses.dataclass(frozen=True)
class _Read:
    """What a person brings, as it would be taken in."""

    table: Table
    name: str
    mapping: ColumnMapping
    usable: list[_Usable]
    rejected: list[Rejected]
    unread_dates: int
    problem: str | None


def _examine(
    workspace: Workspace | None,
    source: Source,
    task: str | None,
    input: str | None,
    output: str | None,
    date: str | None,
    user: str | None,
    listen: Listener = quiet,
) -> _Read:
    known = find_any_task(workspace, task) if task else None
    table, name = _read(source, user, teller("reading", listen))
    wanted = _Wanted(
        known,
        _column(table, input, "--input"),
        _column(table, output, "--output"),
        _column(table, date, "--date"),
    )
    mapping = _mapping(table, wanted)
    if problem := _problem(table, mapping, name):
        return _Read(table, name, mapping, [], [], 0, problem)
    tell = teller("checking", listen)
    usable, rejected, unread_dates = _sort_rows(table, mapping, known or find_task(mapping.task), tell)
    problem = None if usable else _nothing_usable(name, rejected)
    return _Read(table, name, mapping, usable, rejected, unread_dates, problem)


def preview_file(
    path: Source,
    *,
    task: str | None = None,
    input: str | None = None,
    output: str | None = None,
    date: str | None = None,
    user: str | None = None,
    rows: int = 20,
    workspace: Workspace | None = None,
) -> Preview:
    """What importing would do, with the first rows; raises FileNotUsable where it cannot be read at all.

    `workspace` is where the person's own tasks are.
    """
    read = _examine(workspace, path, task, input, output, date, user)
    first = tuple((item.input, item.output, item.date) for item in read.usable[:rows])
    table = read.table
    return Preview(
        table.format,
        table.encoding,
        table.columns,
        read.mapping,
        first,
        len(read.usable),
        tuple(read.rejected),
        table.users,
        read.problem,
        read.unread_dates,
    )


def _nothing_usable(name: str, rejected: Sequence[Rejected]) -> str:
    first, count = rejected[0], len(rejected)
    which = f"The only row of {name} cannot" if count == 1 else f"None of the {count} rows of {name} can"
    return (
        f"{which} be used (line {first.line}: {first.reason}); "
        "check the columns, or name others with --input and --output."
    )


def _all_examined(read: _Read, origin: str, listen: Listener) -> list[NewRecord]:
    """The records that the rows become, looked at."""
    rows = told(read.usable, len(read.usable), teller("looking", listen))
    return [examined(read.mapping.task, row.input, row.output, row.date, origin) for row in rows]


def _without_twins(
    known: Known, usable: Sequence[_Usable], new: Sequence[NewRecord], tell: Told
) -> tuple[list[NewRecord], list[Rejected]]:
    """Records that are not almost the same as one that is stored or came before; those that are, by line."""
    kept, near = [], []
    for item, record in told(zip(usable, new, strict=True), len(new), tell):
        if twin := known.twin(record, f"line {item.line}"):
            near.append(Rejected(item.line, f"almost the same as {twin}"))
        else:
            kept.append(record)
    return kept, near


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the collector: it would walk hundreds of thousands of rows again and again, none of them in a cycle."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@_uncollected()
def import_file(
    workspace: Workspace,
    path: Source,
    *,
    task: str | None = None,
    input: str | None = None,
    output: str | None = None,
    date: str | None = None,
    user: str | None = None,
    source: str | None = None,
    keep_near: bool = False,
    listen: Listener = quiet,
) -> Imported:
    """Store the records of a file, a folder or a paste, none of them shared.

    `source` is what the records say of where they come from; the file's name unless given. Exact duplicates are left
    out, and near ones too unless `keep_near`. `listen` is told how far it is, every TOLD_EVERY rows of each step and
    once at its end. Raises FileNotUsable when no row can be used.
    """
    read = _examine(workspace, path, task, input, output, date, user, listen)
    if read.problem:
        raise FileNotUsable(read.problem)
    new = _all_examined(read, source or read.name, listen)
    near: list[Rejected] = []
    with workspace.store() as store:
        keep_up(store)
        if not keep_near:
            new, near = _without_twins(Known(store, new), read.usable, new, teller("comparing", listen))
        tell, rows = teller("storing", listen), len(new)
        outcome = records.add_records(store, new, lambda done: tell(done, rows))
    finished(rows, listen)
    return Imported(
        len(outcome.added), outcome.duplicates, tuple(read.rejected), outcome.added, tuple(near), read.unread_dates
    )


def report_csv(done: Imported) -> str:
    """The rows that were not imported as a CSV file: line and reason; one that a spreadsheet would run is defused."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["line", "reason"])
    for row in sorted((*done.rejected, *done.near), key=lambda row: row.line):
        writer.writerow([row.line, "'" + row.reason if row.reason[:1] in "=+-@" else row.reason])
    return file.getvalue()
