"""How fast this computer trains a model: what the newest training or probe of it came to. Knows no network."""

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from app.device.training import FineTuning
from app.pipeline.workspace import Workspace
from personal_store import jobs, preferences
from personal_store.nouns import Job, JobEvent

PREFERENCE = "probed_speeds"
READY_SECONDS = 20.0
"""From the start to the first step, where no training was watched yet."""
ANSWER_SECONDS = 2.0
"""For an answer of the verdict, where none was watched yet."""
_MOST_READY = 120.0
"""Seconds; what took longer was interrupted and resumed."""


@dataclasses.dataclass(frozen=True)
class Speed:
    """What was measured here."""

    tokens_per_second: float
    """In training steps."""
    ready_seconds: float
    """From the start to the end of the first step."""
    answer_seconds: float
    """For each answer to a held-out record."""
    source: Literal["training", "probe"]
    at: float
    """When it was measured, in seconds since the epoch."""


def _key(model: str, settings: Mapping[str, Any]) -> str:
    """What the speed depends on, beside this computer."""
    return f"{model}, rank {settings['rank']}, {settings['quantisation']}"


def _ready(events: Sequence[JobEvent]) -> float | None:
    """Seconds from the beginning to the first step."""
    began = next((event for event in events if event.kind == "gathered"), None)
    if began is None:
        return None
    ended = next((event for event in events if event.kind == "progress"), None)
    return None if ended is None else min(ended.at - began.at, _MOST_READY)


def _an_answer(events: Sequence[JobEvent]) -> float | None:
    """Seconds for an answer, the middle one: in some of them a model is loaded."""
    answers = [event for event in events if event.kind == "scoring"]
    pauses = [after.at - before.at for before, after in itertools.pairwise(answers)]
    return statistics.median(pauses) if pauses else None


def _of_training(events: Sequence[JobEvent], key: str) -> Speed | None:
    """What a training's reports say of its speed, where it was of that kind and got to a step."""
    started = next((event.data for event in events if event.kind == "started"), None)
    steps = [event for event in events if event.kind == "progress"]
    # A training of an earlier version said less when it started.
    if started is None or not steps or not {"model", "settings"} <= started.keys():
        return None
    if _key(started["model"], started["settings"]) != key:
        return None
    ready, answer = _ready(events), _an_answer(events)
    return Speed(
        steps[-1].data["tokens_per_second"],
        READY_SECONDS if ready is None else ready,
        ANSWER_SECONDS if answer is None else answer,
        "training",
        steps[-1].at,
    )


def remember_probe(workspace: Workspace, model: str, settings: FineTuning, speed: Speed) -> None:
    """Keep what a probe found; a later one of the same model replaces it."""
    with workspace.store() as store:
        kept: dict[str, Any] = preferences.get(store, PREFERENCE, {})
        preferences.put(
            store, PREFERENCE, {**kept, _key(model, dataclasses.asdict(settings)): dataclasses.asdict(speed)}
        )


def known_speed(workspace: Workspace, model: str, settings: FineTuning) -> Speed | None:
    """The newest that is known of this model with such settings; None before any training or probe."""
    key = _key(model, dataclasses.asdict(settings))
    with workspace.store() as store:
        kept: dict[str, Any] = preferences.get(store, PREFERENCE, {})
        probed = kept.get(key)
        trainings: Sequence[Job] = jobs.list_jobs(store, "train")
        of_trainings = (_of_training(jobs.events(store, job.id), key) for job in trainings)
        trained = next((speed for speed in of_trainings if speed is not None), None)
    found = [speed for speed in (trained, Speed(**probed) if probed else None) if speed is not None]
    return max(found, key=lambda speed: speed.at, default=None)
