"""How many pairs survive the filters at which thresholds, beside what the source says of its own.

The source prints no thresholds, only the share of k x history that survived; this is the check on ours. It reads the
pairs that a run has made and asks no model.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.errors import BadInput
from app.evaluation.measured import measure_run
from app.evaluation.people import Target
from app.evaluation.plans import models_of, people_of
from app.evaluation.pools import Largest, Pools, Synthetic, Wanted
from app.evaluation.tables import Scores, Table
from app.lamp import LampPair
from app.pipeline.judging import Thresholds, judge
from app.pipeline.local_service import CloudAddress

SOURCE_KEPT = {"LaMP_1": 0.10, "LaMP_2": 0.33, "LaMP_3": 0.03, "LaMP_4": 0.09, "LaMP_5": 0.11, "LaMP_7": 0.27}
"""Share of 5 x history that the source kept, by task."""
ENTAILMENTS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
ROUGE_LS = (0.6, 0.7, 0.8, 0.9, 1.0)
HISTORIES: Mapping[str, Callable[[Target], tuple[LampPair, ...]]] = {
    "cdcda": lambda target: target.records,
    "cdcda-neutral": lambda target: target.neutral,
}
"""What pairs are written from, by method; the ablations learn from those of cdcda."""


@dataclasses.dataclass(frozen=True)
class _Made:
    """Every pair that was made from one kind of history."""

    share: float
    k: int
    records: int
    """Of all targets, once a seed."""
    pairs: tuple[Synthetic, ...]


def _pairs_of(method: str) -> str | None:
    """The method that stands for all that learn from the same pairs; None for a method that learns from none."""
    if method in HISTORIES:
        return method
    return "cdcda" if method.startswith("cdcda") else None


def _unmade(method: str) -> Callable[[], CloudAddress]:
    def refuse() -> CloudAddress:
        raise BadInput(
            f"Not every target has pairs yet; let `cdcda lamp run` finish the method {method} for the largest share"
            " and k."
        )

    return refuse


def _made(out: Path, scores: Scores, method: str) -> _Made:
    """What that method, and those that learn from the same pairs, made for the largest share and k."""
    asked = [one.unit for one in scores.units if _pairs_of(one.unit["method"]) == method]
    share, k = max(unit["share"] for unit in asked), max(unit["k"] for unit in asked)
    plan, seeds = scores.plan, sorted({unit["seed"] for unit in asked})
    cache = Path(plan.cache).expanduser() if plan.cache else out
    pools = Pools(cache / "pools", models_of(plan)[1], _unmade(method), Largest(share, k), plan.prompt, plan.thresholds)
    people = people_of(dataclasses.replace(plan, only=tuple(sorted({unit["user"] for unit in asked}))))
    histories = {target.user: HISTORIES[method](target) for target in people.targets}
    pairs = [
        pair
        for user, history in histories.items()
        for seed in seeds
        for pair in pools.pairs(Wanted(user, people.task, history, share, k, seed))
    ]
    return _Made(share, k, sum(map(len, histories.values())) * len(seeds), tuple(pairs))


def _cells(pairs: Sequence[Synthetic], entailment: float, plan: Thresholds, of: int) -> Callable[[float], str]:
    def cell(rouge_l: float) -> str:
        limits = Thresholds(entailment, rouge_l, plan.shortest, plan.longest)
        return f"{sum(judge(pair.scores, limits).kept for pair in pairs) / max(1, of):.1%}"

    return cell


def _table(scores: Scores, method: str, made: _Made) -> Table:
    limits = scores.plan.thresholds
    rows = []
    for entailment in ENTAILMENTS:
        cell = _cells(made.pairs, entailment, limits, made.records * made.k)
        rows.append((f"{entailment:g}", *map(cell, ROUGE_LS)))
    columns = ("Least entailment", *(f"ROUGE-L at most {rouge_l:g}" for rouge_l in ROUGE_LS))
    of = "neutral rewrites" if method == "cdcda-neutral" else "records"
    note = (
        f"{scores.task.lamp}, {len(made.pairs)} pairs of {made.records} {of} at share ratio {made.share:g} and"
        f" k = {made.k}, form {scores.plan.prompt}; length ratio {limits.shortest:g} to {limits.longest:g}. The source"
        f" kept {SOURCE_KEPT[scores.task.lamp or '']:.0%} of 5 x history."
    )
    return Table("What survives, of k x history", columns, tuple(rows), (note,))


def survival(out: Path) -> tuple[Table, ...]:
    """Share of k x history that survives, by least entailment (rows) and greatest ROUGE-L (columns).

    A table for the pairs of cdcda and its ablations, and one for those of cdcda-neutral, whichever were run. Raises
    BadInput where the folder holds no run, none of these, or a run whose pairs are not all made.
    """
    scores = Scores(measure_run(out, bert=False))
    run = {_pairs_of(method) for method, share, k in scores.by_setting if share and k}
    if not any(run):
        raise BadInput(f"{out} has no result of cdcda or its variants; run one of them with `cdcda lamp run` first.")
    return tuple(_table(scores, method, _made(out, scores, method)) for method in HISTORIES if method in run)
