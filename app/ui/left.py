"""What left this computer: the whole ledger for Settings, its newest lines for Share."""

import dataclasses
import json

from app.pipeline.payload import LOCAL_DESTINATION
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.wording import counted
from personal_store import ledger
from personal_store.nouns import Upload

NEWEST = 5
"""Lines of the ledger that Share shows."""


def ledger_view(workspace: Workspace) -> views.View:
    """What left, or tried to; the newest line first."""
    with workspace.store() as store:
        lines, broken = ledger.uploads(store), ledger.broken_line(store)
    attempts = ledger.attempts(lines)
    rows = [
        [line.sent_at[:19].replace("T", " "), line.destination, str(len(line.record_ids)), f"{line.bytes:,}",
         line.sha256[:12], line.outcome, str(attempts[line.id])]
        for line in reversed(lines)
    ]  # fmt: skip
    summary = strings.LEDGER_WHOLE.format(lines=counted(len(lines), "line"))
    if broken is not None:
        summary = f"Line {broken} of the ledger is missing or was changed."
    exported = [json.dumps({**dataclasses.asdict(line), "attempt": attempts[line.id]}) for line in lines]
    return {
        "columns": list(strings.LEDGER_COLUMNS),
        "rows": rows[: views.LISTED],
        "summary": summary,
        "broken": broken is not None,
        "lines": "".join(f"{line}\n" for line in exported),
    }


def _line(line: Upload) -> views.View:
    """One line of the ledger in few words."""
    sent = line.outcome == "sent"
    where = strings.THIS_COMPUTER if line.destination == str(LOCAL_DESTINATION) else line.destination
    return {
        "id": line.id,
        "what": f"{counted(len(line.record_ids), 'record')}, {views.bytes_text(line.bytes)}",
        "outcome": line.outcome,
        "tone": "good" if sent else "warn",
        "where": f"{where} · {line.sent_at[:16].replace('T', ' ')} UTC",
        "sha256": line.sha256[:12],
    }


def newest_view(workspace: Workspace) -> views.View:
    """The newest lines of the ledger, and the way to all of them."""
    with workspace.store() as store:
        lines = ledger.uploads(store)
    if not lines:
        return {"summary": strings.NOTHING_LEFT[0] + "."}
    return {
        "summary": strings.LEFT_SUMMARY.format(uploads=counted(len(lines), "upload")),
        "rows": [_line(line) for line in reversed(lines[-NEWEST:])],
        "go": ["settings", strings.WHOLE_LEDGER],
    }
