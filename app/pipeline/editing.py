"""Records by hand: added, kept of an answer, edited, given another task, deleted, and all of it undone."""

from collections.abc import Sequence

from app.errors import BadInput
from app.pipeline.cleaning import clean
from app.pipeline.dates import to_iso
from app.pipeline.looking import change_looked_at, examined, look
from app.pipeline.tasks import all_tasks, find_task
from app.pipeline.workspace import Workspace
from app.tasks import Task
from cloud_stub.schemas import MAX_TEXT
from personal_store import changes, records
from personal_store.errors import AlreadyStored
from personal_store.nouns import Change, Record

WRITTEN_HERE = "written here"


def own_text(what: str, text: str) -> str:
    """What a person wrote, cleaned and without blanks around it; raises BadInput where it is empty or too long."""
    text = clean(text.replace("\r\n", "\n")).strip()
    if not text or len(text) > MAX_TEXT:
        raise BadInput(f"The {what} has 1 to {MAX_TEXT:,} characters, got {len(text):,}; write a text of that length.")
    return text


def _check_label(task: Task, output: str) -> None:
    if task.labels and output not in task.labels:
        raise BadInput(f"The task {task.name} answers with one of {', '.join(task.labels)}; choose one of these.")


def _check_tasks(workspace: Workspace, back: Sequence[Record]) -> None:
    """Raise BadInput where a record that comes back is of a task that was deleted since."""
    if gone := {record.task for record in back}.difference(task.name for task in all_tasks(workspace)):
        raise BadInput(
            f"This cannot be undone because there is no task {', '.join(map(repr, sorted(gone)))} any more; make it"
            " again, then undo."
        )


def add(workspace: Workspace, task: str, input: str, output: str, date: str | None = None) -> Record:
    """Add one record; it is not shared. Raises BadInput and AlreadyStored."""
    found = find_task(workspace, task)
    when = to_iso(date) if date else None
    if date and when is None:
        raise BadInput(f"Expected a date like 2024-05-31, got {date!r}; correct it or leave it out.")
    source, target = own_text("input", input), own_text("output", output)
    _check_label(found, target)
    with workspace.store() as store:
        return changes.add_record(store, examined(found.name, source, target, when, WRITTEN_HERE))


def keep_answer(workspace: Workspace, task: str, input: str, output: str, date: str | None = None) -> Record | None:
    """Make an answer that the person likes a record of their history, not shared; None where it is one already.

    Can be undone like any addition; raises BadInput for texts and tasks that `add` refuses.
    """
    try:
        return add(workspace, task, input, output, date)
    except AlreadyStored:
        return None


def edit(
    workspace: Workspace, id: int, *, task: str | None = None, input: str | None = None, output: str | None = None
) -> Record:
    """Change a record, None leaving as it is; raises BadInput, NotFound and AlreadyStored.

    It stays shared only while nothing personal is found in its new text.
    """
    if task is None and input is None and output is None:
        raise BadInput("An edit changes the input, the output or the task; give one of them.")
    name = None if task is None else find_task(workspace, task).name
    source = None if input is None else own_text("input", input)
    target = None if output is None else own_text("output", output)
    with workspace.store() as store, change_looked_at(store):
        (record,) = changes.edit_records(store, [id], task=name, input=source, output=target)
        _check_label(find_task(workspace, record.task), record.output)
        look(store)
        return record


def set_task(workspace: Workspace, ids: Sequence[int], task: str) -> tuple[Record, ...]:
    """Give records another task, as one change; raises BadInput, NotFound and AlreadyStored."""
    found = find_task(workspace, task)
    with workspace.store() as store, change_looked_at(store):
        edited = changes.edit_records(store, ids, task=found.name)
        for record in edited:
            _check_label(found, record.output)
        look(store)
        return edited


def delete(workspace: Workspace, ids: Sequence[int]) -> tuple[int, ...]:
    """Delete records so that it can be undone; adapters that learned from them, now stale. Raises NotFound."""
    with workspace.store() as store:
        return changes.delete_records(store, ids)


def undo(workspace: Workspace) -> Change | None:
    """Take the last addition, edit or deletion back; None when there is none left. Shares nothing.

    Raises AlreadyStored, and BadInput where a record's task was deleted meanwhile; then nothing is changed.
    """
    with workspace.store() as store, change_looked_at(store):
        change = changes.undo_change(store)
        if change is not None and change.kind != "added":
            _check_tasks(workspace, records.get_records(store, change.record_ids))
        look(store)
        return change
