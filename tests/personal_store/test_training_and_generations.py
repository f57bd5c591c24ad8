from pathlib import Path

import pytest

from personal_store import migrations
from personal_store.errors import NotFound
from personal_store.generations import (
    add_comparison,
    add_generation,
    comparisons,
    count_votes,
    get_generation,
    vote,
)
from personal_store.jobs import create_job
from personal_store.nouns import Adapter, Choice, Generation, NewGeneration, Votes
from personal_store.store import Store, open_store
from personal_store.training import (
    activate,
    active_adapter,
    adapters,
    add_adapter,
    delete_adapter,
    find_training_set,
    get_adapter,
    get_training_set,
    latest_adapter,
    note_adapter,
    rename_adapter,
    save_training_set,
)


def make(store: Store, name: str) -> Adapter:
    training_set = save_training_set(store, [], [], [], 0, "hash")
    job = create_job(store, "train", {})
    return add_adapter(
        store, name, f"folder-{name}", "base", training_set.id, job.id, {"rank": 16, "losses": [2.0, 1.5]}
    )


def write(store: Store, adapter_id: int | None) -> Generation:
    return add_generation(store, NewGeneration("chat", "hello", adapter_id, {"temperature": 0.0}, 3, "answer", 5, 0.5))


def test_a_training_set_keeps_its_ids_in_order(store: Store) -> None:
    saved = save_training_set(store, [3, 1], [2], [9, 8], seed=7, hash="ab")
    assert (saved.record_ids, saved.pair_ids, saved.held_out_ids) == ((3, 1), (2,), (9, 8))
    assert get_training_set(store, saved.id) == saved
    with pytest.raises(NotFound):
        get_training_set(store, 99)


def test_adapters_come_newest_first(store: Store) -> None:
    assert latest_adapter(store) is None
    first, second = make(store, "a"), make(store, "b")
    assert adapters(store) == (second, first)
    assert latest_adapter(store) == second
    assert get_adapter(store, first.id).manifest == {"rank": 16, "losses": [2.0, 1.5]}
    assert (first.active, first.stale) == (False, False)


def test_at_most_one_adapter_is_active(store: Store) -> None:
    first, second = make(store, "a"), make(store, "b")
    assert active_adapter(store) is None
    for adapter in (first, second, second):
        activate(store, adapter.id)
        assert [each.id for each in adapters(store) if each.active] == [adapter.id]
    with pytest.raises(NotFound):
        activate(store, 99)
    active = active_adapter(store)
    assert active is not None
    assert active.id == second.id
    activate(store, None)
    assert active_adapter(store) is None


def test_renaming_and_deleting(store: Store) -> None:
    adapter = make(store, "a")
    assert rename_adapter(store, adapter.id, "my titles").name == "my titles"
    assert get_adapter(store, adapter.id).folder == "folder-a"
    delete_adapter(store, adapter.id)
    for act in (lambda: delete_adapter(store, adapter.id), lambda: rename_adapter(store, adapter.id, "x")):
        with pytest.raises(NotFound, match=f"adapter {adapter.id}"):
            act()
    assert make(store, "b").id != adapter.id


def test_an_adapter_needs_its_training_set_and_job(store: Store) -> None:
    training_set = save_training_set(store, [], [], [], 0, "hash")
    with pytest.raises(NotFound, match="job"):
        add_adapter(store, "a", "a", "base", training_set.id, 99, {})
    with pytest.raises(NotFound, match="training set"):
        add_adapter(store, "a", "a", "base", 99, 99, {})


def test_a_generation_says_which_adapter_wrote_it_after_that_is_deleted(store: Store) -> None:
    adapter = make(store, "a")
    generation = write(store, adapter.id)
    delete_adapter(store, adapter.id)
    assert get_generation(store, generation.id) == generation
    assert generation.adapter_id == adapter.id
    assert generation.settings == {"temperature": 0.0}


def test_comparisons_are_voted_on(store: Store) -> None:
    first = add_comparison(store, write(store, None).id, write(store, 1).id)
    second = add_comparison(store, write(store, None).id, write(store, 1).id)
    assert vote(store, first.id, "after").vote == "after"
    assert vote(store, first.id, None).vote is None
    assert comparisons(store, limit=1) == (second,)
    assert comparisons(store, limit=9) == (second, first)
    with pytest.raises(NotFound):
        add_comparison(store, 1, 99)
    with pytest.raises(NotFound):
        vote(store, 99, "same")


def test_an_imported_adapter_has_no_job_and_the_training_set_of_its_texts_if_it_is_here(store: Store) -> None:
    known = save_training_set(store, [], [], [], 0, "the very texts")
    assert find_training_set(store, "the very texts") == known
    assert find_training_set(store, "others") is None
    imported = add_adapter(store, "a", "folder", "base", None, None, {})
    assert (imported.job_id, imported.training_set_id, imported.stale) == (None, None, False)
    assert add_adapter(store, "b", "other", "base", known.id, None, {}).training_set_id == known.id


def test_a_note_is_kept_and_taken_away(store: Store) -> None:
    adapter = make(store, "a")
    assert adapter.note == ""
    assert note_adapter(store, adapter.id, "for letters").note == "for letters"
    assert get_adapter(store, adapter.id).note == "for letters"
    assert note_adapter(store, adapter.id, "").note == ""
    with pytest.raises(NotFound):
        note_adapter(store, 99, "nothing")


def test_votes_are_counted_by_adapter_and_blind_ones_apart(store: Store) -> None:
    adapter = make(store, "a")
    cast: tuple[tuple[bool, Choice | None], ...] = (
        (False, "after"), (False, "same"), (True, "before"), (True, "after"), (True, None),
    )  # fmt: skip
    for blind, chosen in cast:
        made = add_comparison(store, write(store, None).id, write(store, adapter.id).id, blind, after_first=blind)
        assert (made.blind, made.after_first) == (blind, blind)
        vote(store, made.id, chosen)
    delete_adapter(store, adapter.id)
    assert count_votes(store) == (Votes(adapter.id, False, 0, 1, 1), Votes(adapter.id, True, 1, 0, 1))


def test_comparisons_of_an_older_file_were_not_blind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", every[: every.index(migrations.BLIND)])
    with open_store(path) as old:
        first, second = write(old, None), write(old, 7)
        old.run(
            "INSERT INTO comparisons (before_id, after_id, vote, created_at) VALUES (?, ?, 'after', '2024-01-01')",
            [first.id, second.id],
        )
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    with open_store(path) as new:
        assert count_votes(new) == (Votes(7, False, 0, 0, 1),)
