"""Commands on the person's history: in, by hand, out again."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import BadInput, FileNotUsable
from app.pipeline import archive, editing, forgetting, importing, tasks
from app.pipeline.cleaning import clean
from app.pipeline.notes import Pasted
from app.pipeline.reading import decode
from app.pipeline.workspace import Workspace
from personal_store import ledger, records
from personal_store.nouns import Record, RecordQuery

Result = Mapping[str, Any]


def write_private(path: str, text: str) -> None:
    """Write a file of the person's that they alone can read; raises FileNotUsable."""
    try:
        with open(
            os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline=""
        ) as file:
            file.write(text)
    except OSError as error:
        raise FileNotUsable(f"{path} cannot be written ({error.strerror}); name another file.") from None


def standard_input() -> str:
    """What is piped in, in whatever encoding, as a file would be read; raises FileNotUsable where it is no text."""
    text, _ = decode(sys.stdin.buffer.read(), "standard input")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _preview(workspace: Workspace, source: importing.Source, named: dict[str, Any]) -> Result:
    found = importing.preview_file(source, workspace=workspace, **named)
    return {"preview": dataclasses.asdict(found)}


def bring_in(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda import`."""
    from app.cli.display import import_bar

    source: importing.Source = Pasted(standard_input()) if options.file == "-" else options.file
    # A file's name may be of any bytes, and what records say of where they come from is text.
    origin = None if options.file == "-" else clean(Path(options.file).name)
    named = {name: getattr(options, name) for name in ("task", "input", "output", "date", "user")}
    if options.preview:
        return _preview(workspace, source, named)
    with import_bar(quiet=options.json) as listen:
        done = importing.import_file(
            workspace, source, keep_near=options.keep_near, listen=listen, source=origin, **named
        )
    if options.report:
        write_private(options.report, importing.report_csv(done))
    rejected, near = ([dataclasses.asdict(row) for row in rows] for rows in (done.rejected, done.near))
    return {
        "imported": done.imported,
        "duplicates": done.duplicates,
        "near": near,
        "rejected": rejected,
        "unread_dates": done.unread_dates,
    }


def listed(record: Record) -> dict[str, Any]:
    """A record for a listing."""
    return {**dataclasses.asdict(record), "findings": list(record.findings or ())}


def show_records(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda records`."""
    query = RecordQuery(
        text=options.search,
        task=tasks.find_task(workspace, options.task).name if options.task else None,
        shared=True if options.shared else None,
        order=options.order,
        offset=max(0, options.offset),
        limit=options.limit,
        sensitive=True if options.sensitive else None,
    )
    with workspace.store() as store:
        page = records.find_records(store, query)
        sent = ledger.sent_records(store, [record.id for record in page.records])
    found = [
        {**listed(record), "sent": dataclasses.asdict(sent[record.id]) if record.id in sent else None}
        for record in page.records
    ]
    return {"total": page.total, "records": found}


def add(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda add`."""
    return {"added": listed(editing.add(workspace, options.task, options.input, options.output, options.date))}


def edit(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda edit`."""
    if len(options.ids) == 1:
        record = editing.edit(workspace, options.ids[0], task=options.task, input=options.input, output=options.output)
        return {"edited": [record.id]}
    if options.task is None or options.input is not None or options.output is not None:
        raise BadInput("Several records can be given a task and not one text; name one record, or give --task alone.")
    return {"edited": [record.id for record in editing.set_task(workspace, options.ids, options.task)]}


def delete(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda delete`."""
    return {"deleted": options.ids, "stale": list(editing.delete(workspace, options.ids))}


def undo(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda undo`."""
    change = editing.undo(workspace)
    return {"undone": change.kind if change else None, "records": list(change.record_ids) if change else []}


def show_tasks(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda tasks`."""
    if options.make:
        tasks.make_task(
            workspace,
            options.make,
            options.template or "",
            title=options.title,
            answer=options.answer,
            labels=tuple(options.labels.split(",")),
            metric=options.metric,
        )
    if options.delete:
        tasks.delete_task(workspace, options.delete)
    return {"tasks": [tasks.as_dict(task) for task in tasks.all_tasks(workspace)]}


def _train_again(workspace: Workspace, options: argparse.Namespace, task: str | None) -> Result:
    from app.cli.following import follow_to_end
    from app.pipeline import jobs

    if task is None or not options.train:
        return {}
    job = jobs.start_train(workspace, jobs.TrainSettings(task=task))
    return {"trained": follow_to_end(workspace, job, quiet=options.json)}


def forget(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda forget`."""
    if options.everything:
        if not options.yes:
            raise BadInput("This deletes all your records, pairs, adapters and the ledger; repeat it with --yes.")
        erased = forgetting.delete_everything(workspace)
        return {"everything": True, "erased": erased, "archives": list(forgetting.archives(workspace))}
    if options.deleted:
        erased = forgetting.forget_deleted(workspace)
        return {"deleted": True, "erased": erased, "archives": list(forgetting.archives(workspace))}
    gone = forgetting.forget_all(workspace, options.ids)
    task = forgetting.retrain_task(workspace)
    return {
        "forgotten": [dataclasses.asdict(item) for item in gone],
        "train_again": task,
        "archives": list(forgetting.archives(workspace)),
        **_train_again(workspace, options, task),
    }


def export(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda export`."""
    return dataclasses.asdict(archive.export_archive(workspace, Path(options.file)))


def restore(workspace: Workspace, options: argparse.Namespace) -> Result:
    """`cdcda restore`."""
    return dataclasses.asdict(archive.import_archive(workspace, Path(options.file)))
