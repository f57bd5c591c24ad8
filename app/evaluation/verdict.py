"""Whether an adapter is better than the model without it: said after each training, in words and numbers.

The model as it is, the same with similar records in its prompt, and the adapter answer the held-out records; the task's
metric scores them. "Better" means that the whole 95 % interval of the paired difference lies on the better side of 0.
Knows no store: what it finds is handed to the training, which enters it with the adapter.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from app.evaluation import bootstrap, held_out
from app.evaluation.desks import Desk, Watch
from app.evaluation.metrics import Metric, Rows
from app.pipeline.context import JobContext
from app.pipeline.dataset import TrainingData
from app.pipeline.finetune import TOO_FEW, Learned

Word = Literal["better", "no different", "worse", "too few to tell"]

LEAST_TO_TELL = 6
"""Held-out records. Of five, even when all agree, one time in sixteen is chance (two-sided sign test)."""
DIGITS = 4
WITHOUT = "the model without it"
WITH_RECORDS = "the model with your similar records in its prompt"


@dataclasses.dataclass(frozen=True)
class _Systems:
    """The rows of each system's answers: one held-out record a row."""

    base: Rows
    retrieval: Rows
    personal: Rows


def _word(difference: bootstrap.Difference, records: int) -> Word:
    if records < LEAST_TO_TELL:
        return TOO_FEW
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "no different"


def _gain(metric: Metric, personal: Rows, other: Rows, seed: int) -> bootstrap.Difference:
    """How much better the adapter is, above 0 for better whichever way the metric points."""
    if metric.higher_is_better:
        return bootstrap.compare(personal, other, metric.finish, seed)
    return bootstrap.compare(other, personal, metric.finish, seed)


def _score(metric: Metric, rows: Rows, seed: int) -> dict[str, float]:
    found = bootstrap.estimate(rows, metric.finish, seed)
    return {"value": round(found.value, DIGITS), "low": round(found.low, DIGITS), "high": round(found.high, DIGITS)}


def _compared(word: Word, other: str, gain: bootstrap.Difference) -> str:
    how = f"{word} than" if word in ("better", "worse") else "no different from"
    return f"{how} {other} (gain {gain.value:+.2f}, {gain.low:+.2f} to {gain.high:+.2f})"


def judge_rows(metric: Metric, rows: Mapping[str, Rows], seed: int = 0) -> dict[str, Any]:
    """The three scores with their intervals, the verdict and its sentence, as the manifest keeps them.

    `rows` are those of "base", "retrieval" and "personal", [records, statistics]; `gain` is above 0 for better.
    """
    systems = _Systems(**rows)
    records = len(systems.personal)
    over_base = _gain(metric, systems.personal, systems.base, seed)
    over_retrieval = _gain(metric, systems.personal, systems.retrieval, seed)
    word, other = _word(over_base, records), _word(over_retrieval, records)
    if word == TOO_FEW:
        words = f"{records} held-out {'record is' if records == 1 else 'records are'} too few to tell whether it helps."
    else:
        first, second = _compared(word, WITHOUT, over_base), _compared(other, WITH_RECORDS, over_retrieval)
        words = f"On {records} held-out records it is {first}, and {second}."
    return {
        "metric": metric.title,
        "higher_is_better": metric.higher_is_better,
        "held_out": records,
        **{name: _score(metric, found, seed) for name, found in rows.items()},
        "gain": {name: round(getattr(over_base, name), DIGITS) for name in ("value", "low", "high")},
        "verdict": word,
        "words": words,
    }


def _watch(context: JobContext, records: int, systems: int) -> Watch:
    """Reports each answer; the job stops between two of them."""
    done = iter(range(1, records * systems + 1))

    def on_answer() -> None:
        context.report("scoring", {"done": next(done), "answers": records * systems, "records": records})

    return Watch(on_answer=on_answer, should_stop=context.should_stop)


def _rows(desk: Desk, data: TrainingData, metric: Metric, adapter: Path) -> dict[str, Rows]:
    plain = held_out.prompts(desk, data)
    answers: Mapping[str, Callable[[], Sequence[str]]] = {
        "base": lambda: desk.write(data.task, plain),
        "retrieval": lambda: desk.write(data.task, held_out.prompts_with_records(desk, data)),
        "personal": lambda: desk.write(data.task, plain, adapter),
    }
    return {name: metric.measure(write(), held_out.golds(data)) for name, write in answers.items()}


def judge(context: JobContext, learned: Learned) -> Mapping[str, Any]:
    """What the adapter is worth on its held-out records; empty where there are none.

    Reports "scoring" with each answer. Raises Stopped, and what an engine raises; a resumed training judges anew.
    """
    data = learned.data
    if not data.held_out:
        return {}
    watch = _watch(context, len(data.held_out), len(dataclasses.fields(_Systems)))
    prepared = context.workspace.prepared
    desk = Desk(learned.model, prepared, learned.base, prepared, watch)
    try:
        metric = held_out.metric_of(data)
        return judge_rows(metric, _rows(desk, data, metric, learned.folder), data.seed)
    finally:
        desk.close()
