"""Take a record back: it, its pairs and what was decided on them go; adapters that learned from it become stale."""

from app.pipeline.workspace import Workspace
from personal_store import records
from personal_store.nouns import Forgotten


def forget(workspace: Workspace, record_id: int) -> Forgotten:
    """Delete the record and everything made from it; raises NotFound. Train again to be rid of stale adapters."""
    with workspace.store() as store:
        return records.forget_record(store, record_id)
