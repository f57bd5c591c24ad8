"""Which task base (M_base) stands under what is learned and written: those on this computer, and the person's choice.

The choice is kept for each task: a base's name, "none", or "automatic", which takes the first that fits model and task,
those that came with the install before the others. A personal adapter always serves with the base it was trained on.
"""

import dataclasses
import importlib.resources
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.device.bases import TaskBase, check_base, find_bases, find_by_hash, fits
from app.device.catalogue import LocalModel
from app.device.lora import ADAPTER_WEIGHTS
from app.errors import AdapterRefused, BadInput
from app.pipeline.workspace import Workspace
from app.tasks import Task, find_task
from cloud_stub.base_schemas import BaseDescription
from personal_store import preferences, training

PREFERENCE = "task_bases"
AUTOMATIC, NONE = "automatic", "none"


@dataclasses.dataclass(frozen=True)
class BaseRow:
    """A base that is here, or that the service offers."""

    name: str
    title: str
    task: str
    model: str
    bytes: int
    licence: str
    attribution: str
    installed: bool
    embedded: bool
    scores: Mapping[str, Mapping[str, float]]
    """By metric, `untrained` and `trained`."""


def embedded_bases() -> Path:
    """The folder of the bases that come with the install."""
    return Path(str(importlib.resources.files("assets"))) / "bases"


def local_bases(workspace: Workspace) -> tuple[TaskBase, ...]:
    """Those on this computer, the ones of the install first."""
    return find_bases(embedded_bases(), workspace.bases)


def _named(found: Sequence[TaskBase], name: str) -> TaskBase:
    """The base of that name, a fetched one before one of the install; raises BadInput."""
    for base in reversed(found):
        if base.name == name:
            return base
    names = ", ".join(dict.fromkeys(base.name for base in found)) or "none"
    raise BadInput(
        f"There is no base {name!r} on this computer (there are: {names}); fetch it with `cdcda bases pull {name}`."
    )


def require_choice(workspace: Workspace, choice: str) -> None:
    """Raise BadInput unless it is "automatic", "none" or the name of a base that is here."""
    if choice not in (AUTOMATIC, NONE):
        _named(local_bases(workspace), choice)


def chosen(workspace: Workspace, task: Task) -> str:
    """The person's choice for a task."""
    with workspace.store() as store:
        choices: dict[str, str] = preferences.get(store, PREFERENCE, {})
    return choices.get(task.name, AUTOMATIC)


def choose(workspace: Workspace, task: str, choice: str) -> str:
    """Keep a choice for a task; raises BadInput where there is no such base, or it is for another task."""
    known = find_task(task)
    if choice not in (AUTOMATIC, NONE):
        base = _named(local_bases(workspace), choice)
        if base.manifest.task != known.name:
            raise BadInput(
                f"The base {choice} is for the task {base.manifest.task} and not for {known.name}; name its task with"
                " --task, or choose another base."
            )
    with workspace.store() as store, store.change():
        choices: dict[str, str] = preferences.get(store, PREFERENCE, {})
        preferences.put(store, PREFERENCE, {**choices, known.name: choice})
    return choice


def base_for(
    workspace: Workspace, task: Task, model: LocalModel, template_hash: str, choice: str | None = None
) -> TaskBase | None:
    """The base to use where no adapter says which: by the choice given, else the person's; None: the bare model.

    Raises BadInput where a base that was named is gone, AdapterRefused where it is of another model or was changed.
    """
    choice = choice or chosen(workspace, task)
    if choice == NONE:
        return None
    found = local_bases(workspace)
    if choice == AUTOMATIC:
        base = next((base for base in found if fits(base, task.name, model, template_hash)), None)
    else:
        base = _named(found, choice)
    if base is not None:
        check_base(base, model, template_hash)
    return base


def of_story(
    workspace: Workspace, story: Mapping[str, str] | None, model: LocalModel, template_hash: str
) -> TaskBase | None:
    """The base that an adapter's manifest or a job names; raises AdapterRefused where it is gone, changed or other."""
    if story is None:
        return None
    base = find_by_hash(local_bases(workspace), story)
    check_base(base, model, template_hash)
    return base


def remove(workspace: Workspace, name: str) -> tuple[int, ...]:
    """Delete a fetched base; the ids of adapters that were trained on top of it and cannot be used until it is back.

    Raises BadInput where there is none of that name, AdapterRefused for one of the install.
    """
    base = _named(local_bases(workspace), name)
    if base.embedded:
        raise AdapterRefused(
            f"The base {name} came with the install and stays; `cdcda bases use none --task {base.manifest.task}`"
            " writes without it."
        )
    doomed = base.folder.with_name(f".{base.folder.name}.removed-{os.getpid()}")
    hash = base.hash
    base.folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
    with workspace.store() as store:
        adapters = training.adapters(store)
    return tuple(one.id for one in adapters if (one.manifest.get("task_base") or {}).get("hash") == hash)


def _scores(found: Mapping[str, object]) -> dict[str, Mapping[str, float]]:
    return {name: value for name, value in found.items() if isinstance(value, Mapping)}


def _row_here(base: TaskBase) -> BaseRow:
    told = base.manifest
    return BaseRow(
        told.name,
        told.title,
        told.task,
        told.model,
        base.size,
        told.licence,
        told.attribution,
        True,
        base.embedded,
        _scores(told.scores),
    )


def _row_offered(offer: BaseDescription) -> BaseRow:
    return BaseRow(
        offer.name,
        offer.title,
        offer.task,
        offer.model,
        offer.bytes,
        offer.licence,
        offer.attribution,
        False,
        False,
        {name: score.model_dump() for name, score in offer.scores.items()},
    )


def base_rows(workspace: Workspace, offered: Sequence[BaseDescription] = ()) -> tuple[BaseRow, ...]:
    """The bases that are here, then those that a service offers beside them; two may have the same name."""
    here = local_bases(workspace)
    known = {(base.name, base.manifest.files[ADAPTER_WEIGHTS]) for base in here}
    others = [offer for offer in offered if not known & {(offer.name, file.sha256) for file in offer.files}]
    return (*map(_row_here, here), *map(_row_offered, others))
