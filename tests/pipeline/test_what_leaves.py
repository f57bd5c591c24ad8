"""Whatever a person does, in whatever order, what reaches the service is what they approved, and nothing else."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.errors import ApprovalMismatch, NeedsConsent, NothingShared
from app.pipeline import editing
from app.pipeline.cloud import send_approved
from app.pipeline.forgetting import forget_all
from app.pipeline.importing import import_file
from app.pipeline.notes import Pasted
from app.pipeline.payload import Payload, build_payload, destination_of, outgoing, rebuild_payload
from app.pipeline.sharing import share_ids, share_none, share_ratio
from app.pipeline.workspace import open_workspace
from personal_store import ledger, records
from personal_store.errors import AlreadyStored
from personal_store.nouns import Record, RecordQuery
from tests.pipeline.recording_service import recording_service

SECRET = "jo@example.org"
PICKS = st.integers(0, 50)


def _as_it_leaves(record: Record) -> tuple[str, ...]:
    return (record.task, *outgoing(record)[0])


class Sharing(RuleBasedStateMachine):
    """A person at the page, a model of what they agreed to, and a service that keeps every byte."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.workspace = open_workspace(Path(self.folder.name))
        self.running = recording_service()
        self.service = self.running.__enter__()
        self.texts: dict[int, str] = {}
        self.hand: dict[int, bool] = {}
        self.agreed: dict[int, str] = {}
        self.approved: list[bytes] = []
        self.number = 0
        self.pending: tuple[Payload, dict[int, tuple[str, ...]]] | None = None

    def teardown(self) -> None:
        self.running.__exit__(None, None, None)
        self.folder.cleanup()

    def _new_text(self, secret: bool) -> str:
        self.number += 1
        return f"canary-{self.number:04} " + (f"write to {SECRET} now" if secret else "sings")

    def _pick(self, pick: int) -> int:
        return sorted(self.texts)[pick % len(self.texts)]

    def _now(self) -> dict[int, Any]:
        with self.workspace.store() as store:
            return {record.id: record for record in records.all_records(store)}

    @initialize()
    def begin(self) -> None:
        self.bring_in([False, True, False])

    @rule(kinds=st.lists(st.booleans(), min_size=1, max_size=4))
    def bring_in(self, kinds: list[bool]) -> None:
        texts = [self._new_text(secret) for secret in kinds]
        rows = [{"abstract": text, "title": f"Title {text[:11]}"} for text in texts]
        before = self._now()
        done = import_file(self.workspace, Pasted(json.dumps(rows)), keep_near=True)
        self.texts |= dict(zip(done.ids, texts, strict=True))
        after = self._now()
        assert all(not after[id].shared for id in done.ids)
        assert all(after[id].shared == record.shared for id, record in before.items())

    @precondition(lambda self: self.texts)
    @rule(pick=PICKS, secret=st.booleans())
    def edit(self, pick: int, secret: bool) -> None:
        id, text = self._pick(pick), self._new_text(secret)
        editing.edit(self.workspace, id, input=text)
        self.texts[id] = text
        self.agreed.pop(id, None)
        if secret and self.hand.get(id):
            # It is shared no more, by nobody's hand.
            self.hand.pop(id)

    @precondition(lambda self: self.texts)
    @rule(pick=PICKS, wish=st.booleans(), consent=st.sampled_from([None, "confirmed", "redacted"]))
    def tick(self, pick: int, wish: bool, consent: Any) -> None:
        id = self._pick(pick)
        secret = SECRET in self.texts[id]
        try:
            share_ids(self.workspace, [id], wish, consent)
        except NeedsConsent:
            assert wish
            assert secret
            assert consent is None
            return
        self.hand[id] = wish
        if secret and wish and consent:
            self.agreed[id] = consent
        if not wish:
            self.agreed.pop(id, None)

    @precondition(lambda self: self.texts)
    @rule(ratio=st.floats(0, 1), strategy=st.sampled_from(["random", "newest", "careful"]), seed=st.integers(0, 3))
    def slide(self, ratio: float, strategy: Any, seed: int) -> None:
        share_ratio(self.workspace, ratio, strategy, seed)
        for id, wish in self.hand.items():
            if id in self.texts and (SECRET not in self.texts[id] or id in self.agreed):
                assert self._now()[id].shared == wish

    @rule()
    def none(self) -> None:
        share_none(self.workspace)
        self.agreed.clear()
        self.hand = dict.fromkeys(self.hand, False)

    @rule(
        text=st.sampled_from(["", "canary", "sings", "write"]),
        page=st.integers(0, 3),
        order=st.sampled_from(["newest", "oldest", "imported"]),
        shared=st.sampled_from([None, True, False]),
    )
    def look_around(self, text: str, page: int, order: Any, shared: bool | None) -> None:
        before = self._now()
        with self.workspace.store() as store:
            records.find_records(store, RecordQuery(text, None, shared, order, page * 2, 2))
        assert self._now() == before

    @precondition(lambda self: self.texts)
    @rule(pick=PICKS, trace=st.booleans())
    def remove(self, pick: int, trace: bool) -> None:
        id = self._pick(pick)
        if trace:
            editing.delete(self.workspace, [id])
        else:
            forget_all(self.workspace, [id])
        self.texts.pop(id)
        self.agreed.pop(id, None)
        self.hand.pop(id, None)

    @rule()
    def undo(self) -> None:
        before = {id for id, record in self._now().items() if record.shared}
        try:
            editing.undo(self.workspace)
        except AlreadyStored:
            return
        now = self._now()
        assert {id for id, record in now.items() if record.shared} <= before
        for id, record in now.items():
            if self.texts.get(id) != record.input:
                assert not record.shared
                self.agreed.pop(id, None)
                if self.hand.get(id):
                    self.hand.pop(id)
        self.texts = {id: record.input for id, record in now.items()}

    @rule(stale=st.booleans())
    def send(self, stale: bool) -> None:
        destination = destination_of(self.service.url)
        try:
            payload = build_payload(self.workspace, destination, k=1)
        except NothingShared:
            return
        approval = payload.approval
        if stale:
            approval = "0" * 64
            with pytest.raises(ApprovalMismatch):
                list(send_approved(self.workspace, payload, approval, self.service.address))
            return
        self.approved.append(payload.body)
        self._check_body(payload.body)
        list(send_approved(self.workspace, payload, approval, self.service.address))

    @precondition(lambda self: self.texts)
    @rule(task=st.sampled_from(["title", None]))
    def approve(self, task: str | None) -> None:
        """Approve what is shared now; it may be sent later, whatever is done to the records meanwhile."""
        try:
            payload = build_payload(self.workspace, destination_of(self.service.url), k=1, task=task)
        except NothingShared:
            return
        now = self._now()
        self.pending = payload, {id: _as_it_leaves(now[id]) for id in payload.record_ids}

    @precondition(lambda self: self.pending is not None)
    @rule(again=st.booleans())
    def send_what_was_approved(self, again: bool) -> None:
        """As a job does it: the payload is built anew from its ids, and is the approved one or is refused."""
        assert self.pending is not None
        payload, then = self.pending
        now = self._now()
        same = all(id in now and now[id].shared and _as_it_leaves(now[id]) == texts for id, texts in then.items())
        build = functools.partial(
            rebuild_payload, self.workspace, payload.destination, payload.record_ids, payload.settings, payload.uploads
        )
        if not same:
            with pytest.raises(ApprovalMismatch):
                build(payload.sha256)
            return
        rebuilt = build(payload.sha256)
        assert rebuilt.body == payload.body
        self.approved.append(payload.body)
        list(send_approved(self.workspace, rebuilt, payload.approval, self.service.address))
        if not again:
            self.pending = None

    def _check_body(self, body: bytes) -> None:
        """Exactly the ticked records, each in the form that was agreed to."""
        said = body.decode()
        for id, record in self._now().items():
            words, secret = self.texts[id].split(" ")[0], SECRET in self.texts[id]
            assert (words in said) == record.shared
            if record.shared and secret:
                assert id in self.agreed
        confirmed = [id for id, how in self.agreed.items() if how == "confirmed" and self._now()[id].shared]
        assert said.count(SECRET) == len(confirmed)

    @invariant()
    def only_what_was_approved_arrived(self) -> None:
        assert self.service.bodies == self.approved
        with self.workspace.store() as store:
            lines = ledger.uploads(store)
            assert [line.sha256 for line in lines if line.outcome == "sent"] == self.service.hashes
            assert ledger.broken_line(store) is None

    @invariant()
    def nothing_personal_is_shared_unasked(self) -> None:
        for id, record in self._now().items():
            if record.shared and SECRET in record.input:
                assert self.agreed.get(id) == record.shared_as


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
