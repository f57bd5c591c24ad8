"""From a record to its lines of the answer: its samples are drawn, scored together and told at once.

Knows no network. Records are done side by side, so that a model can decode what they ask for together. One that comes
to nothing says so in its own lines, and all the others are served. With several models sample j is written by model j,
in their order and again from the first.
"""

import asyncio
import dataclasses
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cloud_stub.errors import RecordTooLong, UpstreamFailed
from cloud_stub.nli import NliScorer
from cloud_stub.pieces import pieces
from cloud_stub.prompts import Form, build_prompt, unusable
from cloud_stub.proofreading import EmbeddedProofreader, Proofreader
from cloud_stub.schemas import (
    AugmentRequest,
    FailureLine,
    FailureReason,
    ModelDescription,
    PairLine,
    PairScores,
    SharedRecord,
    SummaryLine,
    Thresholds,
)
from cloud_stub.scoring import score_inputs
from cloud_stub.sentences import draw_by_sentence
from cloud_stub.writing import Draw, Drawn, Fault, LanguageModel, draw_samples, same, tidy

More = Callable[[], Sequence[SharedRecord]]

FEW = 64
"""Samples; where records in progress ask for fewer, others are begun beside them. Some of these are done already or
wait for others of their record, and 32 are decoded together."""

LIKELY = Thresholds(entailment=0.7, rouge_l=0.8, shortest=0.5, longest=2.0)
"""What a client will keep that does not say."""

_REASONS: dict[Fault, FailureReason] = {
    "too long": "too long",
    "unfinished thinking": "unfinished thinking",
    "stopped": "time limit",
    "model error": "model error",
    "unusable answer": "unusable answer",
}


@dataclass(frozen=True)
class Parts:
    """What does the work, once it is loaded."""

    models: tuple[LanguageModel, ...]
    """In the order of the capabilities' models."""
    scorer: NliScorer
    """Takes calls of as many threads as the service has records in progress."""
    reader: Proofreader = dataclasses.field(default_factory=EmbeddedProofreader)
    """As the scorer."""


@dataclass(frozen=True)
class Work:
    """A request and how it is to be done."""

    request: AugmentRequest
    models: tuple[ModelDescription, ...]
    """Those that write, in the order of Parts.models."""
    record_seconds: float
    """What a record's samples may take."""
    should_stop: Callable[[], bool]
    """Says that nobody wants the answer any more."""
    report: Callable[[str], None]
    """Takes one line for whoever runs the service; it holds no text of a record."""


@dataclass(frozen=True)
class Outcome:
    """What became of one record."""

    reference: str
    lines: tuple[PairLine | FailureLine, ...]
    tokens: int
    """Generated for it."""


@dataclass(frozen=True)
class _Task:
    """A record and one of the models that write for it."""

    record: SharedRecord
    request: AugmentRequest
    """Its k is the number of samples that this model writes."""
    model: LanguageModel
    form: Form
    should_stop: Callable[[], bool]


def _place(error: Exception) -> str:
    """What went wrong and where; without the message, which can hold what a person wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "nowhere"
    return f"{type(error).__name__} in {where}"


async def _draw(task: _Task, parts: Parts) -> Drawn:
    request, record = task.request, task.record
    if task.form == "sentences":
        thresholds = request.thresholds or LIKELY
        return await draw_by_sentence(
            task.model, parts.scorer, parts.reader, request, record, thresholds, task.should_stop
        )
    return await draw_samples(
        task.model,
        build_prompt(task.form, request, record),
        record,
        request.k,
        request.seed,
        request.temperature,
        task.should_stop,
    )


def form_for(model: ModelDescription, request: AugmentRequest) -> Form:
    """How this model is asked: as the request says, else in its own form."""
    form = model.prompt if request.prompt == "auto" else request.prompt
    assert form != "auto"
    return form


def _taken(draw: Draw, number: int, record: SharedRecord, others: Sequence[Draw]) -> Draw:
    """A model's draw as sample j of the record; it has come to nothing where it repeats another model's."""
    # A form may give the record's own text back, which can hold anything.
    pair = (tidy(draw.input, record.input), tidy(draw.output, record.output))
    repeats = any(other.fault is None and same(pair[0], other.input) for other in others)
    unusable: Fault | None = None if all(pair) and not repeats else "unusable answer"
    return Draw(number, draw.seed, *pair, draw.fault or unusable, draw.made_of)


def _tasks(work: Work, parts: Parts, record: SharedRecord) -> Iterator[tuple[range, _Task]]:
    """The numbers that each model writes, and how."""
    for place, (description, model) in enumerate(zip(work.models, parts.models, strict=True)):
        numbers = range(1 + place, work.request.k + 1, len(parts.models))
        request = work.request.model_copy(update={"k": len(numbers)})
        form = form_for(description, request)
        if numbers:
            yield numbers, _Task(record, request, model, form, work.should_stop)


async def _draw_in_turns(work: Work, parts: Parts, record: SharedRecord) -> Drawn:
    """The record's k samples, each written by the model whose turn it is."""
    draws: dict[int, Draw] = {}
    tokens = 0
    for numbers, task in _tasks(work, parts, record):
        missing: Fault = "stopped"
        try:
            drawn = await _draw(task, parts)
            tokens += drawn.tokens
            for draw in drawn.draws:
                number = numbers[draw.number - 1]
                draws[number] = _taken(draw, number, record, list(draws.values()))
        except UpstreamFailed:
            missing = "model error"
        for number in numbers:
            draws.setdefault(number, Draw(number, 0, "", "", missing))
    return Drawn(tuple(draws[number] for number in sorted(draws)), tokens)


def _pair_line(work: Work, record: SharedRecord, draw: Draw, scores: object) -> PairLine:
    model = work.models[(draw.number - 1) % len(work.models)]
    return PairLine.model_validate(
        {
            "reference": record.reference,
            "number": draw.number,
            "input": draw.input,
            "output": draw.output,
            "model": model.name,
            "prompt": form_for(model, work.request),
            "seed": draw.seed,
            "scores": scores,
        }
    )


def _passes(scores: PairScores, thresholds: Thresholds) -> bool:
    return (
        min(scores.entails, scores.entailed) >= thresholds.entailment
        and scores.rouge_l <= thresholds.rouge_l
        and thresholds.shortest <= scores.length_ratio <= thresholds.longest
    )


def _wanted(request: AugmentRequest, line: PairLine) -> bool:
    return not (request.only_kept and request.thresholds) or _passes(line.scores, request.thresholds)


def _lines(work: Work, parts: Parts, record: SharedRecord, drawn: Drawn) -> list[PairLine | FailureLine]:
    good = [draw for draw in drawn.draws if draw.fault is None]
    made_of = [draw.made_of for draw in good]
    scores = score_inputs(record.input, [draw.input for draw in good], parts.scorer, made_of)
    pairs = {draw.number: _pair_line(work, record, draw, score) for draw, score in zip(good, scores, strict=True)}
    return [
        *(pair for pair in pairs.values() if _wanted(work.request, pair)),
        *(
            FailureLine(reference=record.reference, number=draw.number, reason=_REASONS[draw.fault])
            for draw in drawn.draws
            if draw.fault is not None
        ),
    ]


def _whole_failure(record: SharedRecord, reason: FailureReason) -> FailureLine:
    return FailureLine(reference=record.reference, number=0, reason=reason)


async def augment_record(work: Work, parts: Parts, record: SharedRecord) -> Outcome:
    """The lines of a record; it raises nothing, whatever the models do."""
    reason: FailureReason
    if refused := unusable(record):
        return Outcome(record.reference, (_whole_failure(record, refused),), 0)
    try:
        drawn = await _draw_in_turns(work, parts, record)
        return Outcome(record.reference, tuple(_lines(work, parts, record, drawn)), drawn.tokens)
    except RecordTooLong:
        reason = "too long"
    except Exception as error:
        # A model can fail in any way; the other records are served all the same.
        work.report(f"the model failed on a record ({_place(error)})")
        reason = "model error"
    return Outcome(record.reference, (_whole_failure(record, reason),), 0)


def _samples(work: Work, record: SharedRecord) -> int:
    """How many samples are asked for at first, roughly."""
    if unusable(record):
        return 0
    by_sentence = any(form_for(model, work.request) == "sentences" for model in work.models)
    return work.request.k * (max(1, len(pieces(record.input))) if by_sentence else 1)


def groups(work: Work, records: Sequence[SharedRecord], samples: int) -> Iterator[tuple[SharedRecord, ...]]:
    """The records in their order, in groups that keep a model busy which decodes so many samples together."""
    group: list[SharedRecord] = []
    asked = 0
    for record in records:
        group.append(record)
        asked += _samples(work, record)
        if asked >= samples:
            yield tuple(group)
            group, asked = [], 0
    if group:
        yield tuple(group)


class _SideBySide:
    """Records in progress."""

    def __init__(self, work: Work, parts: Parts, tell: Callable[[Outcome], None], more: More) -> None:
        self._work, self._parts, self._tell, self._more = work, parts, tell, more
        self._begun = self._done = 0
        self._asked = 0
        """Samples that the records ask for which are not done."""

    async def run(self, records: Sequence[SharedRecord]) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._begin(records, tasks)

    def _begin(self, records: Sequence[SharedRecord], tasks: asyncio.TaskGroup) -> None:
        self._begun += len(records)
        self._asked += sum(_samples(self._work, record) for record in records)
        for record in records:
            tasks.create_task(self._do(record, tasks))

    async def _do(self, record: SharedRecord, tasks: asyncio.TaskGroup) -> None:
        self._tell(await augment_record(self._timed(), self._parts, record))
        self._done += 1
        self._asked -= _samples(self._work, record)
        if self._asked < FEW:
            self._begin(self._more(), tasks)

    def _timed(self) -> Work:
        """The work, which for a record that begins now stops when its time is up."""
        work, started, done = self._work, time.monotonic(), self._done

        def should_stop() -> bool:
            beside = self._begun - done
            return work.should_stop() or time.monotonic() - started > work.record_seconds * beside

        return dataclasses.replace(work, should_stop=should_stop)


async def augment_group(
    work: Work, parts: Parts, records: Sequence[SharedRecord], tell: Callable[[Outcome], None], more: More = tuple
) -> None:
    """Do records side by side and tell of each when it is done.

    `more` is asked for further records, of which there may be none, before a model that decodes many samples together
    runs short of them. Each record may take as long as all that were in progress beside it would one by one.
    """
    await _SideBySide(work, parts, tell, more).run(records)


class Tally:
    """Counts what has been told, for the summary."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._records = self._pairs = self._failures = self._tokens = 0

    def add(self, outcome: Outcome) -> None:
        """Count a record."""
        made = sum(isinstance(line, PairLine) for line in outcome.lines)
        self._records += 1
        self._pairs += made
        self._failures += len(outcome.lines) - made
        self._tokens += outcome.tokens

    def summary(self) -> SummaryLine:
        """The line that ends a stream."""
        return SummaryLine(
            records=self._records,
            pairs=self._pairs,
            failures=self._failures,
            generated_tokens=self._tokens,
            seconds=round(time.monotonic() - self._started, 3),
        )
