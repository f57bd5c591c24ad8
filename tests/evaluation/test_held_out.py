"""What a person's own records are judged by: the metric of the task, on the scale of their own numbers."""

from collections.abc import Sequence

import pytest

from app.evaluation import held_out
from app.evaluation.metrics import score_of
from app.pipeline.dataset import TrainingData, TrainingText
from app.tasks import Task, find_task


def data_of(task: Task, golds: Sequence[str], learned: Sequence[str] = ()) -> TrainingData:
    """Records with these outputs, and a pair whose output is none of the person's."""
    own = [TrainingText(f"Input {number}", output, number, None) for number, output in enumerate((*learned, *golds))]
    texts = (*own[: len(learned)], TrainingText("Input", "999", 0, 1))
    return TrainingData(task, texts, tuple(own[len(learned) :]), 0, "")


def own_task(answer: str, metric: str, labels: tuple[str, ...] = ()) -> Task:
    return Task("mine", "Mine", "{input}", answer, metric, labels=labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "title"),
    [
        (find_task("title"), "ROUGE-1"),
        (find_task("tag"), "Accuracy"),
        (find_task("rating"), "MAE"),
        (own_task("text", "accuracy"), "Accuracy"),
        (own_task("text", "mae"), "MAE"),
        (own_task("label", "mae", ("1", "2")), "MAE"),
        (own_task("label", "rouge", ("1", "2")), "ROUGE-1"),
    ],
)
def test_a_task_is_judged_by_its_metric(task: Task, title: str) -> None:
    assert held_out.metric_of(data_of(task, ["1", "2"])).title == title


@pytest.mark.parametrize(
    ("golds", "learned", "always", "error"),
    [
        (["8", "9", "7", "10"], ["6"], "5", 3.5),
        (["4/5", "5/5"], ["3/5"], "5", 0.5),
        (["4 stars", "5 stars"], [], "4", 0.5),
        (["4,5", "3,5"], [], "5", 1.0),
        # Without a number an answer is as far off as the scale allows: 1 to 5, else to the largest number or to 0.
        (["4", "3"], ["n/a"], "no idea", 2.5),
        (["1,200", "300"], ["2,000"], "none", 1450.0),
        (["1,200", "300"], ["2,000"], "999999", 1450.0),
    ],
)
def test_ratings_of_any_scale_and_form_are_measured(
    golds: Sequence[str], learned: Sequence[str], always: str, error: float
) -> None:
    metric = held_out.metric_of(data_of(find_task("rating"), golds, learned))
    assert score_of(metric, golds, golds) == 0
    assert score_of(metric, [always] * len(golds), golds) == error


def test_where_an_answer_holds_no_number_accuracy_judges_and_says_why() -> None:
    golds = ["good", "4"]
    metric = held_out.metric_of(data_of(find_task("rating"), golds))
    assert metric.title == "Accuracy (not every answer holds a number)"
    assert score_of(metric, ["good", "5"], golds) == 0.5
