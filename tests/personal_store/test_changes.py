from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personal_store.changes import add_record, delete_records, edit_records, undo_change
from personal_store.decisions import decide, decisions
from personal_store.errors import AlreadyStored, NotFound, StillUsed
from personal_store.forgetting import deleted_ids, forget_changes, forget_everything, forget_record
from personal_store.ledger import append_upload, attempts, sent_records, uploads
from personal_store.nouns import NewRecord, OwnTask, Record, RecordQuery
from personal_store.pairs import find_pairs
from personal_store.records import add_records, all_records, find_records, get_records, set_shared
from personal_store.store import Store, open_store
from personal_store.tasks import delete_task, own_tasks, put_task
from personal_store.training import add_adapter, get_adapter, save_training_set
from tests.personal_store.test_forgetting import raw

Add = Callable[..., Record]
AddSynthetic = Callable[..., int]
HAND = NewRecord("title", "by hand", "a title", None, "written here")


def test_each_kind_of_change_is_undone_last_first(store: Store, add: Add) -> None:
    first = add("first")
    before = all_records(store)
    added = add_record(store, HAND)
    edit_records(store, [first.id, added.id], task="chat")
    edit_records(store, [first.id], output="other")
    delete_records(store, [first.id, added.id])
    assert all_records(store) == ()
    kinds = [change.kind for change in iter(lambda: undo_change(store), None)]
    assert kinds == ["deleted", "edited", "edited", "added"]
    assert all_records(store) == before


def test_what_comes_back_has_its_pairs_and_decisions_and_is_not_shared(
    store: Store, add: Add, add_synthetic: AddSynthetic
) -> None:
    record = add("some words")
    pair = add_synthetic(record.id)
    decide(store, pair, "accepted")
    set_shared(store, [record.id], True, "hand")
    kept = find_pairs(store), decisions(store)
    delete_records(store, [record.id])
    assert find_pairs(store) == ()
    undo_change(store)
    assert (find_pairs(store), decisions(store)) == kept
    assert not get_records(store, [record.id])[0].shared
    assert find_records(store, RecordQuery(text="some words")).total == 1


def test_an_earlier_text_that_comes_back_is_not_shared(store: Store, add: Add) -> None:
    ticked, unticked = add("first"), add("second")
    edit_records(store, [ticked.id], output="what may be known")
    edit_records(store, [unticked.id], output="other")
    set_shared(store, [ticked.id], True, "hand")
    set_shared(store, [unticked.id], False, "hand")
    undo_change(store)
    undo_change(store)
    back = get_records(store, [ticked.id, unticked.id])
    assert [(record.output, record.shared, record.shared_by) for record in back] == [
        (ticked.output, False, None),
        (unticked.output, False, "hand"),
    ]


def test_an_adapter_that_learned_from_an_addition_is_stale_when_that_is_undone(
    store: Store, add: Add, add_synthetic: AddSynthetic
) -> None:
    add("first")
    added = add_record(store, HAND)
    sets: tuple[tuple[list[int], list[int]], ...] = (([added.id], []), ([], [add_synthetic(added.id)]))
    adapters = [
        add_adapter(store, "a", f"job-{n}", "b", save_training_set(store, *ids, [], 0, "h").id, None, {})
        for n, ids in enumerate(sets)
    ]
    undo_change(store)
    assert [get_adapter(store, adapter.id).stale for adapter in adapters] == [True, True]


def test_a_change_that_cannot_be_made_whole_is_not_made(store: Store, add: Add) -> None:
    one, other = add("one", task="title"), add("one", task="chat")
    with pytest.raises(AlreadyStored):
        edit_records(store, [one.id, other.id], task="chat")
    with pytest.raises(NotFound):
        delete_records(store, [one.id, 99])
    assert [record.task for record in all_records(store)] == ["title", "chat"]
    assert undo_change(store) is None


def test_a_record_whose_content_is_there_again_cannot_come_back(store: Store, add: Add) -> None:
    record = add("twice")
    delete_records(store, [record.id])
    add("twice")
    with pytest.raises(AlreadyStored, match="cannot come back"):
        undo_change(store)


def test_forgetting_takes_earlier_texts_and_deleted_records_along(store: Store, path: Path, add: Add) -> None:
    edited, deleted = add("qzfirstxj text"), add("wvdeletedxj text")
    edit_records(store, [edited.id], input="another text")
    delete_records(store, [deleted.id])
    assert deleted_ids(store) == (deleted.id,)
    assert b"qzfirstxj" in raw(path)
    for id in (edited.id, deleted.id):
        assert forget_record(store, id).erased
    assert [word for word in (b"qzfirstxj", b"wvdeletedxj") if word in raw(path)] == []
    assert undo_change(store) is None


def test_changes_can_be_made_final(store: Store, path: Path, add: Add) -> None:
    record = add("qzfirstxj text")
    edit_records(store, [record.id], input="another text")
    delete_records(store, [record.id])
    assert forget_changes(store)
    assert b"qzfirstxj" not in raw(path)
    assert undo_change(store) is None


def test_everything_goes_without_a_trace_and_the_store_can_be_used_on(store: Store, path: Path, add: Add) -> None:
    record = add("qzfirstxj text")
    append_upload(store, "http://qzhostxj", [record.id], 1, "0" * 64, "sent")
    put_task(store, OwnTask("qztaskxj", "t", "{input}", "text", (), "rouge"))
    assert forget_everything(store)
    assert [word for word in (b"qzfirstxj", b"qzhostxj", b"qztaskxj") if word in raw(path)] == []
    assert uploads(store) == ()
    assert add("again").id == 1
    append_upload(store, "http://x", [1], 1, "0" * 64, "sent")
    with pytest.raises(Exception, match="cannot be deleted"):
        store.run("DELETE FROM uploads")


@given(st.lists(st.sampled_from(["add", "edit", "delete"]), max_size=8))
def test_undoing_everything_leads_back_to_the_start(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    with open_store(tmp_path_factory.mktemp("undo") / "store.db") as store:
        add_records(store, [NewRecord("title", f"input {number}", "output", None, "f") for number in range(3)])
        before = all_records(store)
        for number, step in enumerate(steps):
            there = all_records(store)
            if step == "add":
                add_record(store, NewRecord("title", f"new {number}", "output", None, "hand"))
            elif there and step == "edit":
                edit_records(store, [there[number % len(there)].id], output=f"edit {number}")
            elif there:
                delete_records(store, [there[number % len(there)].id])
        while undo_change(store):
            pass
        assert all_records(store) == before


def test_the_ledger_counts_per_record_and_numbers_attempts(store: Store) -> None:
    append_upload(store, "http://x", [1, 2], 1, "a", "sent")
    append_upload(store, "http://x", [1, 2], 1, "a", "not sent: refused")
    append_upload(store, "http://x", [2], 1, "b", "sent")
    lines = uploads(store)
    found = sent_records(store, [1, 2, 3])
    assert {id: sent.times for id, sent in found.items()} == {1: 1, 2: 2}
    assert found[2].last == lines[2].sent_at
    assert attempts(lines) == {1: 1, 2: 2, 3: 1}


def test_a_task_of_ones_own_stays_while_records_belong_to_it(store: Store, add: Add) -> None:
    task = OwnTask("mood", "Mood", "Which mood? {input}", "label", ("good", "bad"), "accuracy")
    put_task(store, task)
    assert own_tasks(store) == (task,)
    record = add("text", task="mood")
    with pytest.raises(StillUsed, match="1 records"):
        delete_task(store, "mood")
    delete_records(store, [record.id])
    delete_task(store, "mood")
    with pytest.raises(NotFound):
        delete_task(store, "mood")
