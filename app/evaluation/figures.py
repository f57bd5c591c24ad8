"""Figure 2 of the source: the score against k, the number of pairs asked for each record. Drawn by matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.errors import BadInput
from app.evaluation import bootstrap
from app.evaluation.tables import Scores, Setting, title_of
from app.wording import counted

DRAWN = ("cdcda", "cdcda-rs", "cdcda-nods", "eda")
BETWEEN = 0.07
"""How far the points of two methods at the same k stand apart, in values of k."""


def _settings(scores: Scores) -> dict[str, list[Setting]]:
    """The settings of each method that depends on k and was run with at least two of it, by k."""
    found = {
        method: sorted(
            (one for one in scores.by_setting if one[0] == method and one[1] in (None, scores.main_share)),
            key=lambda setting: setting[2] or 0,
        )
        for method in DRAWN
    }
    return {method: settings for method, settings in found.items() if len(settings) > 1}


def drawn_users(scores: Scores) -> tuple[str, ...]:
    """The users who have a result at every point, so that all lines are of the same ones."""
    settings = [setting for of_method in _settings(scores).values() for setting in of_method]
    return scores.common(settings) if settings else ()


def points(scores: Scores, users: Sequence[str]) -> dict[str, list[tuple[int, bootstrap.Estimate]]]:
    """Score and interval of these users by k, for each method that was run with at least two; first metric."""
    metric = scores.metrics[0]
    return {
        method: [
            (setting[2] or 0, bootstrap.estimate(scores.sums(setting, metric, users), metric.finish))
            for setting in settings
        ]
        for method, settings in _settings(scores).items()
    }


def _pyplot() -> Any:
    try:
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot
    except ImportError:
        raise BadInput(
            "The figure is drawn by matplotlib, which is not installed; install it with `pip install 'cdcda[figures]'`,"
            " or leave --figure out."
        ) from None
    return matplotlib.pyplot


def _draw_line(
    axes: Any, name: str, line: Sequence[tuple[int, bootstrap.Estimate]], beside: float, intervals: bool
) -> None:
    """A line, perhaps with its intervals, so far beside its k that those of other lines can be told apart."""
    estimates = [estimate for _, estimate in line]
    values = [estimate.value for estimate in estimates]
    below = [estimate.value - estimate.low for estimate in estimates]
    above = [estimate.high - estimate.value for estimate in estimates]
    lengths = [below, above] if intervals else None
    axes.errorbar([k + beside for k, _ in line], values, lengths, marker="o", capsize=3, label=name)


def draw_figure(scores: Scores, path: Path) -> bool:
    """Draws the figure as SVG or PNG, by the path's ending, of the users who have a result at every point.

    False where no method was run with two values of k, or no user has all of them. One user has no intervals. Raises
    BadInput where matplotlib is not installed or the ending is another.
    """
    if path.suffix not in (".svg", ".png"):
        raise BadInput(f"The figure is written as .svg or .png, got {path.name!r}; name such a file.")
    users = drawn_users(scores)
    if not users:
        return False
    lines = points(scores, users)
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for place, (name, line) in enumerate(lines.items()):
        _draw_line(axes, title_of(name), line, BETWEEN * (place - (len(lines) - 1) / 2), len(users) > 1)
    axes.set_xlabel("k, pairs asked for each shared record")
    axes.set_ylabel(scores.metrics[0].title)
    share = "" if scores.main_share is None else f", share ratio {scores.main_share:g}"
    axes.set_title(f"{scores.task.lamp}{share}, {counted(len(users), 'user')}")
    axes.set_xticks(sorted({k for line in lines.values() for k, _ in line}))
    figure.legend(loc="outside lower center", ncols=len(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)
    return True
