"""The quiet header: where the cloud is, which model, which adapter is on, and what runs now."""

import urllib.parse

from app.device.catalogue import CATALOGUE
from app.errors import SHOWN
from app.pipeline import jobs, models, network, switching
from app.pipeline.payload import NOT_SAID, Destination
from app.pipeline.workspace import Workspace
from app.ui import arriving, state, strings, views
from app.ui.services import Services
from app.ui.underway import Standing
from personal_store.nouns import Job


def _onward_words(onward: str | None) -> str:
    if onward is None:
        return strings.CLOUD_KEEPS
    return strings.CLOUD_ONWARD.format(host=onward) if onward else strings.CLOUD_NOT_ASKED


def _cloud_fact(services: Services) -> views.View:
    url = services.cloud.url
    if services.cloud.local:
        return views.fact(strings.CLOUD, strings.THIS_COMPUTER, strings.CLOUD_LOCAL)
    onward = services.passes_on_to.get(url, NOT_SAID)
    host = urllib.parse.urlsplit(url).hostname or url
    place = f"{host}, then {onward}" if onward else host
    here = Destination(url, onward).is_here
    if network.is_offline(services.workspace) and not here:
        return views.fact(strings.CLOUD, f"Offline ({place})", strings.OFFLINE, "warn")
    tone = "plain" if here and onward != NOT_SAID else "warn"
    return views.fact(strings.CLOUD, place, f"{strings.CLOUD_NAMED} {_onward_words(onward)}", tone)


def _model_fact(workspace: Workspace) -> views.View:
    try:
        model = models.device_model(workspace)
    except SHOWN as error:
        return views.fact(strings.MODEL, "Missing", str(error), "warn")
    titles = {entry.name: entry.title for entry in CATALOGUE}
    return views.fact(strings.MODEL, titles.get(model.name, model.name), str(model.path))


def _adapter_fact(workspace: Workspace) -> views.View:
    adapter = switching.find_active(workspace)
    if adapter is None:
        return views.fact(strings.ADAPTER, strings.NO_ADAPTER)
    detail = f"Trained {adapter.created_at[:10]} on {views.trained_on(adapter)}"
    return views.fact(strings.ADAPTER, adapter.name, detail)


def standing_of(workspace: Workspace, job: Job) -> Standing:
    """How far a job is now."""
    if state.waits(job):
        return Standing(None, state.state_words(workspace, job))
    events = jobs.events(workspace, job.id)
    step = state.last_data(events, "progress")
    if step.get("steps"):
        left = step.get("seconds_left", 0.0)
        words = f"step {step['step']} of {step['steps']}, about {views.duration(left)} left"
        return Standing(step["step"] / step["steps"], words, left)
    if job.kind == "augment" and (advance := arriving.advance_of(workspace, job, events)):
        return Standing(advance.share, arriving.advance_words(advance), advance.seconds_left)
    return Standing(None, str(state.last_data(events, "preparing").get("message") or strings.STARTING))


def _far(standing: Standing) -> list[str]:
    """How far something is and how long it still takes, in few words; nothing where neither is known."""
    if standing.share is None:
        return []
    left = [f"{views.duration(standing.seconds_left)} left"] if standing.seconds_left else []
    return [f"{standing.share:.0%}", *left]


def _now(job: Job, standing: Standing, waiting: int) -> str:
    """The job in few words: what it is, how far, how long it still takes, and how many wait for it."""
    far = ["stopping"] if job.state == "stopping" else _far(standing)
    return ", ".join([strings.JOB_TITLES[job.kind], *far]) + (f", {waiting} waiting" if waiting else "")


def _import_fact(now: Standing) -> views.View:
    words = ", ".join([strings.IMPORTING, *_far(now)])
    return views.fact(strings.NOW, words, now.words, "busy") | {"share": now.share}


def _job_fact(services: Services) -> views.View:
    workspace = services.workspace
    if services.imports.now is not None:
        return _import_fact(services.imports.now)
    active = state.active_jobs(workspace)
    if not active:
        return views.fact(strings.NOW, strings.IDLE)
    first, *others = active
    standing = standing_of(workspace, first)
    then = "".join(f"; then {strings.JOB_TITLES[job.kind].lower()}" for job in others)
    detail = f"{strings.JOB_TITLES[first.kind]}: {standing.words}{then}"
    now = _now(first, standing, len(others))
    return views.fact(strings.NOW, now, detail, "busy") | {"share": standing.share}


def header_view(services: Services) -> views.View:
    """Where the cloud is, which model, which adapter is on, what runs now."""
    workspace = services.workspace
    return {
        "facts": [
            _cloud_fact(services),
            _model_fact(workspace),
            _adapter_fact(workspace),
            _job_fact(services),
        ]
    }
