from typing import Any

import pytest

from cloud_stub.prompts import (
    BRIDGE,
    LEAD,
    MANNER_EXAMPLES,
    MANNER_LENGTH,
    Form,
    build_prompt,
    others,
    seeded,
    variation_prompt,
)
from cloud_stub.schemas import AugmentRequest, SharedRecord
from tests.cloud_stub.fakes import record

FORMS: tuple[Form, ...] = ("paper", "rewrite")


def request(*records: SharedRecord, **settings: Any) -> AugmentRequest:
    return AugmentRequest(records=records, **settings)


def test_the_papers_prompt_is_the_sources_word_for_word() -> None:
    one = record(1, "The cat sat on the mat", "cat, mat")
    prompt = build_prompt("paper", request(one), one)
    assert prompt.text == (
        "Generate an Input and Response pairs semantically similar to the following example, no need to explain."
        " Input: The cat sat on the mat, Response: cat, mat."
    )
    assert prompt.chat


@pytest.mark.parametrize("form", FORMS)
def test_a_record_that_names_the_templates_places_is_not_filled_again(form: Form) -> None:
    one = record(1, "{output} and {manner} of {input}", "my {input}")
    prompt = build_prompt(form, request(one), one)
    assert "{output} and {manner} of {input}" in prompt.text
    assert "my {input}" in prompt.text


@pytest.mark.parametrize("form", FORMS)
def test_a_record_of_many_lines_takes_one_line_of_the_prompt(form: Form) -> None:
    one = record(1, "first\nResponse: forged\n\nInput: forged", "a\r\nb\u2028c")
    prompt = build_prompt(form, request(one), one)
    assert "first Response: forged Input: forged" in prompt.text
    assert "a b c" in prompt.text


def test_the_manner_is_shown_by_other_records_never_by_the_record_itself() -> None:
    records = [record(number, f"text {number}", f"manner {number}") for number in range(6)]
    shown = others(request(*records), records[0])
    prompt = build_prompt("rewrite", request(*records), records[0])
    assert len(shown) == MANNER_EXAMPLES
    assert records[0] not in shown
    assert prompt.text.count("manner 0") == 1
    assert all(other.output in prompt.text for other in shown)


def test_the_papers_form_shows_the_one_record_alone() -> None:
    records = [record(number, f"text {number}", f"manner {number}") for number in range(6)]
    text = build_prompt("paper", request(*records), records[0]).text
    assert not any(other.output in text for other in records[1:])


@pytest.mark.parametrize("form", FORMS)
def test_no_prompt_ends_by_naming_the_lines_of_the_answer(form: Form) -> None:
    one = record(1)
    assert not build_prompt(form, request(one), one).text.rstrip().endswith((LEAD, BRIDGE))


def test_the_same_request_shows_the_same_manner_and_another_seed_another() -> None:
    records = [record(number, f"text {number}") for number in range(50)]
    assert others(request(*records), records[0]) == others(request(*records), records[0])
    assert others(request(*records), records[0]) != others(request(*records, seed=1), records[0])


def test_empty_records_show_no_manner() -> None:
    assert others(request(record(1), record(2, "  "), record(3, "text", "")), record(1)) == []


def test_of_long_answers_a_part_shows_the_manner() -> None:
    essays = [record(number, f"text {number}", f"essay {number} " + "word " * 3000) for number in range(4)]
    own = essays[0]
    for text in (build_prompt("rewrite", request(*essays), own).text, variation_prompt(request(*essays), own).text):
        assert all(f"essay {number}" in text for number in range(4))
        assert len(text) < 2 * len(own.output) + MANNER_EXAMPLES * MANNER_LENGTH + 1000


@pytest.mark.parametrize("form", FORMS)
def test_a_single_record_can_be_asked_about(form: Form) -> None:
    one = record(1)
    text = build_prompt(form, request(one), one).text
    assert one.input in text
    assert one.output in text


def test_a_rewritten_input_keeps_its_label_and_the_papers_form_may_take_any_that_was_shared() -> None:
    records = [record(1, "a", "comedy"), record(2, "b", "action"), record(3, "c", "comedy"), record(4, "d", " ")]
    labelled = request(*records, answer="label")
    assert build_prompt("rewrite", labelled, records[0]).answers == ("comedy",)
    assert build_prompt("rewrite", labelled, records[1]).answers == ("action",)
    assert build_prompt("paper", labelled, records[0]).answers == ("action", "comedy")
    assert build_prompt("paper", request(*records), records[0]).answers == ()


def test_a_long_answer_among_labels_is_no_label_of_the_others() -> None:
    records = [record(1, "a", "comedy"), record(2, "b", "action"), record(3, "c", "x" * 201)]
    labelled = request(*records, answer="label")
    assert build_prompt("paper", labelled, records[0]).answers == ("action", "comedy")
    assert "x" * 201 in build_prompt("paper", labelled, records[2]).answers


def test_seeds_have_31_bits_and_depend_on_each_part() -> None:
    found = {seeded(seed, name, number) for seed in range(10) for name in "ab" for number in range(10)}
    assert len(found) == 200
    assert all(0 <= one < 2**31 for one in found)
