"""The list of records, as the History and the Share tab both show it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import BadInput
from app.pipeline.looking import look
from app.pipeline.workspace import Workspace
from app.ui import views
from personal_store import ledger, records
from personal_store.nouns import RecordPage, RecordQuery
from personal_store.store import Store

FILTERS: Mapping[str, tuple[bool | None, bool | None]] = {
    "": (None, None),
    "shared": (True, None),
    "kept": (False, None),
    "sensitive": (None, True),
}
"""What each choice under "Show" asks of the store: shared, with findings."""


def known(what: str, choice: Any, choices: Sequence[str]) -> Any:
    """The choice, where it is one; raises BadInput."""
    if choice not in choices:
        named = ", ".join(name or '""' for name in choices)
        raise BadInput(f"There is no {what} {choice!r}; choose one of {named}.")
    return choice


def filter_of(only: Any) -> tuple[bool | None, bool | None]:
    """What a choice under "Show" asks of the store; raises BadInput."""
    return FILTERS[known("choice of what to show", only or "", list(FILTERS))]


def _page_of(store: Store, query: RecordQuery, page: float) -> RecordPage:
    """That page of the records that match; pages count from 1."""
    offset = (max(1, int(page)) - 1) * views.PAGE_SIZE
    return records.find_records(store, dataclasses.replace(query, offset=offset, limit=views.PAGE_SIZE))


def left_so_far(workspace: Workspace) -> str:
    """How many uploads the ledger has; a change draws the lists again, which say of each record how often it left."""
    with workspace.store() as store:
        return str(ledger.count_uploads(store))


def list_records(
    workspace: Workspace,
    query: RecordQuery,
    page: float,
    hint: tuple[str, str],
    tab: str = "",
    *,
    marked: bool = False,
) -> views.View:
    """A page of the records that match, looked at, with how often each left; the last one where `page` lies behind it.

    `hint` is what an empty history says, `tab` where to go then; with `marked` what looks personal is marked in the
    texts, for which a recogniser of names, where there is one, is loaded.
    """
    with workspace.store() as store:
        look(store)
        found = _page_of(store, query, page)
        if found.total and not found.records:
            found = _page_of(store, query, views.pages(found.total, int(page), views.PAGE_SIZE)["page"])
        sent = ledger.sent_records(store, [record.id for record in found.records])
        counts = records.count_records(store)
    rows = [views.record_row(record, sent.get(record.id), marked=marked) for record in found.records]
    return views.record_list(rows, found.total, int(page), counts.shared, counts.total, hint, tab)
