"""The list of records, as the History and the Share tab both show it."""

from app.pipeline.looking import look
from app.pipeline.workspace import Workspace
from app.ui import views
from personal_store import ledger, records
from personal_store.nouns import RecordQuery


def first_of(page: float) -> int:
    """How many records stand before that page; pages count from 1."""
    return (max(1, int(page)) - 1) * views.PAGE_SIZE


def list_records(
    workspace: Workspace,
    query: RecordQuery,
    page: float,
    hint: tuple[str, str],
    tab: str = "",
    *,
    marked: bool = False,
) -> views.View:
    """The page of the records that match, looked at, with how often each left.

    `hint` is what an empty history says, `tab` where to go then; with `marked` what looks personal is marked in the
    texts, for which a recogniser of names, where there is one, is loaded.
    """
    with workspace.store() as store:
        look(store)
        found = records.find_records(store, query)
        sent = ledger.sent_records(store, [record.id for record in found.records])
        counts = records.count_records(store)
    rows = [views.record_row(record, sent.get(record.id), marked=marked) for record in found.records]
    return views.record_list(rows, found.total, int(page), counts.shared, counts.total, hint, tab)
