"""Tasks that the person made. Every function takes an open Store first."""

import json

from personal_store.errors import NotFound, StillUsed
from personal_store.nouns import OwnTask
from personal_store.store import Row, Store


def _task(row: Row) -> OwnTask:
    return OwnTask(**{**row, "labels": tuple(json.loads(row["labels"]))})


def put_task(store: Store, task: OwnTask) -> None:
    """Keep a task; one of the same name is replaced."""
    store.run(
        "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET title = excluded.title,"
        " template = excluded.template, answer = excluded.answer, labels = excluded.labels, metric = excluded.metric",
        [task.name, task.title, task.template, task.answer, json.dumps(task.labels), task.metric],
    )


def own_tasks(store: Store) -> tuple[OwnTask, ...]:
    """Every task that the person made, by name."""
    return tuple(map(_task, store.rows("SELECT * FROM tasks ORDER BY name")))


def delete_task(store: Store, name: str) -> None:
    """Take a task away; raises NotFound, StillUsed while records belong to it."""
    with store.change():
        count = store.value("SELECT count(*) FROM records WHERE task = ?", [name])
        if count:
            raise StillUsed(
                f"{count} records belong to the task {name!r}; give them another task or delete them first."
            )
        if not store.run("DELETE FROM tasks WHERE name = ?", [name]):
            raise NotFound(f"There is no task {name!r} of your own; `cdcda tasks` shows which there are.")
