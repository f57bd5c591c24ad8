"""Metrics by hand, and against the reference implementations."""

import math
import random
from pathlib import Path

import pytest
import sklearn.metrics
import tokenizers
import torch
import transformers

from app.evaluation import bertscore
from app.evaluation.bertscore import BertScorer
from app.evaluation.metrics import (
    ACCURACY,
    MAE,
    RMSE,
    ROUGE_1,
    ROUGE_L,
    count_unusable,
    macro_f1,
    metrics_of,
    read_rating,
    scale_of,
    score_of,
)
from app.tasks import find_task, read_number

ODD = ["", " ", "one", "Привет, мир", "猫が好き", "a" * 3000, "don't — stop!", "one two three", "three two one"]


def test_accuracy_ignores_white_space_and_nothing_else() -> None:
    assert score_of(ACCURACY, ["sad ", "Sad", "sad.", ""], ["sad"] * 4) == 0.25


def test_macro_f1_by_hand() -> None:
    # a: 1 hit, 1 missed, 1 wrong: 2/4; b: 1 hit, 1 wrong: 2/3; c: 0 hits: 0.
    found = score_of(macro_f1(["a", "b", "c"]), ["a", "b", "b", "a"], ["a", "a", "b", "c"])
    assert found == pytest.approx((0.5 + 2 / 3 + 0) / 3)


def test_macro_f1_is_that_of_scikit_learn_with_answers_outside_the_labels() -> None:
    draw = random.Random(0)
    labels = ["red", "green", "blue", "never"]
    golds = [draw.choice(labels[:3]) for _ in range(200)]
    answers = [draw.choice([*labels, "none of them", ""]) for _ in golds]
    expected = sklearn.metrics.f1_score(golds, answers, labels=labels, average="macro", zero_division=0)
    assert score_of(macro_f1(labels), answers, golds) == pytest.approx(expected)
    assert score_of(ACCURACY, answers, golds) == pytest.approx(sklearn.metrics.accuracy_score(golds, answers))


def test_ratings_by_hand() -> None:
    answers, golds = ["4", " 2.5\n", "five", "9", ""], ["5", "2", "3", "1", "2"]
    # 1, 0.5, and for answers that are no number on the scale the worst: 2, 4, 3.
    assert score_of(MAE, answers, golds) == pytest.approx((1 + 0.5 + 2 + 4 + 3) / 5)
    assert score_of(RMSE, answers, golds) == pytest.approx(math.sqrt((1 + 0.25 + 4 + 16 + 9) / 5))
    assert count_unusable(find_task("LaMP_3"), answers) == 3
    talking = ["4 stars", "On a scale of 1 to 5, I give it 4."]
    assert score_of(MAE, talking, ["4", "1"]) == (3 + 4) / 2
    assert count_unusable(find_task("LaMP_3"), talking) == 2


def test_errors_of_ratings_are_those_of_scikit_learn() -> None:
    draw = random.Random(1)
    golds, answers = ([str(draw.randint(1, 5)) for _ in range(100)] for _ in range(2))
    numbers = [list(map(int, texts)) for texts in (golds, answers)]
    assert score_of(MAE, answers, golds) == pytest.approx(sklearn.metrics.mean_absolute_error(*numbers))
    assert score_of(RMSE, answers, golds) == pytest.approx(sklearn.metrics.root_mean_squared_error(*numbers))


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("3", 3.0),
        (" 4.\n", 4.0),
        ("4.5", 4.5),
        ("4/5", None),
        ("score: 2.5!", None),
        ("-2", None),
        ("0", None),
        ("nan", None),
        ("9" * 400, None),
        ("none", None),
    ],
)
def test_a_rating_is_the_whole_answer_as_a_number_on_the_scale(text: str, rating: float | None) -> None:
    assert read_rating(text) == rating


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8/10", 8.0),
        ("4,5 stars", 4.5),
        ("1,299.50 euros", 1299.5),
        ("0,125", 0.125),
        ("score-4", 4.0),
        ("-3", -3.0),
        ("four", None),
        ("9" * 400, None),
    ],
)
def test_a_persons_number_is_read_as_it_is_written(text: str, number: float | None) -> None:
    assert read_number(text) == number


def test_the_scale_of_numbers_is_never_a_single_point() -> None:
    assert scale_of([3.0, 3.0]) == (1.0, 5.0)
    assert scale_of([8.0, 8.0]) == (0.0, 8.0)
    assert scale_of([-2.0, -1.0]) == (-2.0, 0.0)


def test_rouge_by_hand() -> None:
    # Three of four words in common, three in order; F1 of 3/4 and 3/3.
    assert score_of(ROUGE_1, ["the cat sat"], ["the cat sat down"]) == pytest.approx(6 / 7)
    assert score_of(ROUGE_L, ["three two one"], ["one two three"]) == pytest.approx(1 / 3)
    assert score_of(ROUGE_1, ["three two one"], ["one two three"]) == 1.0


def test_texts_of_other_scripts_are_worth_what_they_share() -> None:
    for text in ("Поезд в Москву опять опоздал", "今天的火车又晚点了", "Το τρένο άργησε πάλι"):
        assert score_of(ROUGE_1, [text], [text]) == score_of(ROUGE_L, [text], [text]) == 1.0
    assert score_of(ROUGE_1, ["поезд опоздал"], ["поезд опять опоздал"]) == pytest.approx(4 / 5)


def test_odd_answers_are_scored_between_0_and_1() -> None:
    for gold in ODD:
        for metric in (ROUGE_1, ROUGE_L, ACCURACY):
            assert 0 <= score_of(metric, ODD, [gold] * len(ODD)) <= 1
    assert math.isnan(score_of(ROUGE_1, [], []))


def test_each_kind_of_task_has_the_benchmarks_metrics() -> None:
    names = {
        task: [metric.name for metric in metrics_of(find_task(task), ["a"])] for task in ("LaMP_2", "LaMP_3", "LaMP_5")
    }
    assert names == {"LaMP_2": ["accuracy", "f1"], "LaMP_3": ["mae", "rmse"], "LaMP_5": ["rouge1", "rougeL"]}


def test_unusable_labels_are_counted() -> None:
    assert count_unusable(find_task("LaMP_2"), ["sad", "Sad", "", "funny "], ["sad", "funny"]) == 2
    assert count_unusable(find_task("LaMP_5"), ["", " ", "A title"]) == 2


def test_bertscore_is_that_of_the_bert_score_package() -> None:
    """Expected: bert-score 0.3.13, model_type the embedded encoder's folder, num_layers 6, neither idf nor rescaled."""
    answers = ["A study of drums in polyphonic mixtures", "the cat sat", "Yes", "Привет мир", "x", ""]
    golds = [
        "On Drum Playing Technique Detection in Polyphonic Mixtures",
        "a dog ran away quickly",
        "No, not at all.",
        "Здравствуй, мир!",
        "x",
        "y",
    ]
    expected = [0.763486, 0.235886, 0.420182, 0.732513, 1.0, 0.0]
    assert BertScorer().f1(answers, golds) == pytest.approx(expected, abs=2e-4)


def tiny_roberta(folder: Path) -> Path:
    """A random RoBERTa of three layers."""
    folder.mkdir(parents=True)
    tokeniser = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokeniser.train_from_iterator(["the cat sat on a mat"] * 20, vocab_size=300, special_tokens=special)
    tokeniser.save_model(str(folder))
    transformers.RobertaTokenizer.from_pretrained(str(folder), model_max_length=62).save_pretrained(str(folder))
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    transformers.RobertaModel(config).save_pretrained(str(folder))
    return folder


def f1_by_hand(folder: Path, answer: str, gold: str, layer: int) -> float:
    """As bert-score computes it, from tokens of the texts behind a space."""
    tokeniser = transformers.RobertaTokenizer.from_pretrained(str(folder))
    network = transformers.RobertaModel.from_pretrained(str(folder)).eval()
    vectors = []
    for text in (answer, gold):
        with torch.inference_mode():
            states = network(**tokeniser(f" {text}", return_tensors="pt"), output_hidden_states=True).hidden_states
        vectors.append(torch.nn.functional.normalize(states[layer][0], dim=-1))
    alike = vectors[0] @ vectors[1].T
    precision, recall = alike[1:-1].max(dim=1).values.mean(), alike[:, 1:-1].max(dim=0).values.mean()
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("layer", [1, 3])
def test_bertscore_of_a_roberta_reads_texts_behind_a_space_at_the_layer_for_its_size(
    layer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bertscore.LAYERS, ("roberta", 3, 16), layer)
    folder = tiny_roberta(tmp_path / "models--FacebookAI--roberta-tiny" / "snapshots" / "0a1b2c")
    scorer = BertScorer(folder)
    assert scorer.name == "roberta-tiny"
    found = scorer.f1(["cat sat", "", "the mat"], ["the cat sat", "cat", "the mat"])
    assert found == pytest.approx([f1_by_hand(folder, "cat sat", "the cat sat", layer), 0.0, 1.0], abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "layers", "size", "layer"),
    [
        ("RobertaConfig", 24, 1024, 17),
        ("RobertaConfig", 12, 768, 10),
        ("BertConfig", 12, 768, 9),
        ("BertConfig", 12, 384, -1),
        ("BertConfig", 6, 384, -1),
        ("DebertaConfig", 12, 768, -1),
    ],
)
def test_the_layer_goes_by_the_encoder_and_not_by_its_folder(kind: str, layers: int, size: int, layer: int) -> None:
    config = getattr(transformers, kind)(num_hidden_layers=layers, hidden_size=size)
    assert bertscore.layer_of(config) == layer
