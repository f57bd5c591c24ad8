"""The message field of the conversation in a browser: nothing that a person typed is lost."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import AdapterRefused
from app.pipeline.generation import Draft
from tests.browsing import MARKS, Visit
from tests.ui.conftest import Page

pytestmark = MARKS


@pytest.mark.parametrize(("typed", "then"), [("", "Good morning"), ("And good night", "Good morning\nAnd good night")])
def test_a_message_without_an_answer_comes_back_before_what_was_typed_meanwhile(
    page: Page, visit: Visit, monkeypatch: pytest.MonkeyPatch, typed: str, then: str
) -> None:
    failing = threading.Event()

    def fail(*asked: Any, **named: Any) -> Iterator[Draft]:
        yield Draft("A few words", None, None, None, "tiny", 3, 0.1)
        failing.wait(60)
        raise AdapterRefused("It does not fit.")

    monkeypatch.setattr(page.services.writer, "stream", fail)
    visit.goto(page.client.src)
    visit.open("Write")
    visit.open("Chat")
    visit.page.set_default_timeout(10_000)
    field = visit.page.locator("#message textarea")
    field.fill("Good morning")
    visit.press("Send")
    visit.see("A few words")
    field.fill(typed)
    failing.set()
    visit.see("It does not fit")
    visit.page.wait_for_function("then => document.querySelector('#message textarea').value === then", arg=then)
    assert visit.page.locator("#conversation li").count() == 0
    # Once more, with nothing to be answered: what came back before does not come again.
    field.fill(" ")
    visit.press("Send")
    visit.see("The message is empty")
    visit.page.wait_for_timeout(500)
    assert field.input_value() == " "
