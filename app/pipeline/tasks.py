"""The tasks of one person: those that come with the program, and their own."""

import dataclasses
import re

from app.errors import BadInput
from app.pipeline.workspace import Workspace
from app.tasks import TASKS, Task
from personal_store import tasks as stored
from personal_store.nouns import Answer, Metric, OwnTask

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
METRICS: dict[Answer, Metric] = {"text": "rouge", "label": "accuracy", "rating": "mae"}
"""How each kind of answer is judged."""


def _task(own: OwnTask) -> Task:
    return Task(own.name, own.title, own.template, own.answer, own.metric, labels=own.labels)


def all_tasks(workspace: Workspace | None) -> tuple[Task, ...]:
    """The program's tasks, then the person's own; without a workspace the program's alone."""
    if workspace is None:
        return TASKS
    with workspace.store() as store:
        return (*TASKS, *map(_task, stored.own_tasks(store)))


def find_task(workspace: Workspace | None, name: str) -> Task:
    """The task of that name or LaMP name; raises BadInput naming those there are."""
    every = all_tasks(workspace)
    for task in every:
        if name in (task.name, task.lamp):
            return task
    raise BadInput(
        f"There is no task {name!r}; the tasks are {', '.join(task.name for task in every)}"
        f" and {', '.join(sorted(task.lamp for task in every if task.lamp))}."
    )


def _check(task: OwnTask) -> None:
    if not NAME.fullmatch(task.name) or task.name in {known.name for known in TASKS}:
        raise BadInput(
            f"A task's name is up to 40 of a-z, 0-9 and - and is not one of the program's own, got {task.name!r};"
            " choose another."
        )
    if task.template.count("{input}") != 1:
        raise BadInput("A prompt template has {input} once, where the record's input goes; write it into the template.")
    if (task.answer == "label") != (len(set(task.labels)) > 1):
        raise BadInput("A task that answers with labels names two or more of them, another names none; correct them.")


def make_task(
    workspace: Workspace,
    name: str,
    template: str,
    *,
    title: str = "",
    answer: Answer = "text",
    labels: tuple[str, ...] = (),
    metric: Metric | None = None,
) -> Task:
    """Keep a task of the person's own, in place of their earlier one of that name; raises BadInput."""
    if answer not in METRICS or metric not in (None, *METRICS.values()):
        raise BadInput(
            f"An answer is text, label or rating and a metric rouge, accuracy or mae, got {answer}, {metric}."
        )
    tidy = tuple(dict.fromkeys(filter(None, (label.strip() for label in labels))))
    own = OwnTask(
        name.strip(), title.strip() or name.strip(), template.strip(), answer, tidy, metric or METRICS[answer]
    )
    _check(own)
    with workspace.store() as store:
        stored.put_task(store, own)
    return _task(own)


def delete_task(workspace: Workspace, name: str) -> None:
    """Take a task of the person's own away; raises NotFound, and StillUsed while records belong to it."""
    with workspace.store() as store:
        stored.delete_task(store, name)


def as_dict(task: Task) -> dict[str, object]:
    """A task for a listing."""
    return {name: value for name, value in dataclasses.asdict(task).items() if not name.endswith("_columns")}
