"""M_base: the device model after other people's public data, made once for a run by the service's own program.

The people that it may learn from are written into a LaMP folder of their own, with nothing of a target in it, which is
looked at once more; `cdcda-cloud pretrain` does the rest and goes on where it was stopped. Without other people there
is no M_base, and the device model is taken as it came.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.device.bases import TaskBase, load_base
from app.device.catalogue import LocalModel
from app.device.training import FineTuning
from app.device.weights import model_hash
from app.errors import NothingToTrain
from app.evaluation.desks import write_json
from app.evaluation.people import People, hash_of, pairs_of, require_no_target
from app.lamp import Person
from app.pipeline.local_service import child_environment


@dataclasses.dataclass(frozen=True)
class BaseRecipe:
    """How M_base is trained."""

    rank: int = 8
    epochs: int = 2
    learning_rate: float = 1e-3
    users: int = 0
    """Other people that it learns from, the first ones; 0: all."""


def _questions(persons: Sequence[Person]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, str]]]:
    """LaMP's two lists: questions, the whole profile with each person's first one, and golds."""
    questions: list[Mapping[str, Any]] = []
    golds: list[Mapping[str, str]] = []
    for number, person in enumerate(persons):
        for turn, question in enumerate(person.questions):
            profile = [dict(item) for item in person.profile] if turn == 0 else []
            id = f"{number}-{turn}"
            questions.append({"id": id, "user_id": str(number), "input": question.prompt, "profile": profile})
            golds.append({"id": id, "output": question.answer or ""})
    return questions, golds


def _write_folder(people: People, persons: Sequence[Person], folder: Path) -> None:
    require_no_target(people, [pair for person in persons for pair in pairs_of(people.task, person)])
    questions, golds = _questions(persons)
    write_json(folder / "train_questions.json", questions)
    write_json(folder / "train_outputs.json", {"task": people.task.lamp, "golds": golds})


def _command(people: People, model: LocalModel, data: Path, out: Path, name: str, recipe: BaseRecipe) -> list[str]:
    options = {
        "--task": people.task.lamp,
        "--data": data,
        "--model": model.path,
        "--name": name,
        "--out": out,
        "--cache": out.parent / "desk" / "prepared",
        "--rank": recipe.rank,
        "--alpha": FineTuning.alpha,
        "--epochs": recipe.epochs,
        "--learning-rate": recipe.learning_rate,
        "--score": 0,
    }
    named = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-m", "cloud_stub", "pretrain", "--as-asked", *named]


def _teachers(people: People, recipe: BaseRecipe) -> Sequence[Person]:
    return people.others[: recipe.users] if recipe.users else people.others


def mbase_name(people: People, model: LocalModel, recipe: BaseRecipe) -> str | None:
    """What the base is called, by a hash of all that it depends on; None where there is nobody to learn from."""
    persons = _teachers(people, recipe)
    if not persons:
        return None
    return f"mbase-{hash_of([*_questions(persons), model_hash(model), recipe, people.task.name])[:12]}"


def make_mbase(people: People, model: LocalModel, folder: Path, recipe: BaseRecipe) -> TaskBase | None:
    """The base below `folder`, made unless it is there; None where there is nobody to learn from.

    Raises BadInput where a text of a target would be learned, and NothingToTrain with the program's last words where it
    fails; the same call goes on with what it left.
    """
    name, out = mbase_name(people, model, recipe), folder / "bases"
    if name is None:
        return None
    if not (out / name).is_dir():
        data = folder / "others" / name.removeprefix("mbase-")
        _write_folder(people, _teachers(people, recipe), data)
        out.mkdir(parents=True, exist_ok=True)
        _run(_command(people, model, data, out, name, recipe))
    return load_base(out / name)


def _run(command: Sequence[str]) -> None:
    """Its progress goes to standard error as it comes; its result, one line of JSON, is not needed."""
    done = subprocess.run(command, env=child_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise NothingToTrain(
            f"M_base was not finished: the program that makes it ended with {done.returncode} (its words stand above);"
            " run the same command again to go on, or name a base with --base."
        )
