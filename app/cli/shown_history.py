"""Results of the commands on the history, for people."""

from collections.abc import Mapping
from typing import Any

from app.cli.printing import say, table
from app.wording import counted, dates_unread, still_held, verb

Result = Mapping[str, Any]
SHOWN_ROWS = 20


def _preview(found: Result) -> None:
    mapping = found["mapping"]
    say(
        f"{found['format']}, {found['encoding']}, task {mapping['task']}: {counted(found['usable'], 'usable record')},"
        f" {counted(len(found['rejected']), 'row')} left out.{dates_unread(found['unread_dates'])}"
    )
    columns = (f"input ({mapping['input']})", f"output ({mapping['output']})", f"date ({mapping['date']})")
    table("The first as they would be read", columns, ([cell or "" for cell in row] for row in found["rows"]))
    say(f"Columns: {', '.join(found['columns'])}. Change them with --task, --input, --output and --date.")
    if found["problem"]:
        say(found["problem"])


def show_import(result: Result) -> None:
    """What an import did, or would do."""
    if "preview" in result:
        _preview(result["preview"])
        return
    left = [*result["rejected"], *result["near"]]
    say(
        f"{counted(result['imported'], 'record')} imported, {counted(result['duplicates'], 'duplicate')} and"
        f" {counted(len(result['near']), 'near duplicate')} left out,"
        f" {counted(len(result['rejected']), 'row')} rejected.{dates_unread(result['unread_dates'])}"
    )
    if left:
        table("Not imported", ("line", "reason"), ((row["line"], row["reason"]) for row in left[:SHOWN_ROWS]))
        if len(left) > SHOWN_ROWS:
            say(f"... and {len(left) - SHOWN_ROWS} more; --report FILE writes all of them.")


def badge(sent: Result | None) -> str:
    """How often a record left, in words."""
    if sent is None:
        return "never sent"
    times = {1: "sent once", 2: "sent twice"}.get(sent["times"], f"sent {sent['times']} times")
    return f"{times}, last on {sent['last'][:10]}"


def show_records(result: Result) -> None:
    """A page of records."""
    rows = (
        (
            record["id"],
            ", ".join(filter(None, ["shared" if record["shared"] else "", record["shared_as"] or ""])),
            record["task"],
            record["created_at"] or "",
            record["input"],
            record["output"],
            ", ".join(record["findings"]),
            badge(record["sent"]),
        )
        for record in result["records"]
    )
    table(
        counted(result["total"], "record"),
        ("id", "shared", "task", "written", "input", "output", "found", "sent"),
        rows,
    )


def show_add(result: Result) -> None:
    """A record that was added."""
    say(f"Record {result['added']['id']} is added; it is not shared.")


def _ids(ids: list[int]) -> str:
    return ", ".join(map(str, ids))


def _say_stale(adapters: list[int], them: str) -> None:
    """Which adapters learned from what is gone, which is `them` in words."""
    if adapters:
        which, are = verb(len(adapters), "Adapter", "Adapters"), verb(len(adapters), "is", "are")
        say(
            f"{which} {_ids(adapters)} learned from {them} and {are} stale now; `cdcda train` makes one without {them}."
        )


def show_edit(result: Result) -> None:
    """Records that were changed."""
    say(f"Changed: {_ids(result['edited'])}. `cdcda undo` takes it back.")


def show_delete(result: Result) -> None:
    """Records that were deleted."""
    deleted = result["deleted"]
    them = verb(len(deleted), "it", "them")
    say(f"Deleted: {_ids(deleted)}. `cdcda undo` brings {them} back, `cdcda forget` leaves no trace of {them}.")
    _say_stale(result["stale"], them)


def show_undo(result: Result) -> None:
    """What was undone."""
    if result["undone"] is None:
        say("There is nothing to undo.")
    else:
        say(f"Taken back: {_ids(result['records'])} {result['undone']}. Nothing is shared by undoing.")


def show_tasks(result: Result) -> None:
    """The tasks there are."""
    rows = (
        (task["name"], task["title"], task["answer"], ", ".join(task["labels"]), task["metric"], task["template"])
        for task in result["tasks"]
    )
    table("Tasks", ("name", "title", "answer", "labels", "metric", "prompt"), rows)


def show_forget(result: Result) -> None:
    """What is gone."""
    if result.get("everything"):
        say("All your data is deleted; models that you fetched are still here.")
    elif result.get("deleted"):
        say("Deletions and edits are final now.")
    for gone in result.get("forgotten", ()):
        say(f"Record {gone['record_id']} and {counted(gone['pairs'], 'pair')} made from it are gone.")
        if gone["answers"]:
            say(f"{counted(gone['answers'], 'answer')} written to its text, or holding it, went too.")
        _say_stale(gone["adapters"], "it")
    if result.get("train_again") and "trained" not in result:
        say(f"The adapter that is on is stale; train again with: cdcda train --task {result['train_again']}")
    say(*still_held(all(gone["erased"] for gone in result.get("forgotten", [result])), result["archives"]))


def show_archive(result: Result) -> None:
    """What went into an archive or came out of it."""
    rows = {name: count for name, count in result["rows"].items() if count}
    held = ", ".join(f"{count} {name}" for name, count in rows.items())
    say(f"{result['path']}: {held}; {counted(result['files'], 'file')}.")
