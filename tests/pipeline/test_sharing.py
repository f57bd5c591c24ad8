import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadInput
from app.pipeline.sensitivity import findings
from app.pipeline.sharing import STRATEGIES, Strategy, propose, share_ids, share_none, share_ratio
from personal_store import records
from personal_store.errors import NotFound
from personal_store.nouns import Record
from tests.pipeline.support import new_record, workspace_with


def encode(texts: object) -> object:
    """Vectors that differ from text to text; the real encoder has a test of its own."""
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(len(list(texts)), 8))  # type: ignore[call-overload]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def record(id: int, shared: bool, by: str | None, text: str = "text") -> Record:
    return Record(id, "title", text, "out", None, f"2024-01-01T00:00:{id:02}", "test", str(id), shared, by)  # type: ignore[arg-type]


HISTORIES = st.lists(st.tuples(st.booleans(), st.sampled_from(["hand", "slider", None])), min_size=0, max_size=30).map(
    lambda marks: [record(id, shared, by) for id, (shared, by) in enumerate(marks, 1)]
)


@given(HISTORIES, st.floats(0, 1), st.sampled_from(STRATEGIES), st.integers(0, 9))
def test_the_slider_never_overrules_a_hand(history: list[Record], ratio: float, strategy: Strategy, seed: int) -> None:
    chosen = propose(history, ratio, strategy, seed, encode=encode)
    for item in history:
        if item.shared_by == "hand":
            assert (item.id in chosen) == item.shared
    by_hand = sum(item.shared and item.shared_by == "hand" for item in history)
    free = sum(item.shared_by != "hand" for item in history)
    assert len(chosen) == by_hand + min(free, max(0, round(ratio * len(history)) - by_hand))
    assert len(set(chosen)) == len(chosen)


@given(st.integers(0, 5), st.sampled_from(STRATEGIES))
def test_a_greater_ratio_only_adds(seed: int, strategy: Strategy) -> None:
    history = [record(id, False, None) for id in range(1, 21)]
    sets = [set(propose(history, ratio, strategy, seed, encode=encode)) for ratio in (0.1, 0.3, 0.5, 1.0)]
    assert all(smaller <= larger for smaller, larger in itertools.pairwise(sets))


def test_newest_takes_the_newest() -> None:
    history = [dataclasses.replace(record(id, False, None), created_at=f"20{30 - id}-01-01") for id in range(1, 11)]
    assert propose(history, 0.3, "newest") == (1, 2, 3)


def test_careful_leaves_out_what_looks_personal() -> None:
    texts = ["a quiet day", "write to jo@example.org", "card 4111 1111 1111 1111", "IBAN DE89 3704 0044 0532 0130 00"]
    history = [record(id, False, None, text) for id, text in enumerate(texts, 1)]
    assert propose(history, 1.0, "careful") == (1,)


def test_representative_covers_the_kinds_of_a_history() -> None:
    def by_kind(texts: list[str]) -> object:
        return np.eye(3)[[int(text[0]) for text in texts]]

    history = [record(id, False, None, f"{id % 3} text {id}") for id in range(1, 31)]
    chosen = propose(history, 0.1, "representative", encode=by_kind)  # type: ignore[arg-type]
    assert {id % 3 for id in chosen} == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("me@example.org", "e-mail address"),
        ("4111-1111-1111-1111", "card number"),
        ("GB82 WEST 1234 5698 7654 32", "account number"),
        ("call +49 170 1234567", "phone number"),
        ("at 12 Old Mill Road", "street address"),
        ("sk-abcdefghijklmnop1234", "key or token"),
    ],
)
def test_personal_things_are_found(text: str, kind: str) -> None:
    assert kind in findings(text)


@pytest.mark.parametrize("text", ["I met 4 friends in 2019.", "4111 1111 1111 1112 is no card", "The score was 10-3."])
def test_harmless_numbers_are_not_taken_for_secrets(text: str) -> None:
    assert findings(text) == ()


def test_boxes_set_by_hand_survive_the_slider_in_the_store(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 10)
    share_ids(workspace, [ids[0]])
    share_ids(workspace, [ids[1]], shared=False)
    assert set(share_ratio(workspace, 1.0).shared) == set(ids) - {ids[1]}
    assert share_ratio(workspace, 0.0).shared == (ids[0],)
    assert share_none(workspace).shared == ()
    assert set(share_ratio(workspace, 1.0).shared) == set(ids) - {ids[0], ids[1]}


def test_new_records_are_not_shared_by_an_earlier_slider(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 4)
    share_ratio(workspace, 1.0)
    with workspace.store() as store:
        records.add_records(store, [new_record(99)])
        assert {item.id for item in records.shared_records(store)} == set(ids)


def test_an_unknown_id_changes_nothing(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 3)
    with pytest.raises(NotFound):
        share_ids(workspace, [ids[0], 999])
    with workspace.store() as store:
        assert records.shared_records(store) == ()


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_outside_0_to_1_is_refused(ratio: float) -> None:
    with pytest.raises(BadInput):
        propose([], ratio)
