"""How far the jobs are, as the page draws it every second, always from the whole state in the store."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from app.pipeline import insights, jobs
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.wording import counted
from personal_store.nouns import ENDED, RESUMABLE, Job, JobEvent, JobKind

TONES = {"failed": "bad", "interrupted": "warn", "stopped": "warn"}
STATES = {
    "queued": "waiting for another job to end",
    "running": "running",
    "stopping": "stopping; what was made is kept",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
    "done": "done",
}


def is_active(job: Job | None) -> bool:
    """The job runs or waits to run."""
    return job is not None and job.state not in ENDED


def waits(job: Job) -> bool:
    """The job is in the queue."""
    return job.state == "queued"


def _turn(job: Job) -> tuple[bool, int]:
    """The key that puts jobs into the order in which they run."""
    return waits(job), job.id


def active_jobs(workspace: Workspace) -> list[Job]:
    """Jobs that run or wait to run, in the order in which they will."""
    return sorted(filter(is_active, jobs.listing(workspace)), key=_turn)


def present_job(workspace: Workspace, kind: JobKind) -> Job | None:
    """The job of that kind that is shown, stopped and resumed: the one that runs, else the one that will run next, else
    the one that was started last."""
    found = jobs.listing(workspace, kind)
    return min(filter(is_active, found), key=_turn, default=None) or next(iter(found), None)


def running_job(workspace: Workspace) -> Job | None:
    """The job that computes now."""
    return next((job for job in active_jobs(workspace) if not waits(job)), None)


def job_buttons(workspace: Workspace, job: Job | None) -> tuple[Any, Any]:
    """Stop and Resume as the job's state allows them."""
    stopping = job is not None and job.state == "stopping"
    resumable = job is not None and job.state in RESUMABLE and not jobs.why_not_resumed(workspace, job)
    return gr.Button(visible=is_active(job), interactive=not stopping), gr.Button(visible=resumable)


def keep_button(workspace: Workspace, job: Job | None) -> Any:
    """Stop and keep, for a training that runs and has not been told yet."""
    runs = job is not None and job.state == "running"
    return gr.Button(visible=runs, interactive=runs and job is not None and not jobs.should_keep(workspace, job.id))


def last_data(events: Sequence[JobEvent], kind: str) -> dict[str, Any]:
    """The data of the newest event of that kind, else nothing."""
    return next((dict(event.data) for event in reversed(events) if event.kind == kind), {})


def state_words(workspace: Workspace, job: Job) -> str:
    """What a job does, in words: a queued one waits only where another one computes, else it is about to begin."""
    if job.state == "queued" and running_job(workspace) is None:
        return strings.STARTING
    return STATES[job.state]


def job_view(workspace: Workspace, job: Job, done: float, total: int, state: str, detail: str) -> views.View:
    """Title, bar and words of a job, drawn from its whole state."""
    if job.state == "interrupted":
        detail = "It ended without saying so; Resume goes on without repeating what is finished."
    detail = jobs.why_not_resumed(workspace, job) or job.error or detail
    return {
        "title": strings.JOB_TITLES[job.kind],
        "done": done,
        "total": total,
        "state": state,
        "detail": detail,
        "tone": TONES.get(job.state, "plain"),
    }


def _scores_words(scores: Mapping[str, Any]) -> str:
    """The three numbers with their intervals."""
    numbers = (
        f"{strings.SYSTEMS[name]} {score.value:.2f} ({score.low:.2f} to {score.high:.2f})"
        for name, score in insights.systems_of(scores).items()
    )
    aim = strings.HIGHER if scores["higher_is_better"] else strings.LOWER
    return f"{scores['metric']}, {aim}: {'; '.join(numbers)}."


def _what_became(on: bool, helps: bool) -> str:
    """What became of an adapter, behind another sentence."""
    if on:
        return strings.SHOWN_BY_WRITE
    return strings.OFF_MEANWHILE if helps else strings.LEFT_OFF


def _measured_verdict(result: Mapping[str, Any]) -> views.View:
    """The verdict that was stored with the adapter; whoever looks at it finds why it is on or off."""
    scores, on = result["scores"], result["activated"]
    text = f"{scores['words']} {_scores_words(scores)}{_what_became(on, result.get('helps', False))}"
    onward = views.way_to("write") if on else None
    return {
        "headline": strings.VERDICTS[scores["verdict"]],
        "text": text,
        "tone": "good" if scores["verdict"] == "better" else "warn",
        "go": onward,
    }


def _verdict(job: Job) -> views.View | None:
    """Whether the training helped, in words."""
    result = job.result or {}
    if job.state == "done" and result.get("scores"):
        return _measured_verdict(result)
    before, after = result.get("base_held_out_loss"), result.get("held_out_loss")
    if job.state != "done" or after is None or before is None:
        return None
    better, on = after < before, result.get("activated", after < before)
    change = abs(before - after) / before * 100 if before else 0.0
    unjudged = f"{result['unjudged']} " if result.get("unjudged") else ""
    text = (
        f"{unjudged}On the held-out records, which it never saw, the loss went from {before:.2f} to {after:.2f}"
        f" ({change:.0f} % {'lower' if better else 'higher'}).{_what_became(on, better)}"
    )
    title, tone = (strings.BETTER, "good") if better else (strings.WORSE, "warn")
    return {"headline": title, "text": text, "tone": tone, "go": views.way_to("write") if on else None}


def _train_detail(job: Job, events: Sequence[JobEvent], progress: dict[str, Any]) -> str:
    started = last_data(events, "started")
    if progress:
        halved = progress.get("micro_tokens")
        pieces = strings.HALVED.format(tokens=halved) if halved else ""
        return (
            f"Epoch {progress['epoch']}, loss {progress['loss']:.2f}, {progress['tokens_per_second']:.0f} tokens/s,"
            f" {progress['peak_memory_mb']:.0f} MB at most. {counted(int(started.get('examples', 0)), 'example')},"
            f" {started.get('held_out', '?')} held out.{pieces}"
        )
    return str(last_data(events, "preparing").get("message", "")) if is_active(job) else ""


def _ended_early(job: Job) -> bool:
    """Whether a person ended the training; one that settled by itself took all its patience allows."""
    return job.state == "done" and bool((job.result or {}).get("ended_early"))


def train_view(workspace: Workspace) -> views.View:
    """The present training: how far, the loss so far, and what came of it."""
    job = present_job(workspace, "train")
    if job is None:
        return {}
    events = jobs.events(workspace, job.id)
    steps = [dict(event.data) for event in events if event.kind == "progress"]
    # A resumed training repeats no step, so a later report of a step replaces the earlier one.
    losses = sorted({step["step"]: step["loss"] for step in steps}.items())
    held = sorted({s["step"]: s["held_out_loss"] for s in steps if s.get("held_out_loss") is not None}.items())
    progress = steps[-1] if steps else {}
    total = int(progress.get("steps", 0))
    state = state_words(workspace, job)
    if is_active(job) and progress:
        state = f"step {progress['step']} of {total}, about {views.duration(progress['seconds_left'])} left"
    if is_active(job) and events and events[-1].kind == "scoring":
        data = events[-1].data
        state = strings.SCORING.format(**{**data, "records": counted(data["records"], "held-out record")})
    if is_active(job) and any(event.kind == jobs.KEEP for event in events):
        state = strings.KEEPING
    ended_early = _ended_early(job)
    if ended_early:
        state = strings.ENDED_EARLY.format(**job.result or {})
    done = total if job.state == "done" and not ended_early else int(progress.get("step", 0))
    return job_view(workspace, job, done, total, state, _train_detail(job, events, progress)) | {
        "curve": views.curve(losses, held, total),
        "verdict": _verdict(job),
    }
