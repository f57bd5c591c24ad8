"""The ledger of what left the computer, or tried to. It can only grow; each line carries the hash of the one before.

The database itself refuses a change or a deletion; `broken_line` finds one that was made behind its back. Where the
ledger ends is kept apart from it, so that its last lines are missed too.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from personal_store import preferences
from personal_store.nouns import Sent, Upload
from personal_store.store import Row, Store, ids_json, now

START = "0" * 64
"""Stands for the hash of the line before the first."""

END = "end of the ledger"
"""The preference that holds number and hash of the last line."""


def _line_hash(line: Row) -> str:
    """SHA-256 (hex) of a line without its own hash: its fields in the order of `Upload`, as JSON."""
    fields: list[Any] = [line[name] for name in ("id", "sent_at", "destination", "record_ids", "bytes", "sha256")]
    return hashlib.sha256(json.dumps([*fields, line["outcome"], line["previous_hash"]]).encode()).hexdigest()


def _upload(row: Row) -> Upload:
    return Upload(**{**row, "record_ids": tuple(json.loads(row["record_ids"]))})


def append_upload(
    store: Store, destination: str, record_ids: Iterable[int], bytes: int, sha256: str, outcome: str
) -> Upload:
    """Write a line at the ledger's end; `outcome` is "sent", or why it did not leave."""
    with store.change():
        last = store.row("SELECT id, line_hash FROM uploads ORDER BY id DESC LIMIT 1") or {"id": 0, "line_hash": START}
        line = {
            "id": last["id"] + 1,
            "sent_at": now(),
            "destination": destination,
            "record_ids": ids_json(record_ids),
            "bytes": bytes,
            "sha256": sha256,
            "outcome": outcome,
            "previous_hash": last["line_hash"],
        }
        hash = _line_hash(line)
        preferences.put(store, END, [line["id"], hash])
        return _upload(store.insert("uploads", {**line, "line_hash": hash}))


def uploads(store: Store) -> tuple[Upload, ...]:
    """Every line, the first one first."""
    return tuple(map(_upload, store.rows("SELECT * FROM uploads ORDER BY id")))


def count_uploads(store: Store) -> int:
    """How many lines there are."""
    return int(store.rows("SELECT count(*) AS lines FROM uploads")[0]["lines"])


def sent_records(store: Store, ids: Iterable[int]) -> Mapping[int, Sent]:
    """How often each of those records left, and when last; a record that never left is not in it."""
    rows = store.rows(
        "SELECT value AS id, count(*) AS times, max(sent_at) AS last FROM uploads, json_each(record_ids)"
        " WHERE outcome = 'sent' AND value IN (SELECT value FROM json_each(?)) GROUP BY value",
        [ids_json(ids)],
    )
    return {row["id"]: Sent(row["times"], row["last"]) for row in rows}


def attempts(lines: Iterable[Upload]) -> Mapping[int, int]:
    """For each line the number of the attempt at sending its body: 1, and 2 and up for retries."""
    seen: dict[str, int] = {}
    numbers = {}
    for line in lines:
        seen[line.sha256] = numbers[line.id] = seen.get(line.sha256, 0) + 1
    return numbers


def broken_line(store: Store) -> int | None:
    """Number of the first line that is missing, was changed or was put in, None when the ledger is whole."""
    previous, number = START, 0
    for number, row in enumerate(store.rows("SELECT * FROM uploads ORDER BY id"), start=1):
        if row["id"] != number or row["previous_hash"] != previous or row["line_hash"] != _line_hash(row):
            return number
        previous = row["line_hash"]
    # A ledger whose last line is older than this preference has none yet.
    end: list[Any] = preferences.get(store, END, [number, previous])
    if end[0] != number:
        return min(int(end[0]), number) + 1
    return None if end[1] == previous else number
