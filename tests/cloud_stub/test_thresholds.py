"""What a client says that it will keep."""

from typing import Any

import pytest

from cloud_stub.writing import Sample
from tests.cloud_stub.fakes import FakeModel, FakeNli, loaded, record, request_body, serving

WANTED = {"entailment": 0.4, "rouge_l": 0.8, "shortest": 0.9, "longest": 2.0}


def lines(**settings: Any) -> list[dict[str, Any]]:
    """One sample as long as the record, and one far longer, which the record hardly follows from."""
    texts = iter(
        ["Something else is said", "Something else is said at very great length and more than once, and again"]
    )
    model = FakeModel(lambda prompt, seed: Sample(next(texts), "an answer", 5))
    with serving(loaded(model, FakeNli())) as service:
        return service.lines(request_body(record(1), k=2, prompt="rewrite", **settings))


def test_all_pairs_come_unless_the_client_asks_for_the_kept_ones_alone() -> None:
    assert [line["number"] for line in lines(thresholds=WANTED) if line["type"] == "pair"] == [1, 2]
    told = lines(thresholds=WANTED, only_kept=True)
    assert [line["number"] for line in told if line["type"] == "pair"] == [1]
    assert told[-1]["pairs"] == 1


def test_only_kept_says_nothing_without_thresholds() -> None:
    with serving(loaded(FakeModel())) as service:
        answer = service.post(request_body(record(1), only_kept=True))
    assert answer.status_code == 422
    assert "only_kept needs thresholds" in answer.json()["error"]


@pytest.mark.parametrize("wrong", [{"entailment": 2}, {"longest": float("inf")}, {"more": 1}])
def test_thresholds_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with serving(loaded(FakeModel())) as service:
        assert service.post(request_body(record(1), thresholds=WANTED | wrong)).status_code in (400, 422)
