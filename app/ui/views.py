"""From nouns to what a view draws: plain dictionaries of texts and numbers, one function a view.

Texts go out as they are; assets/page/page.js puts them into the page as text nodes. Values that a person can change in
the page carry a `stamp`, because Gradio delivers a value only when it differs from the one before, and a box that was
clicked must be set again even when the server's answer is the same.
"""

import dataclasses
import difflib
import math
import re
import time
from collections.abc import Sequence
from typing import Any

from app.pipeline.forecasting import in_minutes
from app.pipeline.importing import Imported, report_csv
from app.pipeline.sensitivity import Pieces, pieces
from app.pipeline.sharing import Found
from app.tasks import TASKS
from app.ui import strings
from app.wording import counted, dates_unread, verb
from personal_store.nouns import Adapter, Record, Sent

View = dict[str, Any]

PAGE_SIZE = 50
CARDS = 20
LISTED = 50
"""Lines of a report that are shown; the file to download has all."""


def stamp() -> int:
    """A number that never came before, and larger than all before: a view that carries it shows what was so then."""
    return time.monotonic_ns()


def bytes_text(size: int) -> str:
    """1.1 GB, 93 MB, 512 bytes."""
    for unit, name in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:.0f} {name}"
    return f"{size} bytes"


def duration(seconds: float) -> str:
    """About how long, for people: 40 s, 3 min, 2 h 5 min."""
    return in_minutes(seconds)


def pages(total: int, page: int, size: int) -> View:
    """Where a page lies in a list of `total` items, with `page` brought into range."""
    last_page = max(1, math.ceil(total / size))
    page = min(max(1, page), last_page)
    first = (page - 1) * size
    return {
        "page": page,
        "pages": last_page,
        "total": total,
        "first": first + 1,
        "last": min(total, first + size),
    }


def way_to(tab: str) -> list[str]:
    """What a button needs that opens a tab: its id and the button's words."""
    return [tab, strings.GO_TO.format(strings.TAB_TITLES[tab])]


def empty(words: tuple[str, str], tab: str = "") -> View:
    """An empty state: a title, what to do next, and the tab where that is done, if it is another one."""
    return {"title": words[0], "text": words[1], "go": way_to(tab) if tab else None}


def task_title(name: str) -> str:
    """The task's name for people; a task of the person's own goes by its name."""
    return next((task.title for task in TASKS if task.name == name), name)


def badge(sent: Sent | None) -> str:
    """How often a record left, in words."""
    if sent is None:
        return "never sent"
    times = {1: "sent once", 2: "sent twice"}.get(sent.times, f"sent {sent.times} times")
    return f"{times}, last on {sent.last[:10]}"


def _pieces(found: Pieces) -> list[list[str]] | None:
    """A text's pieces for the page, None where nothing was found in it."""
    return [list(piece) for piece in found] if any(kind for _, kind in found) else None


def found_things(found: Found) -> View:
    """What was found in a record, by kind and where it stands in its texts."""
    return {
        "things": [list(thing) for thing in found.things],
        "input": [list(piece) for piece in found.input],
        "output": [list(piece) for piece in found.output],
    }


def record_row(record: Record, sent: Sent | None = None, *, marked: bool = False) -> View:
    """One record in a list; with `marked` its texts also come in pieces where something personal was found."""
    looked = marked and bool(record.findings)
    source, target = map(_pieces, pieces(record.input, record.output)) if looked else (None, None)
    return {
        "input_pieces": source,
        "output_pieces": target,
        "id": record.id,
        "task": task_title(record.task),
        "date": (record.created_at or "")[:10],
        "input": record.input,
        "output": record.output,
        "shared": record.shared,
        "by": record.shared_by,
        "name": record.task,
        "findings": list(record.findings or ()),
        "redacted": record.shared_as == "redacted",
        "sent": badge(sent),
    }


def record_list(
    rows: Sequence[View],
    matching: int,
    page: int,
    shared: int,
    total: int,
    hint: tuple[str, str],
    tab: str = "",
) -> View:
    """A page of the matching records, with counts over all; `hint` is what none at all says, `tab` where to go then."""
    nothing = empty(strings.NOTHING_FOUND) if total else empty(hint, tab)
    words = None if matching else nothing
    return {
        "rows": list(rows),
        **pages(matching, page, PAGE_SIZE),
        "shared": shared,
        "all": total,
        "empty": words,
        "stamp": stamp(),
    }


def trained_on(adapter: Adapter) -> str:
    """The model that an adapter was trained on, and the base under it."""
    base = adapter.manifest.get("task_base")
    return f"{adapter.base} with the base {base['name']}" if base else adapter.base


def fact(label: str, value: str, detail: str = "", tone: str = "plain", *, code: bool = False) -> View:
    """A label and its value, in the header or in a panel."""
    return {"id": label, "label": label, "value": value, "detail": detail, "tone": tone, "code": code}


def curve(losses: Sequence[tuple[int, float]], held_out: Sequence[tuple[int, float]], steps: int) -> View | None:
    """The loss over the steps, or None before there are two points; long runs are thinned to 300 points."""
    if len(losses) < 2:
        return None
    stride = max(1, len(losses) // 300)
    thinned = [*losses[:-1:stride], losses[-1]]
    return {
        "losses": thinned,
        "held_out": list(held_out),
        "steps": steps,
        "description": f"Loss from {losses[0][1]:.2f} to {losses[-1][1]:.2f} in {counted(losses[-1][0], 'step')}",
    }


_PARTS = re.compile(r"\w+|[^\w\s]")


def differing(original: str, text: str) -> list[list[Any]]:
    """A text as runs of [text, whether its words are not the original's], in order; a marked one ends with a word."""
    before, after = _PARTS.findall(original.casefold()), list(_PARTS.finditer(text))
    matcher = difflib.SequenceMatcher(None, before, [word.group().casefold() for word in after], autojunk=False)
    runs, start = [], 0
    for kind, _, _, first, last in matcher.get_opcodes():
        if last > first:
            differs = kind != "equal"
            end = after[last].start() if last < len(after) and not differs else after[last - 1].end()
            runs.append([text[start:end], differs])
            start = end
    if start < len(text):
        runs.append([text[start:], False])
    return runs


def notice(title: str, text: str, tone: str = "plain", command: str = "", tab: str = "") -> View:
    """A panel with a sentence or two, perhaps with a command to copy or a tab to go to."""
    return {"title": title, "text": text, "tone": tone, "command": command, "go": way_to(tab) if tab else None}


def imported_report(done: Imported) -> View:
    """What became of a file's lines."""
    parts = [f"{done.imported} imported"]
    if done.duplicates:
        parts.append(f"{done.duplicates} already there")
    if done.near:
        parts.append(f"{len(done.near)} almost the same as others")
    if done.rejected:
        parts.append(f"{len(done.rejected)} rejected")
    left_out = sorted((*done.rejected, *done.near), key=lambda line: line.line)
    return {
        "headline": ", ".join(parts) + "." + dates_unread(done.unread_dates),
        "rejected": [dataclasses.asdict(line) for line in left_out[:LISTED]],
        "rejected_title": f"Why {counted(len(left_out), 'line')} {verb(len(left_out), 'was', 'were')} left out",
        "csv": report_csv(done) if left_out else "",
        "go": way_to("share") if done.imported or done.duplicates else None,
        "stamp": stamp(),
    }
