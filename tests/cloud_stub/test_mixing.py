from hypothesis import given
from hypothesis import strategies as st

from cloud_stub.mixing import mixtures, repeats

PIECE = "The small dog sleeps in the old garden now"
REWRITE = "The little dog rests in the old yard now"


def test_a_mixture_takes_some_of_a_rewrites_changes() -> None:
    assert set(mixtures(PIECE, [REWRITE])) == {
        "The little dog rests in the old garden now",
        "The little dog sleeps in the old yard now",
        "The small dog rests in the old yard now",
        "The little dog sleeps in the old garden now",
        "The small dog rests in the old garden now",
        "The small dog sleeps in the old yard now",
    }


def test_changes_of_different_rewrites_that_stand_apart_come_together() -> None:
    one, other = "The little dog sleeps in the old garden now", "The small dog sleeps in the old yard now"
    assert mixtures(PIECE, [one, other]) == ["The little dog sleeps in the old yard now"]


def test_changes_of_different_rewrites_that_stand_close_do_not() -> None:
    one, other = "The little dog sleeps in the old garden now", "The small hound sleeps in the old garden now"
    assert mixtures(PIECE, [one, other]) == []


def test_a_mixture_that_says_a_word_twice_is_left_out() -> None:
    rewrite = "Now in the old garden the small dog sleeps"
    assert "Now in the old garden the small dog sleeps in the old garden now" not in mixtures(PIECE, [rewrite])
    assert repeats("I wait for the train", "I wait for the train for the train")
    assert repeats("I wait", "I I wait")
    assert not repeats("train after train", "a train and another train")


def test_case_alone_is_no_change() -> None:
    assert mixtures(PIECE, [PIECE.upper()]) == []


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=4))
def test_mixtures_are_new_distinct_and_never_the_piece(piece: str, rewrites: list[str]) -> None:
    made = mixtures(piece, rewrites)
    assert len(set(made)) == len(made)
    assert not {text.lower() for text in made} & {piece.lower(), *(rewrite.lower() for rewrite in rewrites)}
