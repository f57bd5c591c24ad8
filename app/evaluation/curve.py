"""The person's own privacy-utility curve: what sharing more brought them, on records that no adapter saw.

A job trains one adapter for each part of what is shared: on the person's own records with the kept pairs of none, half
and all of the records that left this computer. It goes through the trainer and the engine of the app; no adapter of it
stays. Beside them stand the model without an adapter, and the same with similar records in its prompt.

Each point is reported when it is there, so a job that goes on after it was stopped repeats none. Reports hold numbers,
no texts; the answers lie in a folder of the job that goes with it.
"""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from app.device.presets import find_preset
from app.device.rendering import render_example, template_hash
from app.device.training import FineTuning, Progress, count_steps
from app.errors import JobRefused, NothingToTrain
from app.evaluation import bootstrap, held_out
from app.evaluation.desks import ANSWER_TOKENS, Desk, Watch
from app.evaluation.metrics import Metric
from app.evaluation.people import hash_of
from app.evaluation.pools import shared_places
from app.evaluation.verdict import LEAST_TO_TELL
from app.pipeline import bases, jobs
from app.pipeline.context import JobContext
from app.pipeline.dataset import TrainingData, TrainingText, gather
from app.pipeline.finetune import TOO_FEW
from app.pipeline.models import device_model
from app.pipeline.unfinished import MEASURING
from app.pipeline.workspace import Workspace
from personal_store import jobs as stored_jobs
from personal_store import ledger
from personal_store.nouns import Job

SHARES = (0.0, 0.5, 1.0)
"""Parts of what is shared now."""
TOKENS_PER_SECOND = 200.0
"""Of a training on two cores, where none was run here yet."""
CHARACTERS_A_TOKEN = 4
TEMPLATE_TOKENS = 40
"""What stands around an example's texts."""
ANSWERS_A_SECOND = 0.5
GETTING_READY = 20.0
"""Seconds to load the model twice."""
Outcome = Literal["helped", "hurt", "not apart", "too few to tell"]


@dataclasses.dataclass(frozen=True)
class CurveSettings:
    """What is measured; the training's settings are those of a training with nothing changed."""

    task: str | None = None
    """None: the task with most records."""
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Part:
    """What is learned at one point of the curve."""

    share: float
    """Part of the shared records, 0 to 1."""
    left: int
    """Records that left this computer for it."""
    texts: tuple[TrainingText, ...]

    @property
    def pairs(self) -> int:
        """Synthetic pairs among the texts."""
        return sum(text.pair_id is not None for text in self.texts)


@dataclasses.dataclass(frozen=True)
class CurvePlan:
    """What would be measured now, and about how long that takes."""

    data: TrainingData
    parts: tuple[Part, ...]
    shared: str
    """Hash of the records that left."""
    metric: str
    seconds: float


def _left(workspace: Workspace, data: TrainingData) -> tuple[int, ...]:
    """Records that are learned from and left this computer, the oldest first."""
    own = data.record_ids
    with workspace.store() as store:
        sent = set(ledger.sent_records(store, own))
    # A pair is a sign that its record left, even where the ledger came to grief.
    sent |= {text.record_id for text in data.texts if text.pair_id is not None}
    return tuple(id for id in own if id in sent)


def parts_of(data: TrainingData, left: Sequence[int], seed: int) -> tuple[Part, ...]:
    """The points of the curve; a smaller part's records are among those of a larger one."""
    made = []
    for share in SHARES:
        chosen = {left[place] for place in shared_places(len(left), share, seed)}
        texts = tuple(text for text in data.texts if text.pair_id is None or text.record_id in chosen)
        made.append(Part(share, len(chosen), texts))
    return tuple(made)


def _speed(workspace: Workspace) -> float:
    """Tokens a second of the newest training here."""
    with workspace.store() as store:
        done = [job.result or {} for job in stored_jobs.list_jobs(store, "train") if job.state == "done"]
    return float(next((result["tokens_per_second"] for result in done if result.get("tokens_per_second")), 0.0))


def _tokens(text: TrainingText, settings: FineTuning) -> int:
    length = (len(text.input) + len(text.output)) // CHARACTERS_A_TOKEN + TEMPLATE_TOKENS
    return min(length, settings.max_tokens)


def _seconds(workspace: Workspace, data: TrainingData, parts: Sequence[Part], settings: FineTuning) -> float:
    learned = sum(_tokens(text, settings) for part in parts for text in part.texts) * settings.epochs
    answers = len(data.held_out) * (len(parts) + 2)
    return GETTING_READY + learned / (_speed(workspace) or TOKENS_PER_SECOND) + answers / ANSWERS_A_SECOND


def _fine_tuning(settings: CurveSettings) -> FineTuning:
    usual = jobs.TrainSettings()
    preset = find_preset(usual.preset).settings
    return dataclasses.replace(preset, rank=usual.rank, alpha=usual.alpha, seed=settings.seed)


def plan(workspace: Workspace, settings: CurveSettings | None = None) -> CurvePlan:
    """What would be measured now; raises NothingToTrain where there is nothing to measure, or to measure by."""
    settings = settings or CurveSettings()
    data = gather(workspace, settings.task, settings.seed)
    if not data.held_out:
        raise NothingToTrain(
            "There are too few records to hold some out and measure by; bring in five or more of one task."
        )
    left = _left(workspace, data)
    parts = parts_of(data, left, settings.seed)
    if not parts[-1].pairs:
        raise NothingToTrain(
            "Nothing that came of sharing can be measured yet; share some records under Share, and keep some of the"
            " pairs that come back."
        )
    seconds = _seconds(workspace, data, parts, _fine_tuning(settings))
    return CurvePlan(data, parts, hash_of(left), held_out.metric_of(data).title, seconds)


def start(workspace: Workspace, settings: CurveSettings | None = None) -> Job:
    """Measure the curve in a job; raises NothingToTrain, ModelMissing and ModelDamaged before it is started."""
    settings = settings or CurveSettings()
    device_model(workspace)
    made = plan(workspace, settings)
    return jobs.start_measuring(workspace, {**dataclasses.asdict(settings), "task": made.data.task.name})


class _Reporter:
    """Counts steps and answers of the whole job, for whoever follows it."""

    def __init__(self, context: JobContext, steps: int) -> None:
        self._context, self._steps = context, steps
        self._done, self._started = 0, time.monotonic()
        self._skipped = 0

    def skip(self, steps: int) -> None:
        """Steps that an earlier run of the job did."""
        self._done += steps
        self._skipped += steps

    def one_more(self) -> None:
        """Report where the job is."""
        self._done = min(self._done + 1, self._steps)
        each = (time.monotonic() - self._started) / max(1, self._done - self._skipped)
        left = each * (self._steps - self._done)
        self._context.report("progress", {"step": self._done, "steps": self._steps, "seconds_left": round(left, 1)})

    def watch(self) -> Watch:
        """What a desk tells, passed on."""

        def on_step(_: Progress) -> None:
            self.one_more()

        return Watch(on_step, self.one_more, self._context.should_stop)


@dataclasses.dataclass(frozen=True)
class _Bench:
    """Everything that the points are measured with."""

    desk: Desk
    data: TrainingData
    metric: Metric
    settings: FineTuning

    def prompts(self) -> list[list[int]]:
        """The held-out inputs as the model is asked."""
        return held_out.prompts(self.desk, self.data)

    def prompts_with_records(self) -> list[list[int]]:
        """The same with similar records, of those that are learned from."""
        return held_out.prompts_with_records(self.desk, self.data)

    def learned(self, part: Part) -> tuple[str, ...]:
        """Answers of an adapter that learned that part."""
        tokeniser, settings = self.desk.tokeniser, self.settings
        examples = [
            render_example(tokeniser, self.data.task, text.input, text.output, settings.max_tokens)
            for text in part.texts
        ]
        return self.desk.personal(self.data.task, self.prompts(), examples, settings).answers

    def score(self, answers: Sequence[str]) -> dict[str, Any]:
        """The metric over the held-out records, its interval when these are drawn again, and what it is made of."""
        rows = self.metric.measure(answers, held_out.golds(self.data))
        found = bootstrap.estimate(rows, self.metric.finish, self.settings.seed)
        return {"score": found.value, "low": found.low, "high": found.high, "rows": rows.tolist()}


@contextlib.contextmanager
def _bench(context: JobContext, data: TrainingData, settings: FineTuning, watch: Watch) -> Iterator[_Bench]:
    """A desk with a folder of its own; the answers in it go with it."""
    workspace = context.workspace
    # One job works at a time, so what is there was left by one that was killed.
    for left in workspace.prepared.glob(MEASURING.format(job="*")):
        shutil.rmtree(left, ignore_errors=True)
    folder = workspace.prepared / MEASURING.format(job=context.job.id)
    model = device_model(workspace)
    desk = Desk(model, folder, None, workspace.prepared, watch)
    desk.base = bases.base_for(workspace, data.task, model, template_hash(desk.tokeniser))
    try:
        yield _Bench(desk, data, held_out.metric_of(data), settings)
    finally:
        desk.close()
        shutil.rmtree(folder, ignore_errors=True)


def _points_before(context: JobContext, made: CurvePlan, bench: _Bench) -> dict[str, Mapping[str, Any]]:
    """Points of an earlier run of this job, by name; raises JobRefused where they may be of something else."""
    task = made.data.task
    gathered = {
        "hash": made.data.hash,
        "task": task.name,
        "task_hash": hash_of([task.template, task.answer, task.metric]),
        "held_out": len(made.data.held_out),
        "record_ids": sorted({*made.data.record_ids, *(text.record_id for text in made.data.held_out)}),
        "shared": made.shared,
        **bench.desk.story,
    }
    with context.workspace.store() as store:
        events = stored_jobs.events(store, context.job.id)
    began = next((event for event in events if event.kind == "gathered"), None)
    if began is None:
        context.report("gathered", gathered)
    elif began.data != gathered:
        raise JobRefused(
            "The records, the pairs, what was shared, the task, the model or its base may have changed since this"
            " measuring began; start a new one."
        )
    return {event.data["name"]: event.data for event in events if event.kind == "point"}


def _steps_of(part: Part, made: CurvePlan, settings: FineTuning) -> int:
    return count_steps(len(part.texts), settings) + len(made.data.held_out)


def _gain(metric: Metric, points: Sequence[Mapping[str, Any]], seed: int) -> dict[str, float]:
    """How much all that is shared is above nothing shared, on the same held-out records."""
    import numpy as np

    first, last = (np.asarray(points[place]["rows"], dtype=np.float64) for place in (-len(SHARES), -1))
    found = bootstrap.compare(last, first, metric.finish, seed)
    return {"value": found.value, "low": found.low, "high": found.high}


def _result(made: CurvePlan, metric: Metric, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "gain": _gain(metric, points, made.data.seed),
        "task": made.data.task.name,
        "metric": metric.title,
        "higher_is_better": metric.higher_is_better,
        "held_out": len(made.data.held_out),
        "answer_tokens": ANSWER_TOKENS[made.data.task.answer],
        "points": list(points),
    }


def outcome(result: Mapping[str, Any]) -> Outcome:
    """What all that is shared did against nothing shared, when it is more than the luck of the held-out records."""
    if result["held_out"] < LEAST_TO_TELL:
        return TOO_FEW
    gain = result["gain"]
    if gain["low"] <= 0 <= gain["high"]:
        return "not apart"
    return "helped" if (gain["value"] > 0) == result["higher_is_better"] else "hurt"


def run(context: JobContext) -> Mapping[str, Any]:
    """Do the job; a resumed one goes on behind its last point. Raises AppErrors and Stopped."""
    settings = CurveSettings(**context.job.settings)
    made, tuning = plan(context.workspace, settings), _fine_tuning(settings)
    asked = len(made.data.held_out)
    steps = {"base": asked, "retrieval": asked}
    steps |= {f"{part.share:g}": _steps_of(part, made, tuning) for part in made.parts}
    reporter = _Reporter(context, sum(steps.values()))
    context.report("preparing", {"message": f"Measuring on {asked} held-out records."})
    with _bench(context, made.data, tuning, reporter.watch()) as bench:
        points = _points_before(context, made, bench)
        reporter.skip(sum(steps[name] for name in points))

        def point(name: str, answers: Callable[[], Sequence[str]], **facts: Any) -> None:
            """Measure it, unless an earlier run did."""
            if name not in points:
                context.check_stop()
                points[name] = {"name": name, **bench.score(answers()), **facts}
                context.report("point", points[name])

        task = made.data.task
        point("base", lambda: bench.desk.answer(task, bench.prompts()).answers)
        point("retrieval", lambda: bench.desk.answer(task, bench.prompts_with_records()).answers)
        for part in made.parts:
            facts = {"share": part.share, "left": part.left, "pairs": part.pairs, "examples": len(part.texts)}
            point(f"{part.share:g}", lambda part=part: bench.learned(part), **facts)  # type: ignore[misc]
        return _result(made, bench.metric, [points[name] for name in steps])
