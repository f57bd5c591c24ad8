"""From nouns to what is drawn."""

import html

import gradio as gr
import pytest

from app.errors import BadInput
from app.ui import notices, theme, views
from tests.ui.conftest import HOSTILE


@pytest.mark.parametrize(("size", "text"), [(5, "5 bytes"), (93_000_000, "93 MB"), (1_117_320_768, "1.1 GB")])
def test_sizes_read_naturally(size: int, text: str) -> None:
    assert views.bytes_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(40.2, "40 s"), (170, "3 min"), (7500, "2 h 5 min")])
def test_durations_read_naturally(seconds: float, text: str) -> None:
    assert views.duration(seconds) == text


def test_page_beyond_the_end_becomes_the_last() -> None:
    assert views.pages(total=120, page=9, size=50) == {"page": 3, "pages": 3, "total": 120, "first": 101, "last": 120}


def test_long_curve_is_thinned_and_keeps_its_end() -> None:
    drawn = views.curve([(step, 1.0) for step in range(5000)], [], 5000)
    assert drawn is not None
    assert len(drawn["losses"]) < 400
    assert drawn["losses"][-1] == (4999, 1.0)


def test_error_becomes_a_note_with_its_sentence_escaped() -> None:
    def refuse() -> None:
        raise BadInput(HOSTILE)

    with pytest.raises(gr.Error) as raised:
        notices.shown(refuse)()
    assert raised.value.message == html.escape(HOSTILE, quote=False)
    assert not raised.value.print_exception


def test_defects_are_not_hidden_behind_a_note() -> None:
    def break_down() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        notices.shown(break_down)()


def test_server_function_answers_with_the_sentence() -> None:
    def refuse(_: object) -> dict[str, object]:
        raise BadInput("One sentence.")

    assert notices.answered(refuse)(None) == {"error": "One sentence."}


def test_theme_brings_no_font_files() -> None:
    made = theme.make_theme()
    assert made._stylesheets == []
    assert "url(" not in "".join(made._font_css)


def test_head_holds_no_address_of_another_host() -> None:
    head = theme.page_head().replace("http://www.w3.org/2000/svg", "")
    assert "http" not in head
    assert "@import" not in head


def test_the_words_that_differ_from_the_original_are_told_and_the_text_is_whole() -> None:
    runs = views.differing("The bus was late, again.", "The coach was late again!")
    assert "".join(text for text, _ in runs) == "The coach was late again!"
    assert [text.strip() for text, differs in runs if differs] == ["coach", "!"]
    assert views.differing("anything", "") == []
    assert views.differing("", "${new}") == [["${new}", True]]
