import hypothesis
import pytest
import rouge_score.rouge_scorer
from hypothesis import strategies

from cloud_stub.scoring import rouge_l, score_inputs
from tests.cloud_stub.fakes import FakeNli

LATIN = strategies.text("aàbcßdéE 0,1'-.\n\u00a0#", max_size=60)
THEIRS = rouge_score.rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)


@hypothesis.given(LATIN, LATIN)
def test_for_latin_script_rouge_l_is_rouge_scores_to_the_last_digit(one: str, other: str) -> None:
    assert rouge_l(one, other) == THEIRS.score(one, other)["rougeL"].fmeasure


def test_an_emoji_or_a_foreign_name_does_not_change_that() -> None:
    one, other = "Meet Мария at the café 🎉 tonight", "Tonight we meet Мария at a café"
    assert rouge_l(one, other) == THEIRS.score(one, other)["rougeL"].fmeasure


@pytest.mark.parametrize(
    ("one", "other", "score"),
    [
        ("кошка сидит дома", "кошка спит дома", 2 / 3),
        ("猫坐在垫子上", "猫坐在垫子上", 1.0),
        ("猫坐在垫子上", "狗睡了", 0.0),
        ("AI 研究 的 进展", "AI 天气 很 好", 0.25),
        ("हिन्दी भाषा", "हिन्दू भाषा", 0.5),
        ("แมว", "แมว", 1.0),
        ("?!", "", 0.0),
        ("кошка", "cat", 0.0),
    ],
)
def test_words_of_other_scripts_count(one: str, other: str, score: float) -> None:
    assert rouge_l(one, other) == pytest.approx(score, abs=0.1)


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
