import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadInput, NeedsConsent
from app.pipeline import looking, names, sharing
from app.pipeline.editing import add, edit
from app.pipeline.payload import build_payload
from app.pipeline.sensitivity import findings, redact, restore
from app.pipeline.sharing import STRATEGIES, Strategy, found_in, propose, share_ids, share_none, share_ratio, shared_now
from app.pipeline.workspace import open_workspace
from personal_store import records
from personal_store.errors import NotFound
from personal_store.nouns import Boxes
from tests.pipeline.support import new_record, workspace_with


def encode(texts: object) -> object:
    """Vectors that differ from text to text; the real encoder has a test of its own."""
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(len(list(texts)), 8))  # type: ignore[call-overload]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def texts(ids: Sequence[int]) -> list[str]:
    return [f"text {id}" for id in ids]


FREE = Boxes(tuple(range(1, 21)))
HISTORIES = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=0, max_size=30).map(
    lambda marks: Boxes(
        tuple(range(1, len(marks) + 1)),
        *(frozenset(id for id, mark in enumerate(marks, 1) if mark[place]) for place in range(3)),
    )
)


@given(HISTORIES, st.floats(0, 1), st.sampled_from(STRATEGIES), st.integers(0, 9), st.sets(st.integers(1, 30)))
def test_the_slider_never_overrules_a_hand(
    history: Boxes, ratio: float, strategy: Strategy, seed: int, held_out: set[int]
) -> None:
    chosen = propose(history, ratio, strategy, seed, texts, held_out, encode)
    assert history.by_hand.intersection(chosen) == history.by_hand & history.shared
    assert not (history.marked - history.by_hand).intersection(chosen)
    by_hand = len(history.by_hand & history.shared)
    free = len(set(history.ids) - history.by_hand - history.marked)
    assert len(chosen) == by_hand + min(free, max(0, round(ratio * len(history.ids)) - by_hand))
    assert len(set(chosen)) == len(chosen)


@given(st.integers(0, 5), st.sampled_from(STRATEGIES))
def test_a_greater_ratio_only_adds(seed: int, strategy: Strategy) -> None:
    sets = [set(propose(FREE, ratio, strategy, seed, texts, {19, 20}, encode)) for ratio in (0.1, 0.3, 0.5, 1.0)]
    assert all(smaller <= larger for smaller, larger in itertools.pairwise(sets))


def test_newest_takes_the_newest_of_those_that_are_learned_from() -> None:
    assert propose(FREE, 0.15, "newest", 0, texts, held_out={19, 20}) == (16, 17, 18)
    assert propose(FREE, 0.1, "newest", 0, texts) == (19, 20)


def test_records_that_training_holds_out_are_proposed_last(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 20)
    assert set(share_ratio(workspace, 0.9, "newest").shared) == set(ids[:18])
    assert set(share_ratio(workspace, 1.0, "newest").shared) == set(ids)


@pytest.mark.parametrize("strategy", ["random", "newest", "careful"])
def test_the_slider_leaves_out_what_looks_personal(tmp_path: Path, strategy: Strategy) -> None:
    said = ["a quiet day", "write to jo@example.org", "card 4111 1111 1111 1111", "IBAN DE89 3704 0044 0532 0130 00"]
    workspace = open_workspace(tmp_path)
    with workspace.store() as store:
        ids = records.add_records(store, [new_record(number, text=text) for number, text in enumerate(said)]).added
    assert share_ratio(workspace, 1.0, strategy).shared == ids[:1]


def test_careful_prefers_what_tells_least() -> None:
    def telling(ids: Sequence[int]) -> list[str]:
        return ["a quiet day" if id == 7 else "then Anna met Bert in 1999" for id in ids]

    assert propose(FREE, 0.05, "careful", 0, telling) == (7,)


def test_what_looks_personal_is_shared_only_with_consent(tmp_path: Path) -> None:
    workspace, (first, second) = workspace_with(tmp_path, 2)
    edit(workspace, first, input="Write to jo@example.org about it.")
    with pytest.raises(NeedsConsent, match=re.escape(f"record {first}: e-mail address 'jo@example.org'")):
        share_ids(workspace, [first, second])
    assert shared_now(workspace).shared == ()
    assert share_ids(workspace, [first, second], consent="redacted").shared == (first, second)
    body = build_payload(workspace).body.decode()
    assert "jo@example.org" not in body
    assert "Write to [e-mail address 1] about it." in body
    share_ids(workspace, [first], consent="confirmed")
    assert "jo@example.org" in build_payload(workspace).body.decode()


def test_a_confirmation_of_something_else_than_is_found_shares_nothing(tmp_path: Path) -> None:
    workspace, (first, _) = workspace_with(tmp_path, 2)
    edit(workspace, first, input="Write to jo@example.org about it.")
    shown = found_in(workspace, [first])
    edit(workspace, first, output="or call +49 170 1234567")
    with pytest.raises(NeedsConsent, match=r"phone number '\+49 170 1234567'"):
        share_ids(workspace, [first], consent="confirmed", shown=shown)
    assert shared_now(workspace).shared == ()
    share_ids(workspace, [first], consent="confirmed", shown=found_in(workspace, [first]))
    assert shared_now(workspace).shared == (first,)


def test_what_an_input_and_its_output_give_away_together_is_named_and_redacted(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    ids = [
        add(workspace, "chat", "And what is it?\nThe wifi password is", "Sunshine42").id,
        add(workspace, "chat", "PIN:", "4711, as ever").id,
    ]
    first, second = found_in(workspace, ids)
    assert first.input == (("And what is it?\nThe wifi ", ""), ("password is", "key or token"))
    assert first.output == (("Sunshine42", "key or token"),)
    assert second.things == (("key or token", "PIN:"), ("key or token", "4711"))
    with pytest.raises(NeedsConsent, match="Sunshine42"):
        share_ids(workspace, ids)
    share_ids(workspace, ids, consent="redacted")
    payload = build_payload(workspace)
    assert b"Sunshine42" not in payload.body
    assert b"4711" not in payload.body
    assert {"Sunshine42", "4711"} < {text for told in payload.meanings.values() for text in told.values()}


def test_the_slider_does_not_share_what_became_personal_while_it_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ids = workspace_with(tmp_path, 3)

    def slow(*arguments: Any) -> tuple[int, ...]:
        edit(workspace, ids[0], output="write to jo@example.org")
        return propose(*arguments)

    monkeypatch.setattr(sharing, "propose", slow)
    assert share_ratio(workspace, 1.0).shared == ids[1:]


def test_an_edit_while_records_are_looked_at_keeps_what_was_found_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ids = workspace_with(tmp_path, 3)
    monkeypatch.setattr(looking, "edition", lambda: "newer")

    def slow(*texts: str) -> tuple[str, ...]:
        monkeypatch.setattr(looking, "findings", findings)
        edit(workspace, ids[0], output="write to jo@example.org")
        return findings(*texts)

    monkeypatch.setattr(looking, "findings", slow)
    assert [found.record_id for found in found_in(workspace, ids)] == [ids[0]]


def test_records_are_looked_at_again_where_more_can_be_found_than_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, (plain, asked, redacted, kept) = workspace_with(tmp_path, 4)
    for id, name in ((plain, "Ann"), (asked, "Ben"), (redacted, "Cleo")):
        edit(workspace, id, input=f"{name} wrote to jo@example.org" if id != plain else f"{name} sat still")
    share_ids(workspace, [plain, kept])
    share_ids(workspace, [asked], consent="confirmed")
    share_ids(workspace, [redacted], consent="redacted")
    assert shared_now(workspace).shared == (plain, asked, redacted, kept)
    monkeypatch.setattr("app.pipeline.looking.edition", lambda: "a later one")
    monkeypatch.setattr(names, "recogniser", lambda: lambda text: [m.span() for m in re.finditer("Ann|Ben|Cleo", text)])
    body = build_payload(workspace).body.decode()
    assert shared_now(workspace).shared == (redacted, kept)
    assert "[name 1] wrote to [e-mail address 1]" in body
    with workspace.store() as store:
        (record,) = records.get_records(store, [plain])
    assert record.findings == ("name",)


def test_a_consent_that_is_none_is_refused(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 1)
    with pytest.raises(BadInput, match="Consent is one of confirmed, redacted, got 'yes'"):
        share_ids(workspace, ids, consent="yes")  # type: ignore[arg-type]


def test_an_edit_that_brings_something_personal_in_stops_the_sharing(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    share_ids(workspace, ids)
    edit(workspace, ids[0], output="call +49 170 1234567")
    assert shared_now(workspace).shared == ids[1:]
    edit(workspace, ids[1], output="a harmless title")
    assert shared_now(workspace).shared == ids[1:]


@given(st.lists(st.sampled_from(["jo@example.org", "GB82 WEST 1234 5698 7654 32", "some words", "4111111111111111"])))
def test_redacting_hides_everything_and_can_be_taken_back(parts: list[str]) -> None:
    text = " and ".join(parts)
    (hidden, twice), meanings = redact(text, text)
    assert hidden == twice
    assert findings(hidden) == ()
    assert restore(hidden, meanings) == text


def test_representative_covers_the_kinds_of_a_history() -> None:
    def by_kind(texts: list[str]) -> object:
        return np.eye(3)[[int(text[0]) for text in texts]]

    def kinds(ids: Sequence[int]) -> list[str]:
        return [f"{id % 3} text {id}" for id in ids]

    chosen = propose(Boxes(tuple(range(1, 31))), 0.1, "representative", 0, kinds, encode=by_kind)  # type: ignore[arg-type]
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
        ("my card 4111 1111 1111 1111 2027 is new", "card number"),
        ("IBAN DE89 3704 0044 0532 0130 00 THAT WAS IT", "account number"),
        ("(555) 123-4567", "phone number"),
        ("https://me:hunter22@example.org/x", "web address with a password"),
        ("My name is Ada Lovelace.", "name"),
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
        propose(Boxes(()), ratio, "random", 0, texts)
