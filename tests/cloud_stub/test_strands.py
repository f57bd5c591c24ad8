"""The guided answer, with bytes as tokens: what the model is given next, and when the parts are whole."""

import numpy
import pytest

from cloud_stub.strands import Guide, Strand, choose, without

BRIDGE = tuple(b"\nResponse:")
END = 256


def guide(**changes: object) -> Guide:
    settings = {"bridge": BRIDGE, "longest_input": 60, "longest_output": 60, **changes}
    return Guide(**settings)  # type: ignore[arg-type]


def written(strand: Strand, text: str, end: bool = False) -> list[tuple[int, ...]]:
    """Have the strand take a text byte by byte while it wants more; what it asked to be given after each."""
    asked = []
    for byte in text.encode():
        if strand.done:
            break
        strand.accept(byte, bytes([byte]), ends=False)
        asked.append(strand.waiting)
    if end:
        strand.accept(END, b"", ends=True)
        asked.append(strand.waiting)
    return asked


def parts(strand: Strand) -> tuple[str, str]:
    sample = strand.sample()
    return sample.input.strip(), sample.output.strip()


def test_each_part_ends_with_its_line_and_the_second_is_introduced_in_between() -> None:
    strand = Strand(guide(), seed=0)
    asked = written(strand, " a cat\n")
    assert asked[-1] == BRIDGE
    assert asked[0] == (ord(" "),)
    written(strand, " a title\n")
    assert strand.done
    assert parts(strand) == ("a cat", "a title")
    assert strand.sample().fault is None


def test_the_end_of_the_turn_ends_a_part_too() -> None:
    strand = Strand(guide(), seed=0)
    assert written(strand, " a cat", end=True)[-1] == BRIDGE
    written(strand, " a title", end=True)
    assert parts(strand) == ("a cat", "a title")


def test_the_first_part_may_not_end_before_its_shortest_length_and_the_second_may() -> None:
    enders = frozenset({ord("\n"), END})
    strand = Strand(guide(shortest_input=4, enders=enders), seed=0)
    written(strand, " a c")
    assert strand.banned == ()
    written(strand, "at\n")
    assert strand.banned == (), "the second part has no shortest length"
    short = Strand(guide(shortest_input=4, enders=enders), seed=0)
    written(short, " a")
    assert short.banned == enders


def test_a_banned_token_is_never_chosen_however_probable() -> None:
    logits = numpy.array([9.0, 1.0, 0.0], numpy.float32)
    assert choose(without(logits, {0}), 0.0, numpy.random.default_rng(0), ()) == 1
    assert logits[0] == 9.0, "the model's own logits are left as they were"


def test_both_parts_on_one_line_are_told_apart() -> None:
    strand = Strand(guide(), seed=0)
    asked = written(strand, " a cat, Response:")
    assert asked[-1] == (ord(":"),), "the model has written the introduction itself"
    written(strand, " a title\n")
    assert parts(strand) == ("a cat", "a title")


def test_a_second_pair_on_the_same_line_is_cut_off() -> None:
    strand = Strand(guide(), seed=0)
    written(strand, " a cat\n a title, Input:")
    assert strand.done
    assert parts(strand) == ("a cat", "a title")


def test_a_line_end_before_the_first_word_is_passed_over() -> None:
    strand = Strand(guide(), seed=0)
    written(strand, "\n a cat\n\n a title\n")
    assert parts(strand) == ("a cat", "a title")


def test_nothing_but_line_ends_comes_to_an_end() -> None:
    strand = Strand(guide(), seed=0)
    written(strand, "\n" * 50)
    assert strand.done
    assert parts(strand) == ("", "")


@pytest.mark.parametrize("text", ["x" * 100, "a cat\n" + "x" * 100])
def test_a_part_that_becomes_too_long_is_given_up(text: str) -> None:
    strand = Strand(guide(), seed=0)
    written(strand, text)
    assert strand.done
    assert strand.sample().fault == "too long"


def test_a_strand_that_was_not_taken_to_its_end_says_so() -> None:
    strand = Strand(guide(), seed=0)
    written(strand, " a cat")
    assert strand.sample().fault == "stopped"


def test_a_cut_character_leaves_no_replacement() -> None:
    strand = Strand(guide(), seed=0)
    for byte in "ok é".encode()[:-1] + b"\n":
        strand.accept(byte, bytes([byte]), ends=False)
    assert parts(strand)[0] == "ok"


def test_an_answer_is_held_to_those_allowed() -> None:
    answers = (tuple(b" 1\n"), tuple(b" 10\n"), tuple(b" no\n"))
    strand = Strand(guide(answers=answers), seed=0)
    written(strand, "text\n")
    assert strand.allowed == [ord(" ")]
    written(strand, " ")
    assert strand.allowed == sorted(b"1n")
    written(strand, "1")
    assert strand.allowed == sorted(b"\n0")
    written(strand, "0")
    assert strand.allowed == [ord("\n")]
    written(strand, "\n")
    assert parts(strand) == ("text", "10")


def test_the_first_part_is_free_where_answers_are_held() -> None:
    assert Strand(guide(answers=(tuple(b" 1\n"),)), seed=0).allowed == []


def test_without_temperature_the_most_probable_token_is_chosen() -> None:
    logits = numpy.array([0.0, 3.0, 1.0], numpy.float32)
    draw = numpy.random.default_rng(0)
    assert choose(logits, 0.0, draw, []) == 1
    assert choose(logits, 0.0, draw, [0, 2]) == 2


def test_tokens_are_drawn_by_their_probability_at_that_temperature() -> None:
    logits = numpy.log(numpy.array([0.6, 0.37, 0.03, 0.0001], numpy.float32))
    draw = numpy.random.default_rng(0)
    counts = numpy.bincount([choose(logits, 1.0, draw, []) for _ in range(4000)], minlength=4) / 4000
    # 0.03 is just above a twentieth of 0.6.
    assert counts[:3] == pytest.approx([0.6, 0.37, 0.03], abs=0.03)
    assert counts[2] > 0
    assert counts[3] == 0
    cold = numpy.bincount([choose(logits, 0.5, draw, []) for _ in range(4000)], minlength=4) / 4000
    assert cold[0] == pytest.approx(0.36 / (0.36 + 0.37**2 + 0.0009), abs=0.03)


def test_only_allowed_tokens_are_drawn() -> None:
    logits = numpy.array([9.0, 0.0, 0.1, 9.0], numpy.float32)
    draw = numpy.random.default_rng(0)
    assert {choose(logits, 0.7, draw, [1, 2]) for _ in range(100)} == {1, 2}
