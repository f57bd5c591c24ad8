"""From a request to the lines of its answer: each record's samples are drawn, scored together and told at once.

Knows no network. A record that comes to nothing says so in its own lines, and all the others are served.
"""

import time
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from cloud_stub.errors import RecordTooLong
from cloud_stub.nli import NliScorer
from cloud_stub.prompts import Form, build_prompt
from cloud_stub.schemas import (
    AugmentRequest,
    FailureLine,
    FailureReason,
    PairLine,
    PairScores,
    RecordLine,
    SharedRecord,
    SummaryLine,
    Thresholds,
)
from cloud_stub.scoring import score_inputs
from cloud_stub.sentences import draw_by_sentence
from cloud_stub.writing import Draw, Drawn, Fault, LanguageModel, draw_samples

AnswerLine = PairLine | FailureLine | RecordLine | SummaryLine

RECORD_SECONDS = 600.0
"""What a record's samples may take; those that are unfinished then fail."""

LIKELY = Thresholds(entailment=0.5, rouge_l=0.8, shortest=0.5, longest=2.0)
"""What a client will keep that does not say."""

_REASONS: dict[Fault, FailureReason] = {
    "too long": "too long",
    "stopped": "time limit",
    "unusable answer": "unusable answer",
}


@dataclass(frozen=True)
class Parts:
    """What does the work, once it is loaded."""

    model: LanguageModel
    scorer: NliScorer


@dataclass(frozen=True)
class Work:
    """A request and how it is to be done."""

    request: AugmentRequest
    model_name: str
    form: Form
    """The form to use; "auto" has been settled."""
    skip: Collection[str]
    """References that need not be done again."""
    should_stop: Callable[[], bool]
    """Says that nobody wants the answer any more."""
    report: Callable[[str], None]
    """Takes one line for whoever runs the service; it holds no text of a record."""


def _place(error: Exception) -> str:
    """What went wrong and where; without the message, which can hold what a person wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "nowhere"
    return f"{type(error).__name__} in {where}"


def _draw(work: Work, parts: Parts, record: SharedRecord) -> Drawn:
    deadline = time.monotonic() + RECORD_SECONDS
    request = work.request
    if work.form == "sentences":
        return draw_by_sentence(
            parts.model,
            parts.scorer,
            request,
            record,
            request.thresholds or LIKELY,
            lambda: work.should_stop() or time.monotonic() > deadline,
        )
    return draw_samples(
        parts.model,
        build_prompt(work.form, request, record),
        record,
        request.k,
        request.seed,
        request.temperature,
        lambda: work.should_stop() or time.monotonic() > deadline,
    )


def _pair_line(work: Work, record: SharedRecord, draw: Draw, scores: object) -> PairLine:
    return PairLine.model_validate(
        {
            "reference": record.reference,
            "number": draw.number,
            "input": draw.input,
            "output": draw.output,
            "model": work.model_name,
            "prompt": work.form,
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
    scores = score_inputs(record.input, [draw.input for draw in good], parts.scorer)
    pairs = {draw.number: _pair_line(work, record, draw, score) for draw, score in zip(good, scores, strict=True)}
    return [
        *(pair for pair in pairs.values() if _wanted(work.request, pair)),
        *(
            FailureLine(reference=record.reference, number=draw.number, reason=_REASONS[draw.fault])
            for draw in drawn.draws
            if draw.fault is not None
        ),
    ]


def _augment_record(work: Work, parts: Parts, record: SharedRecord) -> tuple[list[PairLine | FailureLine], int]:
    """The lines of a record, and how many tokens were generated for it."""
    reason: FailureReason
    if not record.input.strip() or not record.output.strip():
        return [FailureLine(reference=record.reference, number=0, reason="empty")], 0
    try:
        drawn = _draw(work, parts, record)
        return _lines(work, parts, record, drawn), drawn.tokens
    except RecordTooLong:
        reason = "too long"
    except Exception as error:
        # A model can fail in any way; the other records are served all the same.
        work.report(f"the model failed on a record ({_place(error)})")
        reason = "model error"
    return [FailureLine(reference=record.reference, number=0, reason=reason)], 0


def augment(work: Work, parts: Parts) -> Iterator[AnswerLine]:
    """The lines of the answer, record by record; ends early, without a summary, when nobody wants it any more."""
    started = time.monotonic()
    records = pairs = failures = tokens = 0
    for record in work.request.records:
        if record.reference in work.skip:
            continue
        lines, generated = _augment_record(work, parts, record)
        if work.should_stop():
            return
        yield from lines
        yield RecordLine(reference=record.reference)
        made = sum(isinstance(line, PairLine) for line in lines)
        records, pairs, failures = records + 1, pairs + made, failures + len(lines) - made
        tokens += generated
    yield SummaryLine(
        records=records,
        pairs=pairs,
        failures=failures,
        generated_tokens=tokens,
        seconds=round(time.monotonic() - started, 3),
    )
