import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from personal_store.changes import delete_records, edit_records, undo_change
from personal_store.decisions import decide, decisions
from personal_store.errors import NotFound
from personal_store.forgetting import forget_changes, forget_record
from personal_store.generations import add_comparison, add_generation
from personal_store.jobs import create_job
from personal_store.ledger import append_upload, broken_line, uploads
from personal_store.migrations import backup_path
from personal_store.nouns import NewGeneration, NewPair, NewRecord, Record, RecordQuery, Scores
from personal_store.pairs import add_pair, find_pairs, finish_record, finished_records
from personal_store.records import add_records, find_records, get_records, update_record
from personal_store.store import Store, open_store
from personal_store.training import add_adapter, get_adapter, get_training_set, save_training_set

Add = Callable[..., Record]
AddSynthetic = Callable[..., int]
SCORES = Scores(0.5, 0.5, 0.5, 1.0)


def raw(path: Path) -> bytes:
    """Everything that lies in the data folder, the log and copies too."""
    return b"".join(file.read_bytes() for file in path.parent.iterdir()).lower()


def fill(store: Store) -> tuple[int, list[str]]:
    """Many records around one that is edited, augmented and decided on; its id and words that only it has."""
    others = [NewRecord("chat", f"plain {number} " + "and more " * 200, "text", None, "f") for number in range(200)]
    (id,) = add_records(store, [NewRecord("chat", "qzfirstxj " + "long " * 3_000, "wvansweryk", None, "f")]).added
    add_records(store, others)
    update_record(store, id, input="jxseconduq and " + "short " * 10)
    job = create_job(store, "augment", {}).id
    pair = add_pair(store, NewPair(id, job, 1, "pqsyntheticzv", "kymadewx", "m", 0, SCORES))
    finish_record(store, job, id)
    decide(store, pair, "edited", output="vveditedqq")
    return id, ["qzfirstxj", "wvansweryk", "jxseconduq", "pqsyntheticzv", "kymadewx", "vveditedqq"]


def test_nothing_of_a_forgotten_record_is_left_in_any_file(store: Store, path: Path) -> None:
    id, words = fill(store)
    backup_path(path, 1).write_bytes(b"an old copy with jxseconduq")
    assert all(word.encode() in raw(path) for word in ("jxseconduq", "pqsyntheticzv", "vveditedqq"))
    forgotten = forget_record(store, id)
    assert forgotten.erased
    assert [word for word in words if word[2:].encode() in raw(path)] == []
    assert find_records(store, RecordQuery(text="plain")).total == 200


KILLED = """
import os, signal, sys
from pathlib import Path
from personal_store import migrations

os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
migrations._back_up(Path(sys.argv[1]), 1)
"""


def test_a_copy_that_a_killed_process_left_goes_and_one_that_is_being_made_stays(store: Store, path: Path) -> None:
    id, words = fill(store)
    subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    (left,) = path.parent.glob("store.db.backup-*")
    assert words[-1].encode() in left.read_bytes()
    journal, made = left.with_name(f"{left.name}-journal"), left.with_name(f"store.db.backup-{os.getpid()}")
    for copy in (journal, made):
        copy.touch()
    forget_record(store, id)
    assert list(path.parent.glob("store.db.backup-*")) == [made]


ASKED = "The qzferryxj left the pier before the tide."


def answer(store: Store, prompt: str, text: str) -> int:
    return add_generation(store, NewGeneration("chat", prompt, None, {}, 0, text, 3, 0.1)).id


def test_answers_that_were_asked_for_with_its_text_or_hold_it_go_without_a_trace(store: Store, path: Path) -> None:
    old, title = "The wvbargeqz came first, they say.", "Gulls over the kjquayzx at noon"
    (id,) = add_records(store, [NewRecord("chat", old, title, None, "f")]).added
    edit_records(store, [id], input=ASKED)
    (other,) = add_records(store, [NewRecord("chat", "short", "no", None, "f")]).added
    kept = answer(store, "Something else", "no idea")
    asked = [answer(store, ASKED, "One"), answer(store, f"{ASKED} Two?", "Two"), answer(store, old, "Three")]
    said = [answer(store, "Say it", f"It was: {title}"), answer(store, "Again", ASKED)]
    add_comparison(store, asked[0], asked[1])
    compared = add_comparison(store, kept, kept)
    assert forget_record(store, id).answers == len(asked + said)
    assert store.column("SELECT id FROM generations") == [kept]
    assert store.column("SELECT id FROM comparisons") == [compared.id]
    left = raw(path)
    assert [word for word in (b"qzferryxj", b"wvbargeqz", b"kjquayzx") if word[2:] in left] == []
    assert forget_record(store, other).answers == 0


def test_what_was_deleted_or_changed_takes_its_answers_along_when_that_is_made_final(store: Store, path: Path) -> None:
    ids = add_records(store, [NewRecord("chat", f"{ASKED} {n}", f"title {n}", None, "f") for n in range(3)]).added
    answers = [answer(store, f"{ASKED} {n}", "An answer") for n in range(3)]
    delete_records(store, ids[:1])
    edit_records(store, ids[1:2], input="A text that is another one")
    edit_records(store, ids[2:], output="another title")
    assert forget_changes(store)
    assert store.column("SELECT id FROM generations") == answers[2:]
    assert f"{ASKED} 0".lower().encode() not in raw(path)


class Made:
    """Pairs and adapters of records, made at different moments."""

    def __init__(self, store: Store, records: list[Record]) -> None:
        self._store, self._ids = store, [record.id for record in records]

    def augmented(self, job: int | None = None) -> int:
        """A pair of the first record as it is now, or was when that job began."""
        job = job or create_job(self._store, "augment", {}).id
        made = add_pair(self._store, NewPair(self._ids[0], job, 1, "like", "this", "m", 0, SCORES))
        self.moment()
        return made

    def begun(self, *pairs: int, records: bool = True) -> int:
        """A training of all records and these pairs."""
        made = save_training_set(self._store, self._ids if records else self._ids[1:], pairs, [], 0, "hash").id
        self.moment()
        return made

    def ended(self, training_set: int) -> int:
        """Its adapter."""
        name = f"job-{training_set}-{time.monotonic()}"
        return add_adapter(self._store, name, name, "base", training_set, None, {}).id

    def moment(self) -> None:
        """What happens in one millisecond counts as before."""
        time.sleep(0.005)

    def stale(self, *adapters: int) -> list[bool]:
        """Which of them are."""
        return [get_adapter(self._store, adapter).stale for adapter in adapters]


def test_what_was_made_of_an_earlier_text_goes_when_that_is_made_final(store: Store, path: Path, add: Add) -> None:
    record, other = add("the text", "zvkyoutputqx"), add("another one")
    made = Made(store, [record, other])
    before, late_job = made.augmented(), create_job(store, "augment", {}).id
    early, running = made.ended(made.begun(before)), made.begun()
    edit_records(store, [record.id], output="another output")
    made.moment()
    edit_records(store, [record.id], task="chat")
    after = made.augmented()
    by_pair, late = made.ended(made.begun(before, records=False)), made.ended(made.begun(after))
    assert made.stale(early, by_pair, late) == [False, False, False]
    assert forget_changes(store)
    assert [pair.id for pair in find_pairs(store)] == [after]
    assert b"kyoutputqx" not in raw(path)
    earlier = hashlib.sha256(json.dumps(["the text", "zvkyoutputqx"]).encode()).hexdigest()
    assert earlier.encode() not in raw(path)
    # What was at work meanwhile with the earlier text brings nothing of it back.
    with pytest.raises(NotFound, match="was forgotten"):
        made.augmented(late_job)
    assert made.stale(early, by_pair, late, made.ended(running)) == [True, True, False, True]
    delete_records(store, [other.id])
    undo_change(store)
    assert made.stale(early, by_pair, late) == [True, True, False]


def test_a_text_that_came_back_keeps_what_was_made_of_it(store: Store, add: Add) -> None:
    record = add("the text")
    made = Made(store, [record])
    first = made.augmented()
    edit_records(store, [record.id], input="a slip")
    made.moment()
    slip = made.augmented()
    learned = [made.ended(made.begun(first)), made.ended(made.begun(slip))]
    undo_change(store)
    made.moment()
    again = made.augmented()
    assert [pair.id for pair in find_pairs(store)] == [first, slip, again]
    forget_changes(store)
    assert [pair.id for pair in find_pairs(store)] == [first, again]
    # Both learned the slip, by the record or by its pair.
    assert made.stale(*learned) == [True, True]
    edit_records(store, [record.id], input="the last text")
    forget_changes(store)
    assert find_pairs(store) == ()


def test_an_edit_that_can_no_longer_be_undone_is_made_final_too(
    store: Store, monkeypatch: pytest.MonkeyPatch, add: Add
) -> None:
    monkeypatch.setattr("personal_store.changes.KEPT", 1)
    record, other = add("the text"), add("another")
    made = Made(store, [record])
    pair = made.augmented()
    for number in range(2):
        edit_records(store, [record.id, other.id][number : number + 1], input=f"edited {number}")
    assert [pair.id for pair in find_pairs(store)] == [pair]
    forget_changes(store)
    assert find_pairs(store) == ()


def test_answers_to_a_deleted_record_go_when_its_deletion_can_no_longer_be_undone(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, add: Add
) -> None:
    monkeypatch.setattr("personal_store.changes.KEPT", 2)
    deleted, again, edited = add("zvasked for kyx"), add("still asked for"), add("a text")
    answers = [answer(store, text, "An answer") for text in (deleted.input, again.input, "another")]
    delete_records(store, [deleted.id, again.id])
    add(again.input, "with another output")
    for number in range(2):
        assert len(store.column("SELECT id FROM generations")) == 3
        edit_records(store, [edited.id], input=f"a text {number}")
    assert store.column("SELECT id FROM generations") == answers[1:]
    assert forget_changes(store)
    assert b"asked for kyx" not in raw(path)


def test_blanks_around_a_short_instruction_hide_no_answer(store: Store, add: Add) -> None:
    record = add("Bob owes 900")
    answer(store, "\tBob owes 900\r\n", "Really?")
    kept = answer(store, "Bob owes 9000", "Really?")
    assert forget_record(store, record.id).answers == 1
    assert store.column("SELECT id FROM generations") == [kept]


def test_a_reader_delays_the_erasure_until_the_last_store_is_closed(path: Path) -> None:
    with open_store(path, busy_seconds=0.1) as store, open_store(path) as reader:
        id, words = fill(store)
        reader.run("BEGIN")
        reader.rows("SELECT count(*) FROM records")
        assert not forget_record(store, id).erased
    assert [word for word in words if word[2:].encode() in raw(path)] == []


def test_pairs_decisions_and_progress_go_along(store: Store, add: Add, add_synthetic: AddSynthetic) -> None:
    gone, kept = add("gone"), add("kept")
    job = create_job(store, "augment", {}).id
    for record in (gone, kept):
        decide(store, add_synthetic(record.id, job_id=job), "accepted")
        finish_record(store, job, record.id)
    forgotten = forget_record(store, gone.id)
    assert (forgotten.record_id, forgotten.pairs) == (gone.id, 1)
    assert [pair.record_id for pair in find_pairs(store)] == [kept.id]
    assert len(decisions(store)) == 1
    assert finished_records(store, job) == {kept.id}


def test_adapters_that_learned_from_it_become_stale(store: Store, add: Add, add_synthetic: AddSynthetic) -> None:
    record, other = add("a"), add("b")
    pair = add_synthetic(record.id)
    job = create_job(store, "train", {}).id

    def adapter(name: str, records: list[int], pairs: list[int], held_out: list[int]) -> int:
        training_set = save_training_set(store, records, pairs, held_out, 0, "hash")
        return add_adapter(store, name, name, "base", training_set.id, job, {}).id

    by_record = adapter("by record", [record.id], [], [])
    by_pair = adapter("by pair", [other.id], [pair], [])
    held_out = adapter("held out", [other.id], [], [record.id])
    assert forget_record(store, record.id).adapters == (by_record, by_pair)
    assert [get_adapter(store, id).stale for id in (by_record, by_pair, held_out)] == [True, True, False]
    training_set_id = get_adapter(store, by_record).training_set_id
    assert training_set_id is not None
    assert get_training_set(store, training_set_id).record_ids == (record.id,)
    # Trained while the record was being deleted.
    assert get_adapter(store, adapter("late", [record.id], [], [])).stale


def test_the_ledger_keeps_the_id_and_the_id_never_comes_back(store: Store, add: Add) -> None:
    record = add("a")
    append_upload(store, "http://127.0.0.1", [record.id], 10, "ab", "sent")
    forget_record(store, record.id)
    assert uploads(store)[0].record_ids == (record.id,)
    assert broken_line(store) is None
    assert add("a").id > record.id


def test_nothing_of_a_forgotten_record_comes_back_from_a_running_job(
    store: Store, add: Add, add_synthetic: AddSynthetic
) -> None:
    record = add("a")
    job = create_job(store, "augment", {}).id
    forget_record(store, record.id)
    with pytest.raises(NotFound):
        add_synthetic(record.id, job_id=job)
    with pytest.raises(NotFound):
        finish_record(store, job, record.id)
    with pytest.raises(NotFound):
        forget_record(store, record.id)
    with pytest.raises(NotFound):
        get_records(store, [record.id])
