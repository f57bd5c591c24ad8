import asyncio
import time

from cloud_stub.augmenting import Outcome, Parts, Work, augment_group, groups
from cloud_stub.prompts import Prompt
from cloud_stub.schemas import AugmentRequest, ModelDescription, SharedRecord
from cloud_stub.writing import Sample
from tests.cloud_stub.fakes import FakeModel, FakeNli, SlowModel, record

TWO_PIECES = (
    "The first sentence tells of a long journey through the mountains in the north with a very old donkey."
    " The second sentence tells of the return by train and of the donkey that stayed with a farmer's family."
)


def work(form: str, *texts: str, k: int = 5, seconds: float = 60.0) -> Work:
    records = tuple(record(number, text) for number, text in enumerate(texts))
    description = ModelDescription.model_validate({"name": "fake", "embedded": False, "prompt": form})
    return Work(AugmentRequest(records=records, k=k), (description,), seconds, lambda: False, print)


def sizes(asked: Work, samples: int) -> list[int]:
    return [len(group) for group in groups(asked, asked.request.records, samples)]


def test_records_are_grouped_until_they_ask_for_enough_samples() -> None:
    texts = [f"text {number}" for number in range(7)]
    assert sizes(work("paper", *texts), 15) == [3, 3, 1]
    assert sizes(work("paper", *texts), 1) == [1] * 7


def test_each_piece_of_a_text_is_asked_for_by_itself_and_counts() -> None:
    assert sizes(work("sentences", TWO_PIECES, TWO_PIECES, "one piece", "another"), 10) == [1, 1, 2]
    assert sizes(work("paper", TWO_PIECES, TWO_PIECES, "one piece", "another"), 10) == [2, 2]


def test_a_record_is_told_of_when_it_is_done_and_a_slow_one_may_take_the_time_of_all() -> None:
    told: list[Outcome] = []
    asked = work("rewrite", "slow", "quick", seconds=0.1)
    model = SlowModel(quick="quick")
    asyncio.run(augment_group(asked, Parts((model,), FakeNli()), asked.request.records, told.append))
    assert [outcome.reference for outcome in told] == [
        asked.request.records[1].reference,
        asked.request.records[0].reference,
    ]
    assert {getattr(line, "reason", None) for line in told[1].lines} == {"time limit"}


def test_a_record_that_fails_does_not_take_the_others_with_it() -> None:
    told: list[Outcome] = []

    def answer(prompt: Prompt, seed: int) -> Sample:
        if prompt.input_like == "bad":
            raise ValueError
        return Sample(f"{prompt.input_like} again {seed}", "title", 7)

    asked = work("rewrite", "bad", "good")
    asyncio.run(augment_group(asked, Parts((FakeModel(answer),), FakeNli()), asked.request.records, told.append))
    lines = {outcome.reference: outcome.lines for outcome in told}
    assert [len(lines[one.reference]) for one in asked.request.records] == [1, 5]


def test_more_records_are_begun_before_those_in_progress_have_all_been_told_of() -> None:
    told: list[Outcome] = []
    asked = work("paper", *(f"text {number}" for number in range(60)))
    waiting = list(asked.request.records)
    first, told_before = [waiting.pop(0) for _ in range(20)], list[int]()

    def more() -> list[SharedRecord]:
        told_before.append(len(told))
        return [waiting.pop(0) for _ in range(min(15, len(waiting)))]

    asyncio.run(augment_group(asked, Parts((FakeModel(),), FakeNli()), first, told.append, more))
    assert sorted(outcome.reference for outcome in told) == sorted(one.reference for one in asked.request.records)
    # Twelve of twenty ask for fewer samples than it takes; at the end nothing is left, and each of the last ones asks.
    assert told_before[0] == 8
    assert len(told_before) > 3


def test_a_record_begun_later_has_the_time_of_those_beside_it_and_no_more() -> None:
    told: list[Outcome] = []
    asked = work("paper", *(f"text {number}" for number in range(3)), seconds=0.1)
    first, *later = asked.request.records
    model = SlowModel(quick=first.input)
    began = time.monotonic()
    rest = [tuple(later)]
    more = lambda: rest.pop() if rest else ()  # noqa: E731
    asyncio.run(augment_group(asked, Parts((model,), FakeNli()), [first], told.append, more))
    assert time.monotonic() - began < 5
    assert {getattr(line, "reason", None) for outcome in told[1:] for line in outcome.lines} == {"time limit"}
