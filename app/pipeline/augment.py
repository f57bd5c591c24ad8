"""The work of an augment job: send the approved bytes, store each scored pair as it comes, judge, count."""

import collections
import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from app.errors import CloudError
from app.pipeline.cloud import CloudLine, send_approved
from app.pipeline.context import JobContext
from app.pipeline.judging import Thresholds, count, judge_pair, load_thresholds
from app.pipeline.local_service import CloudAddress, named_address, start_local_service
from app.pipeline.payload import Destination, Payload, PayloadSettings, approval_of, rebuild_payload
from app.pipeline.review import reviewed_pairs
from app.pipeline.sensitivity import restore
from app.wording import counted
from cloud_stub.schemas import FailureLine, PairLine, RecordLine
from personal_store import jobs, pairs, records
from personal_store.errors import NotFound
from personal_store.nouns import NewPair, Scores


@contextlib.contextmanager
def _service(context: JobContext) -> Iterator[CloudAddress]:
    """The service that was named, else one of this job's own."""
    named = named_address()
    if named is not None:
        yield dataclasses.replace(named, local=context.job.settings["local"])
        return
    context.report("preparing", {"message": "Starting the augmentation service on this computer"})
    with context.interruptible():
        service = start_local_service(context.workspace)
    with service:
        yield service.address


def _destination(context: JobContext) -> Destination:
    """Where the person approved that the records go; jobs of earlier versions were for services that keep them."""
    return Destination(context.job.settings["destination"], context.job.settings.get("passes_on_to"))


def _payload(context: JobContext) -> Payload:
    settings = context.job.settings
    return rebuild_payload(
        context.workspace,
        _destination(context),
        settings["record_ids"],
        PayloadSettings(settings["k"], settings["seed"], settings["prompt"], Thresholds(**settings["thresholds"])),
        settings["uploads"],
        settings["sha256"],
    )


def _store_pair(context: JobContext, line: PairLine, payload: Payload, thresholds: Thresholds) -> None:
    record_id, scores = payload.references[line.reference], Scores(**line.scores.model_dump())
    # What left with placeholders comes back with what they stand for, whatever became of the record's box meanwhile.
    source, target = (restore(text, payload.meanings[line.reference]) for text in (line.input, line.output))
    with context.workspace.store() as store:
        new = NewPair(record_id, context.job.id, line.number, source, target, line.model, line.seed, scores)
        pair_id = pairs.add_pair(store, new)
        (record,) = records.get_records(store, [record_id])
    verdict = judge_pair(new, record, thresholds)
    reasons = [name for name, reason in verdict.reasons.items() if reason]
    context.report(
        "pair",
        {"pair_id": pair_id, "record_id": record_id, "number": line.number, "kept": verdict.kept, "reasons": reasons},
    )


def _store_line(context: JobContext, line: CloudLine, payload: Payload, thresholds: Thresholds) -> None:
    if isinstance(line, PairLine):
        _store_pair(context, line, payload, thresholds)
    elif isinstance(line, FailureLine):
        data = {"record_id": payload.references[line.reference], "number": line.number, "reason": line.reason}
        context.report("failure", data)
    elif isinstance(line, RecordLine):
        with context.workspace.store() as store:
            pairs.finish_record(store, context.job.id, payload.references[line.reference])
            done = len(pairs.finished_records(store, context.job.id))
        context.report(
            "record",
            {"record_id": payload.references[line.reference], "done": done, "records": len(payload.record_ids)},
        )


def _receive(context: JobContext, payload: Payload, address: CloudAddress, skip: frozenset[str]) -> None:
    thresholds = load_thresholds(context.workspace)

    def waiting(sentence: str) -> None:
        context.report("preparing", {"message": sentence})

    approved = approval_of(_destination(context), context.job.settings["sha256"])
    lines = send_approved(context.workspace, payload, approved, address, skip, waiting)
    with contextlib.closing(lines):
        while True:
            with context.interruptible():
                line = next(lines, None)
            if line is None:
                return
            # A record that was forgotten meanwhile takes its pairs along.
            with contextlib.suppress(NotFound):
                _store_line(context, line, payload, thresholds)


def _failed_samples(failures: Collection[tuple[int, int]], made: Mapping[int, int], k: int) -> int:
    """Samples that came to nothing; a failure with number 0 stands for all that a record still lacks."""
    whole = {record_id for record_id, number in failures if number == 0}
    return sum(k - made.get(record_id, 0) for record_id in whole) + sum(
        record_id not in whole for record_id, _ in failures
    )


def _result(context: JobContext, record_count: int, seconds: float) -> dict[str, Any]:
    """The figures of the whole job, earlier runs of it included."""
    made = reviewed_pairs(context.workspace, job_id=context.job.id)
    with context.workspace.store() as store:
        reported = jobs.events(store, context.job.id)
    k = context.job.settings["k"]
    counts = count(item.verdict for item in made)
    told = {
        (event.data["record_id"], event.data["number"]): event.data["reason"]
        for event in reported
        if event.kind == "failure"
    }
    failures = told.keys() - {(item.pair.record_id, item.pair.number) for item in made}
    return {
        "records": record_count,
        "pairs": counts.pairs,
        "kept": counts.kept,
        "rejected": dict(counts.rejected),
        "failed": _failed_samples(failures, collections.Counter(item.pair.record_id for item in made), k),
        "failed_because": sorted({told[failure] for failure in failures}),
        "model": made[-1].pair.model if made else None,
        "seconds": round(seconds, 2),
    }


def _undone(context: JobContext, record_ids: Sequence[int]) -> int:
    """Records that the service did not finish, those that were forgotten meanwhile left out."""
    with context.workspace.store() as store:
        there = {record.id for record in records.shared_records(store)}
        return len(set(record_ids) & there - pairs.finished_records(store, context.job.id))


def run(context: JobContext) -> Mapping[str, Any]:
    """Do the job; raises ApprovalMismatch, CloudError and Stopped. A resumed job leaves finished records out."""
    started = time.monotonic()
    payload = _payload(context)
    with context.workspace.store() as store:
        finished = pairs.finished_records(store, context.job.id)
    skip = frozenset(reference for reference, id in payload.references.items() if id in finished)
    context.report("started", {"records": len(payload.record_ids), "done": len(skip), "k": payload.settings.k})
    if len(skip) < len(payload.record_ids):
        with _service(context) as address:
            _receive(context, payload, address, skip)
    result = _result(context, len(payload.record_ids), time.monotonic() - started)
    if undone := _undone(context, payload.record_ids):
        raise CloudError(
            f"The augmentation service left {counted(undone, 'record')} undone; resume the job to ask again."
        )
    context.report("summary", result)
    return result
