"""The stop watch on any text, cut anywhere."""

from hypothesis import given
from hypothesis import strategies as st

from app.device.stopping import StopWatch

LETTERS = st.text("ab", max_size=12)


def said(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    watch = StopWatch(stops)
    text = "".join(watch.push(piece) for piece in pieces)
    return text + watch.rest(), watch.found


@given(st.lists(LETTERS, max_size=8), st.lists(LETTERS, max_size=3))
def test_an_answer_ends_at_a_stop_text_and_loses_nothing_before_it(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    places = [whole.index(stop) for stop in stops if stop and stop in whole]
    text, found = said(pieces, stops)
    assert found == bool(places)
    # Cut finely, an earlier end of one stop text can be seen before the earlier beginning of a longer one.
    assert text == whole if not places else whole.startswith(text) and len(text) >= min(places)


def test_a_stop_text_across_pieces_is_dropped_with_what_follows() -> None:
    assert said(["one <", "end", "> two"], ["<end>"]) == ("one ", True)
    assert said(["one <", "end", "less"], ["<end>"]) == ("one <endless", False)


def test_what_cannot_begin_a_stop_text_is_said_at_once() -> None:
    watch = StopWatch(["\n\n"])
    assert [watch.push(text) for text in ("a\n", "b", "\n", "\nc", "d")] == ["a", "\nb", "", "", ""]
