"""How many pairs survive the filters at which thresholds, beside what the source says of its own.

The source prints no thresholds, only the share of k x history that survived; this is the check on ours. It reads the
pairs that a run has made and asks no model.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from app.errors import BadInput
from app.evaluation.measured import measure_run
from app.evaluation.plans import models_of, people_of
from app.evaluation.pools import Largest, Pools, Synthetic, Wanted
from app.evaluation.tables import Scores, Table
from app.pipeline.judging import Thresholds, judge
from app.pipeline.local_service import CloudAddress

SOURCE_KEPT = {"LaMP_1": 0.10, "LaMP_2": 0.33, "LaMP_3": 0.03, "LaMP_4": 0.09, "LaMP_5": 0.11, "LaMP_7": 0.27}
"""Share of 5 x history that the source kept, by task."""
ENTAILMENTS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
ROUGE_LS = (0.6, 0.7, 0.8, 0.9, 1.0)


def _nobody() -> CloudAddress:
    raise BadInput(
        "Not every target has pairs yet; let `cdcda lamp run` finish the method cdcda for the largest share and k."
    )


def _made(out: Path) -> tuple[Scores, float, int, int, list[Synthetic]]:
    """Scores of the run, largest share and k, records of all targets, and every pair that was made for those."""
    scores = Scores(measure_run(out, bert=False))
    asked = [setting for setting in scores.by_setting if setting[0].startswith("cdcda") and setting[1] and setting[2]]
    if not asked:
        raise BadInput(f"{out} has no result of cdcda or its ablations; run one of them with `cdcda lamp run` first.")
    share, k = max(setting[1] or 0.0 for setting in asked), max(setting[2] or 0 for setting in asked)
    plan = scores.plan
    cache = Path(plan.cache).expanduser() if plan.cache else out
    pools = Pools(cache / "pools", models_of(plan)[1], _nobody, Largest(share, k), plan.prompt, plan.thresholds)
    seeds = {unit.unit["seed"] for unit in scores.units if unit.unit["method"].startswith("cdcda")}
    users = {unit.unit["user"] for unit in scores.units if unit.unit["method"].startswith("cdcda")}
    people = people_of(dataclasses.replace(plan, only=tuple(sorted(users))))
    pairs = [
        pair
        for target in people.targets
        for seed in sorted(seeds)
        for pair in pools.pairs(Wanted(target.user, people.task, target.records, share, k, seed))
    ]
    return scores, share, k, sum(len(target.records) for target in people.targets) * len(seeds), pairs


def _cells(pairs: Sequence[Synthetic], entailment: float, plan: Thresholds, of: int) -> Callable[[float], str]:
    def cell(rouge_l: float) -> str:
        limits = Thresholds(entailment, rouge_l, plan.shortest, plan.longest)
        return f"{sum(judge(pair.scores, limits).kept for pair in pairs) / max(1, of):.1%}"

    return cell


def survival(out: Path) -> Table:
    """Share of k x history that survives, by least entailment (rows) and greatest ROUGE-L (columns).

    Raises BadInput where the folder holds no run, or a run whose pairs are not all made.
    """
    scores, share, k, records, pairs = _made(out)
    limits = scores.plan.thresholds
    rows = []
    for entailment in ENTAILMENTS:
        cell = _cells(pairs, entailment, limits, records * k)
        rows.append((f"{entailment:g}", *map(cell, ROUGE_LS)))
    columns = ("Least entailment", *(f"ROUGE-L at most {rouge_l:g}" for rouge_l in ROUGE_LS))
    note = (
        f"{scores.task.lamp}, {len(pairs)} pairs of {records} records at share ratio {share:g} and k = {k}, form"
        f" {scores.plan.prompt}; length ratio {limits.shortest:g} to {limits.longest:g}. The source kept"
        f" {SOURCE_KEPT[scores.task.lamp or '']:.0%} of 5 x history."
    )
    return Table("What survives, of k x history", columns, tuple(rows), (note,))
