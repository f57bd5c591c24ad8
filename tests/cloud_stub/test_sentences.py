import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cloud_stub.errors import RecordTooLong
from cloud_stub.facts import same_facts, same_relations
from cloud_stub.pieces import pieces
from cloud_stub.prompts import Prompt, sentence_prompt, variation_prompt
from cloud_stub.schemas import AugmentRequest, SharedRecord, Thresholds
from cloud_stub.scoring import entailments, score_inputs
from cloud_stub.sentences import ATTEMPTS_ALONE, draw_by_sentence
from cloud_stub.writing import Drawn, Sample
from tests.cloud_stub.fakes import FakeModel, FakeNli, Lenient, record

HABITS = Thresholds(entailment=0.5, rouge_l=0.8, shortest=0.5, longest=2.0)
LONG = (
    "The first sentence tells of a long journey through the mountains in the north with a very old donkey."
    " The second sentence tells of the return by train and of the donkey that stayed with a farmer's family."
)


class Agreeing:
    """An inference model that holds everything, or what a function says."""

    def __init__(self, says: Callable[[str, str], float] = lambda premise, hypothesis: 1.0) -> None:
        self.says = says

    def entailment(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [self.says(premise, hypothesis) for premise, hypothesis in pairs]


def letters(seed: int) -> str:
    """A word of its own for each seed, without a number in it."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(seed))


def rewriter(*rewrites: str) -> FakeModel:
    """Answers with the rewrites in turn; they hold no word of what is asked."""
    left = list(rewrites)

    def answer(prompt: Prompt, seed: int) -> Sample:
        return Sample(left.pop(0) if left else f"Nobody wrote words like {letters(seed)}", "", 5)

    return FakeModel(answer)


def draw(model: FakeModel, one: SharedRecord, scorer: Any = None, reader: Any = None, **settings: Any) -> Drawn:
    request = AugmentRequest(records=(one,), k=settings.pop("k", 2), **settings)
    return asyncio.run(
        draw_by_sentence(model, scorer or Agreeing(), reader or Lenient(), request, one, HABITS, lambda: False)
    )


def test_sentences_are_put_together_up_to_so_many_words() -> None:
    assert pieces("One two. Three four! Five six seven? Eight.", 4) == [
        "One two. Three four!",
        "Five six seven? Eight.",
    ]
    assert pieces("今日は寒い。明日は雨。", 1) == ["今日は寒い。", "明日は雨。"]
    assert pieces("We saw e.g. cats. @them too", 0) == ["We saw e.g. cats.", "@them too"]
    assert pieces("   ") == []


def test_each_piece_is_asked_for_by_itself() -> None:
    model = rewriter()
    draw(model, record(1, LONG, "a journey"), answer="label")
    assert [prompt.input_like for prompt in model.prompts] == pieces(LONG)


def test_a_piece_without_a_good_rewrite_stays_as_it_was() -> None:
    first, second = pieces(LONG)
    scorer = Agreeing(lambda premise, hypothesis: 0.0 if first in (premise, hypothesis) else 1.0)
    drawn = draw(rewriter(), record(1, LONG, "a journey"), scorer, answer="label")
    assert all(draw.input.startswith(first) and second not in draw.input for draw in drawn.draws)


def test_a_bad_rewrite_is_drawn_again_a_bounded_number_of_times() -> None:
    scorer = Agreeing(lambda premise, hypothesis: 0.0)
    model = rewriter()
    draw(model, record(1, "Only one short sentence", "x"), scorer, answer="label")
    assert len(model.prompts) == ATTEMPTS_ALONE
    assert len({seed for seeds in model.seeds for seed in seeds}) == 2 * ATTEMPTS_ALONE


def test_of_a_single_sentence_the_poor_rewrites_are_told_for_the_filters_to_judge() -> None:
    scorer = Agreeing(lambda premise, hypothesis: 0.1)
    drawn = draw(rewriter(), record(1, "Only one short sentence", "x"), scorer, answer="label")
    assert all(draw.fault is None and draw.input.startswith("Nobody") for draw in drawn.draws)


def test_with_no_good_piece_at_all_the_best_of_the_poor_ones_go_out_to_be_judged() -> None:
    scorer = Agreeing(lambda premise, hypothesis: 0.1)
    drawn = draw(rewriter(), record(1, LONG, "a journey"), scorer, answer="label")
    assert all(draw.fault is None and draw.input.count("Nobody") == len(pieces(LONG)) for draw in drawn.draws)


def test_a_rewrite_that_copies_changes_a_number_or_repeats_another_is_no_good() -> None:
    model = rewriter(
        "We paid 30 euros there",
        "Thirty was what it cost",
        "For 40 euros we got in",
        *["For 40 euros we got in"] * 5,
    )
    drawn = draw(model, record(1, "We paid 40 euros there", "x"), answer="label", k=1)
    assert [draw.input for draw in drawn.draws] == ["For 40 euros we got in"]


def test_nothing_new_is_a_failure_and_not_a_copy() -> None:
    model = FakeModel(lambda prompt, seed: Sample(prompt.input_like, "", 3))
    assert [draw.fault for draw in draw(model, record(1, LONG, "x"), answer="label").draws] == ["unusable answer"] * 2


def test_of_the_texts_that_pieces_make_those_in_other_words_come_first_and_are_unlike_each_other() -> None:
    near = [piece.replace("tells of", "speaks about") for piece in pieces(LONG)]
    far = ["Nobody wrote words like a", "Nobody wrote words like b"]
    model = rewriter(near[0], far[0], near[1], far[1])
    reader = Lenient(lambda original, text: text in near + far)
    drawn = draw(model, record(1, LONG, "x"), reader=reader, answer="label", k=2)
    texts = [draw.input for draw in drawn.draws]
    assert texts[0] == " ".join(far)
    # Of two texts with one near piece each, and one with two, none but the first is in other words throughout.
    assert texts[1] in (f"{far[0]} {near[1]}", f"{near[0]} {far[1]}")


def test_what_the_proofreader_refuses_goes_out_neither_as_good_nor_as_poor() -> None:
    reader = Lenient(lambda original, text: text.startswith("Nobody") is False)
    drawn = draw(rewriter(), record(1, "Only one short sentence", "x"), reader=reader, answer="label")
    assert [draw.fault for draw in drawn.draws] == ["unusable answer"] * 2


def test_of_a_rewrite_the_proofreader_refuses_the_changes_that_hold_are_taken() -> None:
    original, rewrite = "The small dog sleeps in the old stone yard", "The little dog rests in the new stone court"
    reader = Lenient(lambda original, text: "new" not in text)
    model = FakeModel(lambda prompt, seed: Sample(rewrite, "", 3))
    drawn = draw(model, record(1, original, "x"), reader=reader, answer="label", k=1)
    assert [draw.input for draw in drawn.draws] == ["The little dog rests in the old stone court"]


def test_a_label_stays_and_costs_no_question() -> None:
    model = rewriter()
    drawn = draw(model, record(1, "A fine film", "fresh"), answer="label")
    assert {draw.output for draw in drawn.draws} == {"fresh"}
    assert len(model.prompts) == 1


def answers(output: str, *variations: str, says: float = 1.0) -> set[str]:
    one = record(1, "A fine film about the sea", output)
    left = list(variations)
    model = FakeModel(
        lambda prompt, seed: Sample(left.pop(0) if prompt.input_like == output else f"Told anew {letters(seed)}", "", 3)
    )
    scorer = Agreeing(lambda premise, hypothesis: says if output in (premise, hypothesis) else 1.0)
    return {draw.output for draw in draw(model, one, scorer).draws}


def test_the_answer_varies_where_the_variation_says_the_same_in_the_same_manner() -> None:
    assert answers("salt water, again", "sea water, again", "salt water, again") == {
        "salt water, again",
        "sea water, again",
    }


@pytest.mark.parametrize(
    "variation", ["Sea water, again", "sea water, again!", "3 sea waters, again", "a cat sits here"]
)
def test_another_case_mark_number_or_content_does_not(variation: str) -> None:
    assert answers("salt water, again", variation, variation) == {"salt water, again"}


def test_a_variation_of_another_meaning_does_not() -> None:
    assert answers("salt water, again", "sea water, again", "fresh water, again", says=0.3) == {"salt water, again"}


@pytest.mark.parametrize(
    ("original", "rewrite", "same"),
    [
        ("It took 40 minutes", "40 minutes were needed", True),
        ("It took 40 minutes", "It took a while", False),
        ("It took a while", "It took 40 minutes", False),
        ("In 1st class", "In first class", True),
        ("@BlueCoach no bus", "@bluecoach where is it", True),
        ("@BlueCoach no bus", "no bus", False),
        ("See https://a.example/b", "Look at https://a.example/c", False),
        ("We use MIREX data", "Data of MIREX are used", True),
        ("We use MIREX data", "Data are used", False),
        ('I chose "Standby for first" twice', "I chose standby twice", False),
        ("No one came", "Nobody came", True),
        ("The train leaves today", "The train goes tomorrow", False),
        ("Where is my bus?", "My bus is not here", False),
        ("The bus is late", "The bus is late, how can this help?", False),
        ("They were told to wait", "You were told to wait", False),
        ("Thanks for the seat", "I am glad of the seat", True),
        ("Thanks! Where is my seat?", "Where is my seat?", False),
        ("You went. Was it good?", "Did you go? Was it good?", False),
        ("Thank you for the seat", "You're welcome to the seat", False),
        ("I lost my bag", "We lost our bag", False),
        ("They lost the bag", "The bag was lost", False),
        ("He told her", "She was told by him", True),
        ("I am glad of the seat here", "The seat here is glad", False),
        ("You applied for your refund", "You applied for a refund", True),
        ("You applied for a refund", "You applied for your refund", False),
        ("I take tea and cake", "I take tea or cake", False),
        ("It never came, but he waits", "It never came, so he waits", False),
        ("It never came, but he waits", "Although it never came, he waits", True),
        ("It never came", "It never came and nobody cared", False),
        ("Guests of other flights to board", "Guests to board other flights", False),
        ("A wait at the gate due to trouble", "Due to trouble a wait at the gate", True),
    ],
)
def test_what_must_not_change(original: str, rewrite: str, same: bool) -> None:
    assert (same_facts(original, rewrite) and same_relations(original, rewrite)) is same


def test_a_record_cannot_fill_the_templates_places() -> None:
    one, other = record(1, "x", "{text} and {lines}"), record(2, "y", "also {text}")
    request = AugmentRequest(records=(one, other))
    assert variation_prompt(request, one).text.endswith("manner.\n\n{text} and {lines}")
    assert "- also {text}\n- {text} and {lines}\n" in variation_prompt(request, one).text
    assert sentence_prompt("say {text}").text.endswith("say {text}")


def test_short_texts_are_put_to_the_inference_model_whole() -> None:
    nli = FakeNli()
    entailments([("A cat sat.", "A pet sat.")], nli)
    assert nli.calls == [[("A cat sat.", "A pet sat.")]]


def test_a_long_text_follows_as_far_as_its_least_supported_piece() -> None:
    first, second = pieces(LONG)
    other = (
        "Something else stands here, of ships and of harbours and of a captain who could not read any letters at all."
    )
    changed = f"{first} {other}"
    scorer = Agreeing(lambda premise, hypothesis: 0.1 if "ships" in hypothesis else 0.9)
    assert entailments([(LONG, LONG), (LONG, changed), (LONG, second)], scorer) == [1.0, 0.1, 1.0]


def test_what_was_rewritten_piece_by_piece_is_scored_piece_by_piece() -> None:
    first, second = pieces(LONG)
    drawn = draw(rewriter(), record(1, LONG, "a journey"), answer="label")
    (one, _) = drawn.draws
    assert [before for before, _ in one.made_of] == [first, second]
    assert " ".join(after for _, after in one.made_of) == one.input
    scorer = FakeNli()
    (scores,) = score_inputs(LONG, [one.input], scorer, [one.made_of])
    assert scorer.calls == [[*one.made_of, *((after, before) for before, after in one.made_of)]]
    assert scores.entails == min(len(before) / (len(before) + len(after)) for before, after in one.made_of)


def test_the_least_supported_piece_decides() -> None:
    scorer = Agreeing(lambda premise, hypothesis: 0.2 if hypothesis == "d" else 0.9)
    (scores,) = score_inputs("a b", ["c d"], scorer, [[("a", "c"), ("b", "d")]])
    assert (scores.entails, scores.entailed) == (0.2, 0.9)


def test_an_answer_too_long_to_be_varied_goes_with_the_rewrites_as_it_is() -> None:
    class Short(FakeModel):
        async def write(self, prompt: Prompt, *call: Any) -> list[Sample]:
            if prompt.input_like.startswith("essay"):
                raise RecordTooLong("no room")
            return await super().write(prompt, *call)

    short = Short(rewriter().answer)
    drawn = draw(short, record(1, "Only one short sentence", "essay on cats"))
    assert [(draw.fault, draw.output) for draw in drawn.draws] == [(None, "essay on cats")] * 2
