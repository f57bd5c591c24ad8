"""The histograms of the Review tab: how often each value of a score occurs, with the thresholds that judge by it."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from app.pipeline import judging
from app.pipeline.review import ReviewedPair
from app.ui import strings, views

BINS = 24
"""Bars of a histogram."""
LENGTH_TOP = 3.0
"""Length ratio at which the small bar is full, and where the histogram ends unless a threshold is higher."""
STANDARD = dataclasses.astuple(judging.Thresholds())
"""The thresholds that the program comes with."""

Keeps = Literal["above", "below", "between"]


@dataclasses.dataclass(frozen=True)
class _Chart:
    """A score with its thresholds, as it is drawn."""

    label: str
    keep: Keeps
    values: Sequence[float]
    """Of every pair."""
    filter: judging.Filter
    sliders: Sequence[tuple[str, str, float]]
    """Of each threshold: a name for those who hear it, the words beside it, and where it is."""
    least_top: float = 1.0
    step: float = 0.01


def _counts(values: Sequence[float], top: float) -> list[int]:
    """How often each value, from 0 to `top`; greater ones are in the last bar."""
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int(value / top * BINS))] += 1
    return counts


def _drawn(chart: _Chart, items: Sequence[ReviewedPair]) -> views.View:
    marks = [value for _, _, value in chart.sliders]
    top = max(chart.least_top, *marks)
    passed = sum(item.verdict.reasons[chart.filter] is None for item in items)
    return {
        "label": chart.label,
        "keep": chart.keep,
        "counts": _counts(chart.values, top),
        "top": top,
        "marks": marks,
        "passed": strings.PASSED.format(passed=passed, pairs=len(items)),
        "sliders": [
            {"label": label, "words": words, "value": value, "step": chart.step}
            for label, words, value in chart.sliders
        ],
    }


def histograms(items: Sequence[ReviewedPair], at: judging.Thresholds) -> list[views.View]:
    """One for each filter that has a threshold; empty without pairs."""
    if not items:
        return []
    scores = [item.pair.scores for item in items]
    charts = (
        _Chart(
            strings.MEANING, "above", [min(s.entails, s.entailed) for s in scores], "consistency",
            [(strings.ENTAILMENT, strings.AT_LEAST, at.entailment)],
        ),
        _Chart(
            strings.WORDING, "below", [score.rouge_l for score in scores], "diversity",
            [(strings.ROUGE, strings.AT_MOST, at.rouge_l)],
        ),
        _Chart(
            strings.LENGTH, "between", [score.length_ratio for score in scores], "length",
            [(strings.SHORTEST, strings.AT_LEAST, at.shortest), (strings.LONGEST, strings.AT_MOST, at.longest)],
            LENGTH_TOP, 0.05,
        ),
    )  # fmt: skip
    return [_drawn(chart, items) for chart in charts]
