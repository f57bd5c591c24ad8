"""What an answer is worth: accuracy, macro F1, MAE, RMSE, ROUGE and BERTScore, as LaMP defines them.

`metrics_of` are the benchmark's. A person's own numbers need not be LaMP's 1 to 5: those go by `mae_of`.

A metric is split in two, so that a bootstrap can draw users again without scoring an answer again: `measure` turns
each answer into a row of numbers that may be added up, `finish` turns a sum of rows into the score, beside the sum of
everybody's rows, of whom the first is a draw.
Knows no model; BERTScore's rows come from `app.evaluation.bertscore`.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from app.tasks import Task, read_number
from cloud_stub.rouge import rouge as rouge_f1

Rows = Any
"""A float64 array [answers, statistics]."""

RATINGS = (1.0, 5.0)
"""LaMP-3's scale."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score of answers against golds."""

    name: str
    title: str
    """For tables."""
    higher_is_better: bool
    measure: Callable[[Sequence[str], Sequence[str]], Rows]
    """Answers and golds to rows."""
    finish: Callable[[Rows, Rows], Any]
    """Sums of rows, [..., statistics], to scores, [...]; then the sum of all rows that they are drawn from."""


def same_label(answer: str, gold: str) -> bool:
    """LaMP's rule for labels: equal but for white space around them."""
    return answer.strip() == gold.strip()


def read_rating(answer: str) -> float | None:
    """The whole answer as a number on the scale of 1 to 5, white space and a final dot aside; None where it is none.

    LaMP's evaluation takes the whole answer too, so "4 stars" is no rating.
    """
    try:
        value = float(answer)
    except ValueError:
        return None
    return value if RATINGS[0] <= value <= RATINGS[1] else None


def rating_error(answer: str, gold: str) -> float:
    """Distance of a rating from the gold one.

    An answer that is no number counts as the worst that is possible for its gold, as in LaMP's own evaluation: 3 gives
    2, 1 gives 4. So does a number off the scale, whose distance LaMP takes: a single large one would outweigh
    everybody. `count_unusable` says how many there were.
    """
    value, wanted = read_rating(answer), float(gold)
    if value is None:
        return max(abs(wanted - end) for end in RATINGS)
    return abs(value - wanted)


def count_unusable(task: Task, answers: Sequence[str], labels: Sequence[str] = ()) -> int:
    """Answers that are empty, no rating where one was asked for, or none of the labels."""
    if task.answer == "rating":
        return sum(read_rating(answer) is None for answer in answers)
    if task.answer == "label" and labels:
        known = {label.strip() for label in labels}
        return sum(answer.strip() not in known for answer in answers)
    return sum(not answer.strip() for answer in answers)


def _column(values: Sequence[float]) -> Rows:
    """[value, 1] for each answer."""
    import numpy as np

    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)


def _mean(sums: Rows, whole: Rows) -> Any:
    return sums[..., 0] / sums[..., 1]


def _root_mean(sums: Rows, whole: Rows) -> Any:
    import numpy as np

    return np.sqrt(_mean(sums, whole))


def _averaged(name: str, title: str, score: Callable[[str, str], float], higher: bool = True) -> Metric:
    """A metric that is the mean of a score of each answer."""

    def measure(answers: Sequence[str], golds: Sequence[str]) -> Rows:
        return _column([score(answer, gold) for answer, gold in zip(answers, golds, strict=True)])

    return Metric(name, title, higher, measure, _mean)


ACCURACY = _averaged("accuracy", "Accuracy", lambda answer, gold: float(same_label(answer, gold)))
MAE = _averaged("mae", "MAE", rating_error, higher=False)
RMSE = dataclasses.replace(
    _averaged("rmse", "RMSE", lambda answer, gold: rating_error(answer, gold) ** 2, higher=False), finish=_root_mean
)


def scale_of(numbers: Sequence[float]) -> tuple[float, float]:
    """Ends of the scale that a person's numbers lie on: 1 to 5, else as far as they reach, with 0."""
    low, high = min(numbers), max(numbers)
    return RATINGS if RATINGS[0] <= low and high <= RATINGS[1] else (min(low, 0.0), max(high, 0.0))


def number_error(answer: str, gold: str, scale: tuple[float, float]) -> float:
    """Distance of the first numbers of both, but no more than from the gold one to the further end of the scale.

    That is also what an answer without a number counts. Raises ValueError where the gold one has none.
    """
    value, wanted = read_number(answer), read_number(gold)
    if wanted is None:
        raise ValueError("A distance was asked for from a gold answer without a number.")
    worst = max(abs(wanted - end) for end in scale)
    return worst if value is None else min(abs(value - wanted), worst)


def mae_of(numbers: Sequence[float]) -> Metric:
    """MAE on the scale of a person's own numbers."""
    scale = scale_of(numbers)
    return _averaged("mae", "MAE", lambda answer, gold: number_error(answer, gold, scale), higher=False)


def _confusions(answers: Sequence[str], golds: Sequence[str], labels: Sequence[str]) -> Rows:
    """For each answer and label one true positive, false positive or false negative: [answers, 3 * labels]."""
    import numpy as np

    rows = np.zeros((len(golds), 3, len(labels)))
    place = {label.strip(): number for number, label in enumerate(labels)}
    for row, answer, gold in zip(rows, answers, golds, strict=True):
        answered, wanted = place.get(answer.strip()), place[gold.strip()]
        if answered == wanted:
            row[0, wanted] = 1
            continue
        row[2, wanted] = 1
        if answered is not None:
            row[1, answered] = 1
    return rows.reshape(len(golds), -1)


def _by_label(sums: Rows) -> Any:
    """True positives, false positives and false negatives of each label: [3, ..., labels]."""
    import numpy as np

    return np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)


def _asked(sums: Rows) -> Any:
    """Whether each label is among the golds, [..., labels]."""
    hits, _, missed = _by_label(sums)
    return hits + missed > 0


def _macro_f1(sums: Rows, whole: Rows) -> Any:
    import numpy as np

    hits, wrong, missed = _by_label(sums)
    sizes, asked = 2 * hits + wrong + missed, _asked(sums)
    scores = np.divide(2 * hits, sizes, out=np.zeros_like(sizes), where=asked)
    return scores.sum(axis=-1) / np.maximum(asked.sum(axis=-1), 1) * _asked(whole).mean(axis=-1)


def macro_f1(labels: Sequence[str]) -> Metric:
    """Macro F1 over these labels, as in LaMP's evaluation: one that no gold has counts as 0.

    A draw of users leaves out labels that everybody together has. Counted as 0 they would pull the draws below the
    score, and cast doubt on answers that are all right. So a draw is averaged over the labels of its own golds, which
    are the same for every method, and then multiplied by the share of labels that all golds have. Everybody drawn once
    gives the score itself. A label that only answers have is left out of that mean too, for in most draws it is
    the gold that chance left out: scikit-learn's mean, which counts it as 0, lies further below the score.
    """
    fixed = tuple(labels)
    return Metric("f1", "F1", True, lambda answers, golds: _confusions(answers, golds, fixed), _macro_f1)


def rouge(answer: str, gold: str) -> dict[str, float]:
    """ROUGE-1 and ROUGE-L F1, 0 to 1: rouge-score's without stemming, which is what LaMP's evaluation reports."""
    return rouge_f1(gold, answer)


ROUGE_1 = _averaged("rouge1", "ROUGE-1", lambda answer, gold: rouge(answer, gold)["rouge1"])
ROUGE_L = _averaged("rougeL", "ROUGE-L", lambda answer, gold: rouge(answer, gold)["rougeL"])


def bert_score(encoder: str, score: Callable[[Sequence[str], Sequence[str]], Sequence[float]]) -> Metric:
    """BERTScore F1 by a scorer; the encoder's name stands in the title, for scores of two encoders do not compare."""
    return Metric(
        "bertscore", f"BERTScore ({encoder})", True, lambda answers, golds: _column(score(answers, golds)), _mean
    )


def metrics_of(task: Task, labels: Sequence[str], bert: Metric | None = None) -> tuple[Metric, ...]:
    """The benchmark's metrics of a task, the one to compare by first; `bert` is left out where it is None."""
    if task.answer == "label":
        return ACCURACY, macro_f1(labels)
    if task.answer == "rating":
        return MAE, RMSE
    return (ROUGE_1, ROUGE_L) if bert is None else (ROUGE_1, ROUGE_L, bert)


def score_of(metric: Metric, answers: Sequence[str], golds: Sequence[str]) -> float:
    """The score of all answers together; NaN without any."""
    if not answers:
        return math.nan
    whole = metric.measure(answers, golds).sum(axis=0)
    return float(metric.finish(whole, whole))
