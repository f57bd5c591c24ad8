"""ROUGE of texts in any script, against rouge-score and by hand."""

import subprocess
import sys

import hypothesis
import pytest
import rouge_score.rouge_scorer
from hypothesis import strategies

from cloud_stub.rouge import rouge, rouge_l

LATIN = strategies.text("aàbcßdéE 0,1'-.\n\u00a0#", max_size=60)
THEIRS = rouge_score.rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=False)


@hypothesis.given(LATIN, LATIN)
def test_for_latin_script_it_is_rouge_scores_to_the_last_digit(one: str, other: str) -> None:
    theirs = THEIRS.score(one, other)
    assert rouge(one, other) == {name: theirs[name].fmeasure for name in ("rouge1", "rougeL")}


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


def test_scoring_does_not_make_other_libraries_speak() -> None:
    program = "import logging; from cloud_stub.rouge import rouge; rouge('a', 'b'); print(logging.getLogger().handlers)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
