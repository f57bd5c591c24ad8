"""Names of people: the seam with a hand-written recogniser, and the real one where the extra is installed."""

import importlib.util
import re
from pathlib import Path

import pytest

from app.errors import NeedsConsent
from app.pipeline import editing, names
from app.pipeline.names import recogniser
from app.pipeline.payload import build_payload
from app.pipeline.sensitivity import find, findings, redact, restore
from app.pipeline.sharing import share_ids, share_ratio
from app.pipeline.workspace import open_workspace

TEXT = "Yesterday Maria Gonzalez met Peter Novak at the ferry, and Maria Gonzalez paid."


def by_hand(text: str) -> tuple[names.Span, ...]:
    """Knows two people."""
    return tuple(found.span() for found in re.finditer("Maria Gonzalez|Peter Novak", text))


@pytest.fixture
def known_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "recogniser", lambda: by_hand)


@pytest.mark.usefixtures("known_people")
def test_names_are_marked_left_out_by_the_slider_and_asked_about(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    record = editing.add(workspace, "title", TEXT, "Two at the ferry")
    assert record.findings == ("name",)
    assert share_ratio(workspace, 1.0).shared == ()
    with pytest.raises(NeedsConsent, match="Maria Gonzalez"):
        share_ids(workspace, [record.id])
    share_ids(workspace, [record.id], True, "redacted")
    payload = build_payload(workspace)
    assert b"Gonzalez" not in payload.body
    (meanings,) = payload.meanings.values()
    assert sorted(meanings.values()) == ["Maria Gonzalez", "Peter Novak"]


@pytest.mark.usefixtures("known_people")
def test_a_name_inside_something_else_is_not_found_twice() -> None:
    (thing,) = find("My name is Peter Novak")
    assert (thing.kind, thing.text) == ("name", "Peter Novak")


@pytest.mark.usefixtures("known_people")
def test_hidden_names_come_back() -> None:
    (hidden,), meanings = redact(TEXT)
    assert "Maria" not in hidden
    assert hidden.count("[name ") == 3
    assert restore(hidden, meanings) == TEXT


def test_without_a_recogniser_an_introduction_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "recogniser", lambda: None)
    assert findings(TEXT) == ()
    assert findings("My name is Peter.") == ("name",)


@pytest.mark.skipif(importlib.util.find_spec(names.MODEL) is None, reason="needs the extra `names`")
def test_the_recogniser_of_the_extra_finds_people_and_no_places() -> None:
    recognise = recogniser()
    assert recognise
    text = "Maria Gonzalez met Peter Novak in Prague on Monday."
    assert [text[slice(*span)] for span in recognise(text)] == ["Maria Gonzalez", "Peter Novak"]
    assert recognise("The ferry to the island was late again.") == ()
