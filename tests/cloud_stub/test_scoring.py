import pytest

from cloud_stub.scoring import score_inputs
from tests.cloud_stub.fakes import FakeNli


def test_both_directions_of_all_samples_are_scored_in_one_pass() -> None:
    nli = FakeNli()
    scores = score_inputs("abcd", ["ab", "abcdabcd"], nli)
    assert nli.calls == [[("abcd", "ab"), ("abcd", "abcdabcd"), ("ab", "abcd"), ("abcdabcd", "abcd")]]
    assert [(score.entails, score.entailed) for score in scores] == [
        pytest.approx((4 / 6, 2 / 6)),
        pytest.approx((4 / 12, 8 / 12)),
    ]
    assert [score.length_ratio for score in scores] == [0.5, 2.0]


def test_no_samples_no_scores() -> None:
    assert score_inputs("abcd", [], FakeNli()) == []
