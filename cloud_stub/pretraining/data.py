"""What a base learns from: the profiles and answered questions of a LaMP-shaped folder's `train_*` files.

Some people are held out whole, to score by. Whoever is asked in the folder's `dev_*` files is no part of it: a text of
theirs that a training person has too, as co-authors do, is left out.
"""

import dataclasses
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from app import lamp
from app.errors import FileNotUsable
from app.lamp import LampQuestion, Person
from app.tasks import Task

TRAINED, ASKED = "train", "dev"
HELD_OUT_SHARE = 0.1
"""Of the people."""
LEAST_FOR_HOLDING_OUT = 5
"""People; of fewer, none is held out."""
MOST_HELD_OUT = 100
"""Examples; more would take long and tell little more."""


@dataclasses.dataclass(frozen=True)
class Text:
    """What a base learns or is asked: the answer to an input, and the task whose prompt stands before it."""

    task: Task
    input: str
    output: str


@dataclasses.dataclass(frozen=True)
class PublicData:
    """The texts of a pretraining."""

    task: Task
    texts: tuple[Text, ...]
    users: int
    held_out: tuple[Text, ...]
    held_out_users: int
    left_out: int
    """Texts that belong to people who are asked, too."""
    asked: tuple[Text, ...]
    """Questions with their answers, of people whom nothing was learned from, a few of each before more of any."""


def _question(task: Task, question: LampQuestion) -> Text:
    pair = lamp.question_pair(task, question)
    return Text(task, pair.input, pair.output)


def _pairs(task: Task, person: Person) -> list[Text]:
    """All that a person's file teaches; items without an input cannot be asked for, and are left out."""
    neutral = lamp.rule_of(task).neutral
    items = [item for item in person.profile if neutral is None or item.get(neutral, "").strip()]
    known = [lamp.pair_of(task, item, neutral=True) for item in items]
    learned = [Text(lamp.history_task(task), pair.input, pair.output) for pair in known]
    return learned + [_question(task, question) for question in person.questions]


def _people(folder: Path, part: str) -> tuple[Person, ...]:
    questions = lamp.read_questions(folder / f"{part}_questions.json", folder / f"{part}_outputs.json")
    return lamp.people(questions)


def _asked_people(folder: Path) -> tuple[Person, ...]:
    return _people(folder, ASKED) if (folder / f"{ASKED}_questions.json").is_file() else ()


def _different(pairs: Iterable[Text]) -> list[Text]:
    """Each input once: what two people wrote together is learned once."""
    return list({pair.input: pair for pair in pairs}.values())


def _turn_by_turn(task: Task, people: Sequence[Person]) -> tuple[Text, ...]:
    """The first question of everybody, then the second of those who have one, and so on."""
    longest = max((len(person.questions) for person in people), default=0)
    rounds = [[person.questions[turn] for person in people if turn < len(person.questions)] for turn in range(longest)]
    return tuple(_question(task, question) for asked in rounds for question in asked)


def _hold_out(people: Sequence[Person], seed: int) -> tuple[list[Person], list[Person]]:
    """Those who are learned from, and those who are held out."""
    if len(people) < LEAST_FOR_HOLDING_OUT:
        return list(people), []
    count = max(1, round(len(people) * HELD_OUT_SHARE))
    chosen = set(random.Random(seed).sample([person.user for person in people], count))
    learned = [person for person in people if person.user not in chosen]
    return learned, [person for person in people if person.user in chosen]


def gather(task: Task, folder: Path, seed: int, as_asked: bool = False) -> PublicData:
    """The folder's texts, with the task's own prompt or, `as_asked`, the instruction of the folder's questions.

    Raises FileNotUsable where a file is missing or malformed, BadInput for a task not LaMP's.
    """
    lamp.rule_of(task)
    if not folder.is_dir():
        raise FileNotUsable(
            f"There is no folder {folder}; name one that holds {TRAINED}_questions.json and {TRAINED}_outputs.json with"
            " --data."
        )
    people, asked = _people(folder, TRAINED), _asked_people(folder)
    if as_asked and people:
        task = lamp.task_as_asked(task, people[0].questions[0])
    taken = [pair for person in asked for pair in _pairs(task, person)]
    inputs, outputs = {pair.input for pair in taken}, {pair.output for pair in taken if task.answer == "text"}
    learned, others = _hold_out(people, seed)
    held_out = _different(pair for person in others for pair in _pairs(task, person))[:MOST_HELD_OUT]
    known = {pair.input for pair in held_out}
    texts = [
        pair for pair in _different(p for person in learned for p in _pairs(task, person)) if pair.input not in known
    ]
    free = [pair for pair in texts if pair.input not in inputs and pair.output not in outputs]
    if not free:
        raise FileNotUsable(f"{folder} holds no text to learn from that belongs to nobody who is asked; name another.")
    return PublicData(
        task,
        tuple(free),
        len(learned),
        tuple(held_out),
        len(others),
        len(texts) - len(free),
        _turn_by_turn(task, asked),
    )
