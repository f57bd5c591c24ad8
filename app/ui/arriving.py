"""An augmentation as the Share tab shows it: how far it is, how long it still takes, and the pairs as they arrive."""

import time
from collections.abc import Sequence

from app.pipeline import jobs, remaining, review
from app.pipeline.remaining import Advance
from app.pipeline.workspace import Workspace
from app.ui import state, strings, views
from app.wording import came_to_nothing, counted
from personal_store.nouns import Job, JobEvent


def _arrived(workspace: Workspace, job: Job) -> list[views.View]:
    """The newest pairs of an augmentation."""
    newest = review.reviewed_pairs(workspace, job_id=job.id, newest=8)
    return [
        {"id": item.pair.id, "kept": item.kept, "output": item.output, "input": item.input[:160]}
        for item in reversed(newest)
    ]


FEW = 0.2
"""Of what was drawn; fewer kept pairs than this call for another model."""


def _augment_words(job: Job, records: int) -> str:
    if job.state != "done" or job.result is None:
        return ""
    kept, pairs = job.result.get("kept", 0), job.result.get("pairs", 0)
    failed = job.result.get("failed", 0)
    nothing = f" {came_to_nothing(job.result)}." if failed else ""
    if not pairs:
        return f"No new pairs from {counted(records, 'record')}.{nothing} {strings.NONE_CAME}"
    words = f"{counted(pairs, 'new pair')} from {counted(records, 'record')}, {kept} kept by the filters.{nothing}"
    return words + " Look at them under Review." + (f" {strings.FEW_KEPT}" if kept < FEW * (pairs + failed) else "")


def advance_of(workspace: Workspace, job: Job, events: Sequence[JobEvent]) -> Advance | None:
    """Where an augmentation stands now; None before it has begun."""
    finished = jobs.listing(workspace, "augment")
    before = remaining.seconds_a_record(finished, str(job.settings.get("destination")))
    return remaining.advance_of(events, time.time(), before)


def advance_words(advance: Advance) -> str:
    """How many records of how many, and how long it still takes."""
    words = f"{advance.finished} of {counted(advance.records, 'record')}"
    if advance.seconds_left is None:
        return words
    return words + (f", about {views.duration(advance.seconds_left)} left" if advance.seconds_left else ", almost done")


def _so_far(events: Sequence[JobEvent], advance: Advance | None) -> str:
    """What a running augmentation does now, and what has arrived."""
    if not events or advance is None:
        return strings.SERVICE_LOADS
    # Waiting for a busy service, or starting one; where pairs come, nothing else is said.
    if events[-1].kind == "preparing":
        return str(events[-1].data.get("message", ""))
    if not advance.pairs:
        return strings.FIRST_PAIRS
    return strings.ARRIVED.format(pairs=counted(advance.pairs, "new pair"), kept=advance.kept)


def augment_view(workspace: Workspace) -> views.View:
    """The present augmentation: how far, how long it still takes, and the pairs as they arrive."""
    job = state.present_job(workspace, "augment")
    if job is None:
        return {}
    events = jobs.events(workspace, job.id)
    advance = advance_of(workspace, job, events)
    total = advance.records if advance else int((job.result or {}).get("records", 0))
    finished = total if job.state == "done" else (advance.finished if advance else 0)
    done = total if job.state == "done" else total * (advance.share if advance else 0)
    words, detail = state.state_words(workspace, job), _augment_words(job, total)
    if job.state == "running" and advance:
        words = advance_words(advance)
    elif total:
        words = f"{finished} of {counted(total, 'record')}, {words}"
    if state.is_active(job) and job.state != "queued":
        detail = _so_far(events, advance)
    onward = views.way_to("review") if job.state == "done" and (job.result or {}).get("pairs") else None
    return state.job_view(workspace, job, done, total, words, detail) | {
        "pairs": _arrived(workspace, job),
        "go": onward,
    }
