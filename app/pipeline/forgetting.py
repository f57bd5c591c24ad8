"""Take records back: they and everything made from them go without a trace; adapters that learned from them are stale.

What an unfinished training learned from them goes too, and so does what killed processes left: answers of a measuring,
an adapter of a probe, an archive that is half written.

Training again without them is the way to be rid of what an adapter learned; `retrain_task` says of which task.
"""

import shutil
from collections.abc import Sequence

from app.device import tidying, writing
from app.errors import JobRefused
from app.pipeline import jobs, network
from app.pipeline.adapters import UNFINISHED
from app.pipeline.unfinished import remove_unfinished
from app.pipeline.workspace import Workspace
from personal_store import forgetting, records, training
from personal_store.nouns import ALIVE, Forgotten


def _remove_left(workspace: Workspace) -> None:
    """Remove what processes left unfinished that may hold what is forgotten."""
    writing.remove_abandoned(workspace.exports)
    tidying.remove_abandoned(workspace.prepared)
    jobs.refresh(workspace)
    remove_unfinished(workspace)


def forget(workspace: Workspace, record_id: int) -> Forgotten:
    """Delete the record and everything made from it; raises NotFound. Train again to be rid of stale adapters."""
    return forget_all(workspace, [record_id])[0]


def forget_all(workspace: Workspace, ids: Sequence[int]) -> tuple[Forgotten, ...]:
    """The same for several records; raises NotFound before anything is changed."""
    with workspace.store() as store:
        gone = forgetting.forget_records(store, ids)
    _remove_left(workspace)
    return gone


def forget_deleted(workspace: Workspace) -> bool:
    """Make deletions and edits final: what could be undone goes without a trace. Whether nothing is left."""
    with workspace.store() as store:
        erased = forgetting.forget_changes(store)
    _remove_left(workspace)
    return erased


def archives(workspace: Workspace) -> tuple[str, ...]:
    """Archives among the exports, one that is being written too: they still hold what they held when they were made,
    whatever was forgotten since."""
    written = workspace.exports.glob("*.zip.*.part")
    return tuple(str(path) for path in sorted([*workspace.exports.glob("*.zip"), *written]))


def retrain_task(workspace: Workspace) -> str | None:
    """The task to train again: that of the active adapter when it is stale and records of the task are left."""
    with workspace.store() as store:
        active = training.active_adapter(store)
        if active is None or not active.stale:
            return None
        task = active.manifest.get("task")
        return str(task) if task in records.count_records(store).by_task else None


def delete_everything(workspace: Workspace) -> bool:
    """Delete every record, pair, adapter, job, setting and the ledger.

    Fetched models, exports and the offline switch stay. True as `forget` says it; raises JobRefused while a job is at
    work.
    """
    if any(job.state in ALIVE for job in jobs.listing(workspace)):
        raise JobRefused(
            "A job is at work on your data; stop it first (`cdcda jobs --stop ID`), then delete everything."
        )
    with workspace.store() as store:
        erased = forgetting.forget_everything(store, kept=[network.PREFERENCE])
    writing.remove_abandoned(workspace.exports)
    for parent in (workspace.data_dir, workspace.exports):
        for folder in parent.glob(f"{UNFINISHED}*"):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in (workspace.adapters, workspace.prepared, workspace.logs):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return erased
