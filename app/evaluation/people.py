"""The people of a LaMP folder: targets with their history and questions, and the others, who teach M_base.

The folder holds `dev_questions.json` and `dev_outputs.json`, whose users with the longest histories are the targets,
and mostly `train_questions.json` and `train_outputs.json`. What a question asks for is left out of its own user's
history. Nothing of a target may be learned by M_base: `others` leaves it out, `require_no_target` looks again at what
was put together. Knows no model.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from app.errors import BadInput, FileNotUsable
from app.lamp import (
    LampPair,
    LampQuestion,
    Person,
    ProfileItem,
    pair_of,
    people,
    question_pair,
    read_questions,
    rule_of,
    task_as_asked,
)
from app.pipeline.dates import month_comes_first, to_iso
from app.tasks import Task, find_task

TRAIN = "train "
"""Stands before the user of a train file, whose ids may be counted from 0 like those of the dev file."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """One question of a target."""

    id: str
    input: str
    """Without the instruction."""
    gold: str


@dataclasses.dataclass(frozen=True)
class Target:
    """A person whose model is made and judged."""

    user: str
    records: tuple[LampPair, ...]
    """The history, oldest first."""
    questions: tuple[Asked, ...]
    neutral: tuple[LampPair, ...] = ()
    """The same history with neutral rewrites as inputs, where the file carries them (LaMP-7)."""


@dataclasses.dataclass(frozen=True)
class People:
    """What a folder holds."""

    task: Task
    """With the file's own instruction as its template."""
    labels: tuple[str, ...]
    """Every answer that occurs, for tasks with labels or ratings."""
    targets: tuple[Target, ...]
    """Those with the longest histories, the longest first."""
    others: tuple[Person, ...]
    """Everybody else with what M_base may see of them."""
    left_out: int
    """Questions and history items that M_base may not see, because a target wrote or has them, and `given_away`."""
    given_away: tuple[LampPair, ...] = ()
    """History items of targets that one of their own questions asks for; their histories are without them."""


def is_score(text: str) -> bool:
    """Whether a text is a number, as LaMP-3's scores and golds are."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_gold(task: Task, question: LampQuestion, outputs: Path) -> None:
    """Raises FileNotUsable for a gold that no metric can compare with."""
    gold = (question.answer or "").strip()
    if (task.answer == "rating" and not is_score(gold)) or (task.answer == "label" and not gold):
        expected = "a number" if task.answer == "rating" else "a label"
        raise FileNotUsable(
            f"The answer to question {question.id} in {outputs.name} should be {expected} but is {gold!r}; correct it."
        )


def _files(task: Task, folder: Path, split: str) -> tuple[LampQuestion, ...]:
    outputs = folder / f"{split}_outputs.json"
    found = read_questions(folder / f"{split}_questions.json", outputs, task)
    for question in found:
        _check_gold(task, question, outputs)
    return found


def _by_time(pairs: Sequence[LampPair]) -> tuple[LampPair, ...]:
    """Oldest first; pairs without a readable date keep the file's order, before the others."""
    month_first = month_comes_first([pair.date for pair in pairs if pair.date])
    return tuple(sorted(pairs, key=lambda pair: to_iso(pair.date or "", month_first) or ""))


def _neutral(task: Task, person: Person) -> tuple[LampPair, ...]:
    field = rule_of(task).neutral
    if field is None or not all(item.get(field, "").strip() for item in person.profile):
        return ()
    return _by_time([pair_of(task, item, neutral=True) for item in person.profile])


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


def _given_away(task: Task, person: Person) -> tuple[ProfileItem, ...]:
    """Items of a history that one of the person's questions asks for, so that its answer could be looked up.

    The profile of a later question may hold an earlier one. A text alone (LaMP-7) is told by the answer as well.
    """
    asked = [question_pair(task, question) for question in person.questions]
    texts = {_same(pair.input) for pair in asked}
    if rule_of(task).input is None:
        texts |= {_same(pair.output) for pair in asked}

    def is_asked(item: ProfileItem) -> bool:
        pair = pair_of(task, item)
        return _same(pair.input or pair.output) in texts

    return tuple(filter(is_asked, person.profile))


def _target(task: Task, person: Person) -> Target:
    given_away = _given_away(task, person)
    person = dataclasses.replace(person, profile=tuple(item for item in person.profile if item not in given_away))
    asked = []
    for question in person.questions:
        pair = question_pair(task, question)
        asked.append(Asked(question.id, pair.input, pair.output))
    records = _by_time([pair_of(task, item) for item in person.profile])
    return Target(person.user, records, tuple(asked), _neutral(task, person))


def _texts(task: Task, pairs: Iterable[LampPair]) -> set[str]:
    """What tells that a text is somebody's: inputs, and outputs where they are texts and not labels."""
    listed = list(pairs)
    found = {_same(pair.input) for pair in listed if pair.input}
    return found | ({_same(pair.output) for pair in listed} if task.answer == "text" else set())


def _texts_of(task: Task, targets: Iterable[Target]) -> set[str]:
    listed = list(targets)
    asked = [LampPair(question.input, question.gold) for target in listed for question in target.questions]
    return _texts(task, [*asked, *(pair for target in listed for pair in target.records)])


def pairs_of(task: Task, person: Person) -> list[LampPair]:
    """All that a person's file teaches."""
    answered = [question_pair(task, question) for question in person.questions]
    return [*(pair_of(task, item) for item in person.profile), *answered]


def _is_target(task: Task, person: Person, targets: dict[str, Target]) -> bool:
    """Whether somebody of another file is a target: the same id and at least one text in common.

    The id alone says nothing, because files may count their users from 0 each.
    """
    user = person.user.removeprefix(TRAIN)
    return user in targets and bool(_texts(task, pairs_of(task, person)) & _texts_of(task, [targets[user]]))


def _cleaned(task: Task, person: Person, forbidden: set[str]) -> Person:
    """The person without what a target has too."""

    def free(pair: LampPair) -> bool:
        return not _texts(task, [pair]) & forbidden

    questions = tuple(question for question in person.questions if free(question_pair(task, question)))
    return Person(person.user, questions, tuple(item for item in person.profile if free(pair_of(task, item))))


def _size(person: Person) -> int:
    return len(person.questions) + len(person.profile)


def _others(
    task: Task, everybody: Sequence[Person], targets: Sequence[Target], given_away: Sequence[LampPair]
) -> tuple[tuple[Person, ...], int]:
    """Those who are no targets, cleaned; somebody without a question left cannot stand in LaMP's files."""
    by_user = {target.user: target for target in targets}
    forbidden = _texts_of(task, targets) | _texts(task, given_away)
    strangers = [person for person in everybody if not _is_target(task, person, by_user)]
    cleaned = [_cleaned(task, person, forbidden) for person in strangers]
    kept = tuple(person for person in cleaned if person.questions)
    return kept, sum(map(_size, everybody)) - sum(map(_size, kept))


def _rank(person: Person) -> tuple[int, str]:
    return -len(person.profile), person.user


def _labels(task: Task, questions: Sequence[LampQuestion]) -> tuple[str, ...]:
    if task.answer == "text":
        return ()
    return tuple(sorted({question.answer.strip() for question in questions if question.answer}))


def read_people(folder: Path, task_name: str, users: int, only: Sequence[str] = ()) -> People:
    """The people of a folder of LaMP's task; `only` names targets instead of taking those with the longest histories.

    Raises FileNotUsable, and BadInput for a task that LaMP does not have or a user who is not there.
    """
    task = find_task(task_name)
    rule_of(task)
    asked = _files(task, folder, "dev")
    if not asked[0].prompt.lstrip().startswith(rule_of(task).start):
        raise FileNotUsable(
            f"The questions in {folder} should begin with {rule_of(task).start!r} for {task.lamp} but begin with"
            f" {asked[0].prompt[:40]!r}; name their task with --task."
        )
    ranked = sorted(people(asked), key=_rank)
    chosen = [person for person in ranked if person.user in only] if only else ranked[:users]
    if missing := set(only) - {person.user for person in chosen}:
        raise BadInput(f"There is no user {min(missing)} in {folder}; the users are {_named(ranked)}.")
    targets = tuple(_target(task, person) for person in chosen)
    given_away = tuple(pair_of(task, item) for person in chosen for item in _given_away(task, person))
    rest = [person for person in ranked if person not in chosen]
    training = _files(task, folder, "train") if (folder / "train_questions.json").is_file() else ()
    strangers = [dataclasses.replace(person, user=TRAIN + person.user) for person in people(training)]
    others, left_out = _others(task, [*rest, *strangers], targets, given_away)
    labels = _labels(task, [*asked, *training])
    left_out += len(given_away)
    return People(task_as_asked(task, asked[0]), labels, targets, others, left_out, given_away)


def read_targets(folder: Path, task_name: str, users: Collection[str]) -> tuple[Target, ...]:
    """Those of these users who are in a folder; reads nothing that M_base learns from. Raises FileNotUsable."""
    task = find_task(task_name)
    return tuple(_target(task, person) for person in people(_files(task, folder, "dev")) if person.user in users)


def _named(persons: Sequence[Person]) -> str:
    names = [person.user for person in persons]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _oddity(task: Task, target: Target) -> str | None:
    if not target.records:
        return "has no history, or none beside what their own questions ask for"
    odd = [record.output for record in target.records if task.answer == "rating" and not is_score(record.output)]
    return f"has the score {odd[0]!r} in their history, which is no number" if odd else None


def check_targets(people: People) -> None:
    """Raise BadInput for a target whose history would stop a method in the middle of a run."""
    for target in people.targets:
        if oddity := _oddity(people.task, target):
            raise BadInput(f"User {target.user} {oddity}; correct the file, or name the other users with --only.")


def require_no_target(people: People, examples: Iterable[LampPair]) -> None:
    """Raise BadInput where an example for M_base holds a text of a target's history or questions."""
    forbidden = _texts_of(people.task, people.targets) | _texts(people.task, people.given_away)
    for example in examples:
        if found := _texts(people.task, [example]) & forbidden:
            raise BadInput(
                f"M_base must not learn from a target user, but {min(found)[:60]!r} is in the history or the questions"
                " of one; take it out of the training files."
            )


def hash_of(value: object) -> str:
    """SHA-256 (hex) of anything that JSON can hold; dataclasses become objects."""

    def plain(item: object) -> object:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return dataclasses.asdict(item)
        return str(item)

    return hashlib.sha256(json.dumps(value, sort_keys=True, default=plain).encode()).hexdigest()
