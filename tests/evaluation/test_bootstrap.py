"""Known cases of the paired bootstrap."""

from typing import Any

import numpy as np
import pytest

from app.evaluation import bootstrap
from app.evaluation.metrics import ACCURACY, macro_f1


def sums(*values: float, count: float = 1.0) -> Any:
    return np.array([[value, count] for value in values])


def test_users_who_are_all_alike_leave_no_doubt() -> None:
    found = bootstrap.estimate(sums(0.5, 0.5, 0.5), ACCURACY.finish)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_interval_of_a_coin_is_the_binomial_one() -> None:
    found = bootstrap.estimate(sums(*[0.0, 1.0] * 50), ACCURACY.finish, seed=1)
    assert found.value == 0.5
    # 1.96 standard errors of a mean of 100: 0.098.
    assert found.low == pytest.approx(0.402, abs=0.015)
    assert found.high == pytest.approx(0.598, abs=0.015)


def test_a_difference_that_every_user_has_is_certain_though_the_scores_are_not() -> None:
    other = sums(*np.linspace(0.0, 0.9, 20))
    found = bootstrap.compare(other + np.array([0.1, 0.0]), other, ACCURACY.finish)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.above == 1.0


def test_a_method_is_no_better_than_itself() -> None:
    found = bootstrap.compare(sums(0.1, 0.9), sums(0.1, 0.9), ACCURACY.finish)
    assert (found.value, found.low, found.high, found.above) == (0.0, 0.0, 0.0, 0.5)


def test_users_with_more_questions_weigh_more() -> None:
    found = bootstrap.estimate(np.array([[9.0, 9.0], [0.0, 1.0]]), ACCURACY.finish)
    assert found.value == 0.9


def test_macro_f1_is_computed_anew_in_every_draw() -> None:
    metric = macro_f1(["a", "b"])
    rows = [metric.measure(["a", "b"], ["a", "b"]).sum(axis=0), metric.measure(["b", "a"], ["a", "b"]).sum(axis=0)]
    found = bootstrap.estimate(np.stack(rows), metric.finish)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_labels_that_a_draw_leaves_out_cast_no_doubt_on_answers_that_are_all_right() -> None:
    labels = [f"label {number}" for number in range(15)]
    metric = macro_f1([*labels, "never"])
    rows = np.stack([metric.measure([label], [label])[0] for label in [*labels, *labels[:5]]])
    found = bootstrap.estimate(rows, metric.finish)
    assert (found.value, found.low, found.high) == pytest.approx((15 / 16,) * 3)


def test_the_draws_of_macro_f1_lie_about_the_score() -> None:
    generator = np.random.default_rng(0)
    labels = [f"label {number}" for number in range(15)]
    metric = macro_f1(labels)
    golds = generator.choice(labels, size=(30, 20, 3))
    answers = np.where(generator.random(golds.shape) < 0.7, golds, generator.choice(labels, size=golds.shape))
    apart = []
    for of_users in zip(answers, golds, strict=True):
        rows = np.stack(
            [metric.measure(list(one), list(gold)).sum(axis=0) for one, gold in zip(*of_users, strict=True)]
        )
        whole = rows.sum(axis=0)
        drawn = metric.finish(bootstrap.draw_counts(20, 0, 500) @ rows, whole)
        apart.append(drawn.mean() - metric.finish(whole, whole))
    assert abs(np.mean(apart)) < 0.015


def test_a_draw_is_scored_by_the_labels_of_its_own_golds() -> None:
    metric = macro_f1(["a", "b", "c", "never"])
    drawn, left_out = metric.measure(["a", "c", "b"], ["a", "a", "b"]), metric.measure(["c"], ["c"])
    sums = drawn.sum(axis=0)
    # a: 2/3, b: 1; three of four labels are in the golds of all.
    assert metric.finish(sums, sums + left_out.sum(axis=0)) == pytest.approx((2 / 3 + 1) / 2 * 3 / 4)


def test_the_seed_decides_the_draws() -> None:
    assert (bootstrap.draw_counts(7, 3, 50) == bootstrap.draw_counts(7, 3, 50)).all()
    assert (bootstrap.draw_counts(7, 3, 50) != bootstrap.draw_counts(7, 4, 50)).any()
    assert (bootstrap.draw_counts(7, 3, 50).sum(axis=1) == 7).all()


def test_other_users_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="same users"):
        bootstrap.compare(sums(1, 2), sums(1), ACCURACY.finish)
