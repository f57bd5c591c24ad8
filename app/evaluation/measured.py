"""Scores without texts: what the tables need of every result, in one file that can be shown to anybody.

    {"format": 1, "plan": ..., "people": ..., "encoder": ..., "units": [...], "outdated": 0}

A unit holds its setting, the facts of its making, and for each metric the sum of its answers' rows. Answers, golds and
paths of a computer are left out, so the file may lie beside a report where the data may not. Knows no model.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.errors import BadInput
from app.evaluation.bertscore import BertScorer
from app.evaluation.desks import write_json
from app.evaluation.metrics import Metric, bert_score, count_unusable, metrics_of
from app.evaluation.plans import RUN, Plan, load_plan, plan_from, results, stands, stored_present
from app.tasks import Task, find_task

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Measured:
    """One unit's result as numbers."""

    unit: Mapping[str, Any]
    """user, method, share, k, seed."""
    sums: Mapping[str, Sequence[float]]
    """By metric the sum of its answers' rows, as `Metric.measure` gives them."""
    questions: int
    unusable: int
    """Answers that are empty, no rating or no label."""
    facts: Mapping[str, Any]
    """What it was made of: examples, pairs, losses, seconds."""
    records: int
    """Items of the target's history."""
    device: str
    """Name of the model, and of its base."""
    cloud: str


def measure(result: Mapping[str, Any], task: Task, metrics: Sequence[Metric], labels: Sequence[str]) -> Measured:
    """A stored result of a run as numbers."""
    answers = [answer["answer"] for answer in result["answers"]]
    golds = [answer["gold"] for answer in result["answers"]]
    sums = {metric.name: metric.measure(answers, golds).sum(axis=0).tolist() for metric in metrics}
    unusable = count_unusable(task, answers, labels)
    told = {name: result[name] for name in ("unit", "facts", "records", "device", "cloud")}
    return Measured(sums=sums, questions=len(answers), unusable=unusable, **told)


def _nameless(plan: Plan) -> Plan:
    """The plan with names in place of paths."""
    return dataclasses.replace(
        plan,
        data=Path(plan.data).name,
        device_model=Path(plan.device_model).name,
        cloud_model=Path(plan.cloud_model).name,
        base=Path(plan.base).name,
        models_dir="",
        cache="",
    )


@dataclasses.dataclass(frozen=True)
class Measurements:
    """Everything that the tables of a run are made from."""

    plan: Plan
    people: Mapping[str, Any]
    """What the run's folder tells of them: labels, and numbers of others and of what M_base may not see."""
    encoder: str | None
    """BERTScore's; None where it was left out."""
    units: tuple[Measured, ...]
    outdated: int = 0
    """Results that were left out, because their targets' data or M_base have changed since."""


def measure_run(out: Path, encoder: Path | None = None, bert: bool = True) -> Measurements:
    """Measures every finished result of a run's folder that is not outdated.

    `encoder` is BERTScore's, the embedded one if None; without `bert` that metric is left out. Raises BadInput where
    the folder holds no run or no result, and ModelMissing for an encoder that cannot be loaded.
    """
    plan, people = load_plan(out)
    every, present = results(out), stored_present(out)
    found = [result for result in every if stands(result, present)]
    if not found:
        raise BadInput(f"{out} holds no finished result yet; run `cdcda lamp run` first.")
    task, scorer = find_task(plan.task), BertScorer(encoder)
    metric = bert_score(scorer.name, scorer.f1) if bert and task.answer == "text" else None
    metrics = metrics_of(task, people["labels"], metric)
    units = tuple(measure(result, task, metrics, people["labels"]) for result in found)
    return Measurements(plan, people, scorer.name if metric else None, units, len(every) - len(found))


def write_measurements(found: Measurements, path: Path) -> None:
    """Writes the file; raises DiskFull and NotWritten."""
    whole = dataclasses.asdict(dataclasses.replace(found, plan=_nameless(found.plan)))
    write_json(path, {"format": FORMAT, **whole})


def read_measurements(path: Path) -> Measurements:
    """Reads such a file; raises BadInput where it is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise BadInput(
                f"{path.name} is of format {content['format']} and this version reads format {FORMAT}; write it anew"
                " with `cdcda lamp table DIR --scores FILE`."
            )
        units = tuple(Measured(**unit) for unit in content["units"])
        outdated = content.get("outdated", 0)
        return Measurements(plan_from(content["plan"]), content["people"], content["encoder"], units, outdated)
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            f"{path} should be the folder of a run, which holds {RUN}, or a file that `cdcda lamp table DIR --scores"
            " FILE` wrote, but is neither; check the name."
        ) from None
