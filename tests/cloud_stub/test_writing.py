import asyncio
from collections.abc import Callable

import pytest

from cloud_stub.prompts import Prompt
from cloud_stub.schemas import MAX_TEXT
from cloud_stub.writing import REDRAWS, Drawn, Sample, draw_samples, same, tidy
from tests.cloud_stub.fakes import FakeModel, record

ONE = record(1, "The cat sat on the mat.", "cat, mat")
PROMPT = Prompt("rewrite", "text", True, ONE.input, ONE.output)


def drawn(model: FakeModel, k: int = 3, temperature: float = 0.7, stop: Callable[[], bool] = lambda: False) -> Drawn:
    return asyncio.run(draw_samples(model, PROMPT, ONE, k, 0, temperature, stop))


def test_each_sample_has_a_number_and_a_seed_of_its_own() -> None:
    found = drawn(FakeModel())
    assert [draw.number for draw in found.draws] == [1, 2, 3]
    assert len({draw.seed for draw in found.draws}) == 3
    assert found.tokens == 21


def test_the_seed_of_a_sample_does_not_depend_on_how_many_are_drawn() -> None:
    assert drawn(FakeModel(), k=2).draws == drawn(FakeModel(), k=5).draws[:2]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (Sample("", "title", 1), "unusable answer"),
        (Sample("text", " ", 1), "unusable answer"),
        (Sample("the cat sat on the mat", "title", 1), "unusable answer"),
        (Sample("text", "title", 1, "too long"), "too long"),
    ],
)
def test_a_bad_sample_is_drawn_again_with_other_seeds_up_to_a_bound(sample: Sample, reason: str) -> None:
    model = FakeModel(lambda prompt, seed: sample)
    found = drawn(model, k=1)
    assert len(model.seeds) == 1 + REDRAWS
    assert len(set(model.seeds)) == 1 + REDRAWS
    assert found.draws[0].fault == reason
    assert found.tokens == 1 + REDRAWS


def test_only_what_came_to_nothing_is_drawn_again() -> None:
    asked: list[int] = []

    def answer(prompt: Prompt, seed: int) -> Sample:
        asked.append(seed)
        return Sample("" if len(asked) == 2 else f"text {seed}", "title", 1)

    found = drawn(FakeModel(answer))
    assert len(asked) == 4
    assert [draw.fault for draw in found.draws] == [None, None, None]


def test_a_repeat_of_a_sibling_is_drawn_again() -> None:
    model = FakeModel(lambda prompt, seed: Sample("A mat holds a cat!", "title", 1))
    found = drawn(model, k=2)
    assert [draw.fault for draw in found.draws] == [None, "unusable answer"]
    assert len(set(model.seeds)) == 2 + REDRAWS


def test_without_temperature_nothing_is_drawn_again() -> None:
    model = FakeModel(lambda prompt, seed: Sample("", "", 1))
    drawn(model, temperature=0.0, k=4)
    assert len(model.seeds) == 4


def test_nothing_is_drawn_again_once_nobody_wants_it() -> None:
    model = FakeModel(lambda prompt, seed: Sample("", "", 1, "stopped"))
    drawn(model, stop=lambda: bool(model.seeds))
    assert len(model.seeds) == 1


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  two   words\t", "two words"),
        ("one\r\ntwo\u2028three\x00four\x1bfive", "one two three four five"),
        ("so<|im_end|>\n<|im_start|>user", "so user"),
        ("so</s>[INST] on [/INST]<end_of_turn>", "so on"),
        ("[in brackets]", "in brackets"),
        ('"quoted"', "quoted"),
        ("“quoted”", "quoted"),
        ("[one] and [two]", "[one] and [two]"),
        ('"one" and "two"', '"one" and "two"'),
        ("half \ud83d a pair", "half a pair"),
        ("👩‍👩‍👧 stays, and so does हिन्दी", "👩‍👩‍👧 stays, and so does हिन्दी"),
    ],
)
def test_a_models_text_becomes_one_clean_line(text: str, clean: str) -> None:
    assert tidy(text, "like this") == clean


def test_quotes_stay_where_the_example_has_them() -> None:
    assert tidy('"so it goes"', '"a quote"') == '"so it goes"'


def test_a_text_is_never_longer_than_the_protocol_allows() -> None:
    assert len(tidy("x" * 2 * MAX_TEXT, "")) == MAX_TEXT


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("The cat.", "the  CAT", True),
        ("The cat", "The hat", False),
        ("北京", "北京。", True),
        ("北京", "南京", False),
        ("...", "!!!", False),
        ("हिन्दी", "हिन्दू", False),
    ],
)
def test_texts_are_the_same_but_for_case_space_and_punctuation(one: str, other: str, equal: bool) -> None:
    assert same(one, other) is equal
