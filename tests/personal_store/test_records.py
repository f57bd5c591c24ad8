import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personal_store import finding
from personal_store.errors import AlreadyStored, NotFound
from personal_store.nouns import Examined, NewRecord, Record, RecordCounts, RecordQuery, SharedBy
from personal_store.records import (
    add_records,
    all_records,
    content_hash,
    count_records,
    find_records,
    get_records,
    note_findings,
    set_shared,
    shared_ids,
    shared_records,
    update_record,
)
from personal_store.store import Store, open_store

Add = Callable[..., Record]


@contextmanager
def store_of(count: int) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "store.db") as store:
        add_records(store, [NewRecord("chat", f"input {number}", "output", None, "f", ()) for number in range(count)])
        yield store


def inputs(store: Store, query: RecordQuery) -> list[str]:
    return [record.input for record in find_records(store, query).records]


def test_a_record_comes_back_as_it_was_given(store: Store) -> None:
    text = "naïve “quotes” 日本語 🙂\n\ttab \0 end"
    (id,) = add_records(store, [NewRecord("title", text, "out", "2024-05-01", "a.csv")]).added
    (record,) = get_records(store, [id])
    assert (record.task, record.input, record.output, record.created_at) == ("title", text, "out", "2024-05-01")
    assert record.content_hash == content_hash("title", text, "out")
    assert (record.shared, record.shared_by, record.source) == (False, None, "a.csv")


def test_exact_repeats_are_stored_once(store: Store) -> None:
    new = [NewRecord("chat", "a", "b", None, "f"), NewRecord("chat", "c", "d", None, "f")]
    first = add_records(store, [*new, new[0]])
    again = add_records(store, [*new, NewRecord("title", "a", "b", None, "g")])
    assert (len(first.added), first.duplicates) == (2, 1)
    assert (len(again.added), again.duplicates) == (1, 2)
    assert not set(first.added) & set(again.added)


def test_a_hash_tells_where_a_text_is_cut() -> None:
    assert content_hash("a", "bc", "d") != content_hash("a", "b", "cd")


def test_adding_nothing_is_no_error(store: Store) -> None:
    assert add_records(store, []).added == ()


def test_records_come_in_the_order_asked_for(store: Store, add: Add) -> None:
    ids = [add(name).id for name in "abc"]
    assert [record.id for record in get_records(store, [ids[2], ids[0]])] == [ids[2], ids[0]]


def test_a_missing_record_is_named(store: Store, add: Add) -> None:
    with pytest.raises(NotFound, match="record 77"):
        get_records(store, [add("a").id, 77])


def test_pages_and_orders(store: Store, add: Add) -> None:
    for name, date in {"b": "2021-01-01", "a": "2020-01-01", "c": "2022-01-01"}.items():
        add(name, created_at=date)
    add("undated")
    assert inputs(store, RecordQuery(order="oldest")) == ["a", "b", "c", "undated"]
    assert inputs(store, RecordQuery(order="newest", limit=2)) == ["undated", "c"]
    assert inputs(store, RecordQuery(order="imported", offset=1)) == ["a", "c", "undated"]
    assert find_records(store, RecordQuery(limit=1)).total == 4
    assert [record.input for record in all_records(store)] == ["a", "b", "c", "undated"]


def test_filters_by_task_and_sharing(store: Store, add: Add) -> None:
    chat, title = add("one", task="chat"), add("two", task="title")
    set_shared(store, [title.id], True, "hand")
    assert inputs(store, RecordQuery(task="chat")) == ["one"]
    assert inputs(store, RecordQuery(shared=True)) == ["two"]
    assert inputs(store, RecordQuery(task="chat", shared=True)) == []
    assert [record.id for record in shared_records(store)] == [title.id]
    assert shared_records(store, "chat") == ()
    assert [record.id for record in all_records(store, "chat")] == [chat.id]
    assert count_records(store) == RecordCounts(2, 1, {"chat": 1, "title": 1})


def test_search_finds_words_in_input_and_output_and_unfinished_ones(store: Store, add: Add) -> None:
    add("The quick brown fox", "jumps over")
    add("A slow café", "sleeps")
    assert inputs(store, RecordQuery(text="jum")) == ["The quick brown fox"]
    assert inputs(store, RecordQuery(text="FOX over")) == ["The quick brown fox"]
    assert inputs(store, RecordQuery(text="cafe")) == ["A slow café"]
    assert inputs(store, RecordQuery(text="quick sleeps")) == []
    assert inputs(store, RecordQuery(text="   ")) == ["A slow café", "The quick brown fox"]


@pytest.mark.parametrize(
    "text", ["東京", "京へ行", "楽しかった 今日", "ประเทศ", "東京 eve", "evening 今日", "IPHONE手"]
)
def test_words_of_scripts_without_spaces_are_found_inside_a_sentence(store: Store, add: Add, text: str) -> None:
    found = "今日は東京へ行きました evening อยู่ในประเทศไทย 新しいiPhone手机"
    add(found, "楽しかったです")
    add("明日は大阪に行く morning", "いいね")
    assert inputs(store, RecordQuery(text=text)) == [found]
    assert inputs(store, RecordQuery(text=f"{text} 大阪")) == []


@pytest.mark.parametrize("text", ['fox"', "fox AND", "NOT fox", "output:fox", "fox*", "(fox", "-fox", "^fox", "{fox}"])
def test_nothing_that_is_typed_is_an_operator(store: Store, add: Add, text: str) -> None:
    add("the fox and not output:fox", "empty")
    assert inputs(store, RecordQuery(text=text)) == ["the fox and not output:fox"]


def test_search_knows_of_changes(store: Store, add: Add) -> None:
    record = add("before")
    update_record(store, record.id, input="after")
    assert inputs(store, RecordQuery(text="before")) == []
    assert inputs(store, RecordQuery(text="after")) == ["after"]


def test_a_very_long_search_is_answered(store: Store, add: Add) -> None:
    text = " ".join(f"word{number}" for number in range(5_000))
    add(text)
    assert inputs(store, RecordQuery(text=text)) == [text]


def test_any_search_is_answered() -> None:
    with store_of(3) as store:

        @settings(max_examples=150, deadline=None)
        @given(st.text(st.characters(), max_size=40) | st.text("\"'*()^:-+{}ANDORT \0ab", max_size=30))
        def search(text: str) -> None:
            page = find_records(store, RecordQuery(text=text))
            assert page.total == len(page.records)

        search()


def fits(record: Record, query: RecordQuery) -> bool:
    """Whether a record is one that the query asks for, said without SQL."""
    return (
        all(word in record.input for word in query.text.split())
        and query.task in (None, record.task)
        and query.shared in (None, record.shared)
        and query.sensitive in (None, bool(record.findings))
    )


@pytest.mark.parametrize("few", [0, 1000], ids=["many", "few"])
@pytest.mark.parametrize("text", ["common", "no", "猫", "猫 comm"])
@pytest.mark.parametrize("task", [None, "title"])
def test_both_ways_to_a_page_find_what_the_query_asks_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, few: int, text: str, task: str | None
) -> None:
    monkeypatch.setattr(finding, "FEW", few)
    for number in range(60):
        words = f"{'common' if number % 4 else 'no'} word {number} {'夜の猫です' if number % 6 else '犬'}"
        day = f"2024-01-{number * 7 % 28 + 1:02}" if number % 5 else None
        new = NewRecord("title" if number % 3 else "tag", words, "o", day, "f", ("name",) if number % 7 == 0 else ())
        add_records(store, [new])
    set_shared(store, range(1, 60, 2), True, "hand")
    everything = all_records(store)
    for shared, sensitive, order, offset in itertools.product(
        (None, True, False), (None, True, False), ("newest", "oldest", "imported"), (0, 5)
    ):
        query = RecordQuery(text, task, shared, order, offset, 10, sensitive)  # type: ignore[arg-type]
        wanted = [record for record in everything if fits(record, query)]
        if order == "imported":
            wanted.sort(key=lambda record: record.id)
        if order == "newest":
            wanted.reverse()
        page = find_records(store, query)
        assert page.total == len(wanted)
        assert list(page.records) == wanted[offset : offset + 10]


def test_without_words_the_boxes_are_counted_as_they_are(store: Store, add: Add) -> None:
    ids = [add(f"text {number}", task="title" if number % 2 else "tag").id for number in range(10)]
    set_shared(store, ids[:3], True, "hand")
    set_shared(store, ids[3:5], False, "hand")
    totals = [
        find_records(store, RecordQuery(task=task, shared=shared, limit=1)).total
        for task in (None, "tag")
        for shared in (None, True, False)
    ]
    assert totals == [10, 3, 7, 5, 2, 3]


def test_a_change_keeps_what_is_not_named(store: Store, add: Add) -> None:
    record = add("input", "output", created_at="2020-01-01")
    changed = update_record(store, record.id, output="better")
    assert changed == dataclasses.replace(
        record, output="better", content_hash=content_hash(record.task, "input", "better")
    )
    assert get_records(store, [record.id]) == (changed,)
    assert update_record(store, record.id) == changed


def test_a_change_into_another_records_content_is_refused(store: Store, add: Add) -> None:
    add("a")
    other = add("b")
    with pytest.raises(AlreadyStored):
        update_record(store, other.id, input="a")
    assert get_records(store, [other.id]) == (other,)
    with pytest.raises(NotFound):
        update_record(store, 99, input="c")


def test_sharing_many_records_is_one_change() -> None:
    with store_of(3_000) as store:
        ids = [record.id for record in all_records(store)]
        assert set_shared(store, ids, True, "slider") == 3_000
        assert set_shared(store, ids, True, "slider") == 0
        assert set_shared(store, [], False, "hand") == 0
        assert set_shared(store, [99_999], False, "hand") == 0
        assert count_records(store).shared == 3_000


def test_the_slider_shares_nothing_that_looks_personal_or_was_not_looked_at(store: Store) -> None:
    kinds: tuple[tuple[str, ...] | None, ...] = ((), ("name",), None)
    ids = add_records(store, [NewRecord("chat", f"{kind}", "o", None, "f", kind) for kind in kinds]).added
    assert set_shared(store, ids, True, "slider") == 1
    assert shared_ids(store) == ids[:1]
    set_shared(store, ids, True, "hand")
    assert shared_ids(store) == ids


def test_what_was_found_in_a_text_is_not_kept_of_another(store: Store, add: Add) -> None:
    changed, looked_at = add("first"), add("second")
    update_record(store, changed.id, input="jo@example.org")
    found = [Examined(record.id, record.content_hash, (), (1, 2)) for record in (changed, looked_at)]
    note_findings(store, found)
    assert [record.findings for record in get_records(store, [changed.id, looked_at.id])] == [None, ()]
    note_findings(store, [Examined(looked_at.id, looked_at.content_hash, ("name",), (1, 2))])
    assert get_records(store, [looked_at.id])[0].findings == ()


STEPS = st.lists(
    st.tuples(st.sets(st.integers(1, 12)), st.booleans(), st.sampled_from(["hand", "slider"])), max_size=12
)


def expect(
    state: dict[int, tuple[bool, SharedBy | None]], ids: set[int], shared: bool, by: SharedBy
) -> dict[int, tuple[bool, SharedBy | None]]:
    """What a step must lead to, said in the plainest way."""
    touched = {id for id in ids & state.keys() if by == "hand" or state[id][1] != "hand"}
    return {id: (shared, by) if id in touched else old for id, old in state.items()}


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_the_slider_never_overrides_a_hand_and_ids_are_exact(
    steps: list[tuple[set[int], bool, SharedBy]],
) -> None:
    with store_of(10) as store:
        state: dict[int, tuple[bool, SharedBy | None]] = {record.id: (False, None) for record in all_records(store)}
        for ids, shared, by in steps:
            after = expect(state, ids, shared, by)
            changed = set_shared(store, ids, shared, by)
            assert changed == sum(state[id] != after[id] for id in state)
            state = after
        assert {record.id: (record.shared, record.shared_by) for record in all_records(store)} == state
