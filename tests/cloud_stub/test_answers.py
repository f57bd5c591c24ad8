import pytest

from cloud_stub.answers import parse
from cloud_stub.prompts import Prompt

TEXT = Prompt("rewrite", "Say it again.", True, "a text", "a title")
LINE = Prompt("sentences", "Say it again.", True, "a text", "", lead="", bridge="")


def held(*answers: str) -> Prompt:
    return Prompt("paper", "Say it again.", True, "a text", "a title", answers)


@pytest.mark.parametrize(
    "answer",
    [
        "Input: A cat sat.\nResponse: Cat, sitting",
        "Input: A cat sat., Response: Cat, sitting",
        "input : A cat sat.\n\nresponse : Cat, sitting",
        "**Input:** A cat sat.\n**Response:** Cat, sitting",
        "**Input**: A cat sat.\n\n**Response**: Cat, sitting",
        "**Input: A cat sat.**\n**Response: Cat, sitting**",
        "*Input:* A cat sat.\n*Response:* Cat, sitting",
        "### Input: A cat sat.\n### Response: Cat, sitting",
        "1. Input: A cat sat.\n   Response: Cat, sitting",
        "- Input: A cat sat.\n- Response: Cat, sitting",
        "Here is a pair:\n\nInput: A cat sat.\nResponse: Cat, sitting\n\nI hope that this helps!",
        "Input: A cat sat.\nResponse: Cat, sitting\nInput: A dog ran.\nResponse: Dog, running",
        "Input:\nA cat sat.\n\nResponse:\nCat, sitting",
        "Input:A cat sat.\nResponse:Cat, sitting",
        "<think>Input: what?\nResponse: hm</think>\nInput: A cat sat.\nResponse: Cat, sitting",
        "Input: what?\nResponse: hm</think>\nInput: A cat sat.\nResponse: Cat, sitting",
        "Input\uff1aA cat sat.\nResponse\uff1aCat, sitting",
        "**Input\uff1a** A cat sat.\n**Response\uff1a** Cat, sitting",
        "> Input: `A cat sat.`\n> Response: `Cat, sitting`",
    ],
)
def test_a_pair_is_found_however_it_is_dressed(answer: str) -> None:
    assert parse(answer, TEXT) == ("A cat sat.", "Cat, sitting")


def test_quotes_are_left_to_who_knows_whether_the_example_has_them() -> None:
    assert parse('Input: "A cat sat."\nResponse: "Cat"', TEXT) == ('"A cat sat."', '"Cat"')


@pytest.mark.parametrize(
    "answer", ["", "I cannot do that.", "A cat sat.\nResponse: Cat", "Input: A cat sat.", "\x00}{"]
)
def test_what_is_no_pair_has_no_parts(answer: str) -> None:
    first, second = parse(answer, TEXT)
    assert not first or not second


def test_words_that_end_like_the_marks_are_none() -> None:
    assert parse("My input: is not\nUserinput: A\nInput: B. Nonresponse: c\nResponse: d", TEXT)[1] == "d"


@pytest.mark.parametrize(
    ("said", "meant"),
    [("4", "4"), ("**4**", "4"), ("4.", "4"), ("4 stars", "4"), ("14", ""), ("3 or 4", ""), ("", ""), ("good", "")],
)
def test_a_rating_is_one_of_those_allowed_or_nothing(said: str, meant: str) -> None:
    assert parse(f"Input: Fine.\nResponse: {said}", held("3", "4", "5"))[1] == meant


def test_a_label_is_given_in_its_own_letters() -> None:
    assert parse("Input: Robots.\nResponse: SCI-FI", held("sci-fi", "based on a book"))[1] == "sci-fi"


@pytest.mark.parametrize("answer", ["Input: Fine.\nResponse: whatever", "Input: Fine.", "Input: Fine.\n\nDone."])
def test_where_one_answer_alone_is_allowed_it_is_taken(answer: str) -> None:
    assert parse(answer, held("4")) == ("Fine.", "4")


def test_a_prompt_without_a_second_part_takes_the_first_line() -> None:
    assert parse("**A cat was sitting.**\nIs that right?", LINE) == ("A cat was sitting.", "")
