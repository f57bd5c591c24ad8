"""LaMP's file format: people, their questions, and the history that each question carries.

Format (Salemi et al. 2024, https://lamp-benchmark.github.io): `*_questions.json` is a list of {id, input, profile} with
user_id in the time-based files and without it in the user-based ones;
`*_outputs.json` is {task, golds: [{id, output}]}.
A question's input is the whole prompt. What a profile item holds depends on the task: RULES. Knows no store.

    questions = read_questions(folder / "dev_questions.json", folder / "dev_outputs.json")
    for person in people(questions):
        history = [pair_of(task, item) for item in person.profile]
        asked = [question_pair(task, question) for question in person.questions]
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.errors import BadInput, FileNotUsable
from app.tasks import Task, find_task

ProfileItem = Mapping[str, str]
"""A profile item's fields as text; `id`, mostly `date`, and those that the task's rule names."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a task's questions and profile items become pairs of input and output."""

    start: str
    """What every question of the task begins with."""
    mark: str | None
    """The words of a question after which its own input stands; None: the question as a whole is the input."""
    input: str | None
    """Field of a profile item that is the input; None: the item has the output alone, learned as plain continuation."""
    output: str
    """Field of a profile item that is the output."""
    neutral: str | None = None
    """Field that may carry the input where LaMP has none: a neutral rewrite of the output."""


RULES: Mapping[str, Rule] = {
    # A citation cannot be learned from a profile, which has no references: the source learns abstract -> title.
    "LaMP_1": Rule("For an author who has written", None, "abstract", "title"),
    "LaMP_2": Rule("Which tag does this", "description: ", "description", "tag"),
    "LaMP_3": Rule("What is the score of the following review", "review: ", "text", "score"),
    "LaMP_4": Rule("Generate a headline", "article: ", "text", "title"),
    "LaMP_5": Rule("Generate a title", "paper: ", "abstract", "title"),
    # The source's mean of 39.6 tokens in and 0.0 out says that a tweet is learned by itself.
    "LaMP_7": Rule("Paraphrase the following tweet", "it: ", None, "text", neutral="neutral"),
}
"""By LaMP name; the pairs of fields are those of the source's Table 4."""


def history_task(task: Task) -> Task:
    """The task that a history's pairs are of: the questions' own, but for LaMP-1, whose pairs are titles (LaMP-5)."""
    return find_task("LaMP_5") if task.lamp == "LaMP_1" else task


@dataclasses.dataclass(frozen=True)
class LampQuestion:
    """One question of a file."""

    id: str
    user: str
    """The user_id; in a file without them a number from 0, the same for questions with the same profile."""
    prompt: str
    """The input as the file has it: instruction and text."""
    profile: tuple[ProfileItem, ...]
    answer: str | None
    """The gold output; None where no outputs file was read."""


@dataclasses.dataclass(frozen=True)
class Person:
    """One user of a file."""

    user: str
    questions: tuple[LampQuestion, ...]
    profile: tuple[ProfileItem, ...]
    """The items of all their questions, each once, in the file's order."""


@dataclasses.dataclass(frozen=True)
class LampPair:
    """What a profile item or an answered question teaches."""

    input: str
    """Without the instruction; empty where the item has the output alone."""
    output: str
    date: str | None = None
    """As the file writes it."""


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _item(value: Any, question: str, name: str) -> ProfileItem:
    if not isinstance(value, dict):
        raise FileNotUsable(
            f"The profile of question {question} in {name} should hold objects with named fields but holds a"
            f" {type(value).__name__}; check how the file was made."
        )
    return {str(key): _text(field) for key, field in value.items()}


def _question(value: Any, number: int, name: str) -> LampQuestion:
    """A question whose user is its user_id, or empty where it has none."""
    known = value.get("id") if isinstance(value, dict) else None
    id = f"number {number}" if known is None else _text(known)
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("input"), str)
        or not isinstance(value.get("profile"), list)
    ):
        raise FileNotUsable(
            f"Question {id} of {name} should have an id, an input of text and a list as its profile, as LaMP's have;"
            " check how the file was made."
        )
    profile = tuple(_item(item, id, name) for item in value["profile"])
    return LampQuestion(id, _text(value.get("user_id")), value["input"], profile, None)


def looks_like_questions(value: Any) -> bool:
    """Whether parsed JSON is a list that begins with a LaMP question."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and isinstance(first.get("profile"), list) and isinstance(first.get("input"), str)


def parse_questions(values: Sequence[Any], name: str) -> tuple[LampQuestion, ...]:
    """The questions of a parsed questions file, without answers; `name` is the file's, for messages.

    Raises FileNotUsable naming the question that is malformed.
    """
    found = [_question(value, number, name) for number, value in enumerate(values, 1)]
    nameless = [question for question in found if not question.user]
    if 0 < len(nameless) < len(found):
        raise FileNotUsable(
            f"Question {nameless[0].id} of {name} should have a user_id, as others of the file have; check how the file"
            " was made."
        )
    numbers: dict[str, str] = {}
    questions = []
    for number, question in enumerate(found, 1):
        # User-based files name no user; the questions of one carry the same profile. No profile, no way to know.
        key = json.dumps(question.profile, sort_keys=True) if question.profile else f"question {number}"
        user = question.user or numbers.setdefault(key, str(len(numbers)))
        questions.append(dataclasses.replace(question, user=user))
    return tuple(questions)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise FileNotUsable(f"There is no file {path}; check the name.") from None
    except OSError as error:
        raise FileNotUsable(f"{path} cannot be read ({error.strerror}); name a file that you may open.") from None
    except (ValueError, RecursionError):
        raise FileNotUsable(f"{path} is not valid JSON; it may be cut short, so fetch or export it again.") from None


def _check_unique(ids: Sequence[str], name: str) -> None:
    seen: set[str] = set()
    for id in ids:
        if id in seen:
            raise FileNotUsable(f"The question id {id} stands twice in {name}; give every question an id of its own.")
        seen.add(id)


def _check_whole(id: str, texts: Iterable[str], name: str) -> None:
    """Raises FileNotUsable for half a surrogate pair, which JSON can hold and no model and no file takes."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        bad = error.object[error.start : error.end]
        raise FileNotUsable(
            f"Question {id} in {name} holds {bad!a}, half of a character; check how the file was made."
        ) from None


def _check_question(question: LampQuestion, name: str) -> None:
    fields = [part for item in question.profile for field in item.items() for part in field]
    _check_whole(question.id, [question.id, question.user, question.prompt, *fields], name)


def _check_task(told: Any, task: Task, name: str) -> None:
    """Raises FileNotUsable for the name of another task; LaMP itself has names like LaMP_2M."""
    other = next((lamp for lamp in RULES if str(told).startswith(lamp)), None)
    if other not in (None, task.lamp):
        raise FileNotUsable(f"{name} holds the answers of {other} and not of {task.lamp}; name its task with --task.")


def _golds(path: Path, task: Task | None) -> dict[str, str]:
    """Answers by question id, without those that are null."""
    content = _read(path)
    try:
        golds = [(_text(gold["id"]), gold["output"]) for gold in content["golds"]]
        told = content.get("task")
    except (KeyError, TypeError, AttributeError):
        raise FileNotUsable(
            f'{path.name} should hold {{"task": ..., "golds": [{{"id": ..., "output": ...}}]}}, as LaMP\'s outputs do;'
            " check that it is the outputs file."
        ) from None
    if task is not None:
        _check_task(told, task, path.name)
    _check_unique([id for id, _ in golds], path.name)
    found = {id: _text(output) for id, output in golds if output is not None}
    for id, text in found.items():
        _check_whole(id, [text], path.name)
    return found


def _answered(question: LampQuestion, golds: Mapping[str, str], name: str) -> LampQuestion:
    if question.id not in golds:
        raise FileNotUsable(
            f"{name} has no answer to question {question.id}; check that the two files belong together."
        )
    return dataclasses.replace(question, answer=golds[question.id])


def read_questions(questions: Path, outputs: Path | None = None, task: Task | None = None) -> tuple[LampQuestion, ...]:
    """The questions of a file in its order, with their answers where the outputs file is given.

    Raises FileNotUsable where a file is missing, malformed (naming the question), of another task or lacks an answer.
    """
    values = _read(questions)
    if not looks_like_questions(values):
        raise FileNotUsable(
            f"{questions.name} should be a list of LaMP questions, each with id, input and profile, but is not; check"
            " that it is a questions file."
        )
    found = parse_questions(values, questions.name)
    _check_unique([question.id for question in found], questions.name)
    for question in found:
        _check_question(question, questions.name)
    if outputs is None:
        return found
    golds = _golds(outputs, task)
    return tuple(_answered(question, golds, outputs.name) for question in found)


def people(questions: Sequence[LampQuestion]) -> tuple[Person, ...]:
    """The users of the questions, in the order of their first question."""
    asked: dict[str, list[LampQuestion]] = {}
    for question in questions:
        asked.setdefault(question.user, []).append(question)
    return tuple(Person(user, tuple(own), _joined(own)) for user, own in asked.items())


def _joined(questions: Sequence[LampQuestion]) -> tuple[ProfileItem, ...]:
    items = [item for question in questions for item in question.profile]
    return tuple({json.dumps(item, sort_keys=True): item for item in items}.values())


def task_of(prompt: str) -> Task | None:
    """The task whose questions begin like this one; None where it is none of LaMP's."""
    return next((find_task(name) for name, rule in RULES.items() if prompt.lstrip().startswith(rule.start)), None)


def rule_of(task: Task) -> Rule:
    """The task's rule; raises BadInput for a task that LaMP does not have."""
    if task.lamp is None or task.lamp not in RULES:
        raise BadInput(f"The task {task.name} is none of LaMP's; choose one of {', '.join(RULES)}.")
    return RULES[task.lamp]


def _field(item: ProfileItem, field: str) -> str:
    if not item.get(field, "").strip():
        raise FileNotUsable(
            f"The profile item {item.get('id', 'without an id')} should have a field {field!r} but has"
            f" {', '.join(item) or 'no field'}; check that the file belongs to the task."
        )
    return item[field].strip()


def pair_of(task: Task, item: ProfileItem, *, neutral: bool = False) -> LampPair:
    """A profile item as a pair, by the task's rule; raises FileNotUsable naming the item that lacks a field.

    For LaMP-7 the input is empty: the tweet is learned as plain continuation. With `neutral` it is the neutral rewrite
    that an item may carry. Raises BadInput for a task that is none of LaMP's.
    """
    rule = rule_of(task)
    source = rule.neutral if neutral and rule.neutral else rule.input
    return LampPair(_field(item, source) if source else "", _field(item, rule.output), item.get("date") or None)


def input_of(task: Task, question: LampQuestion) -> str:
    """The question's own text, without the instruction: what `task.prompt` takes.

    Raises FileNotUsable where the question lacks the task's words, and BadInput for a task that is none of LaMP's.
    """
    mark = rule_of(task).mark
    if mark is None:
        return question.prompt.strip()
    _, found, text = question.prompt.partition(mark)
    if not found or not text.strip():
        raise FileNotUsable(
            f"Question {question.id} should have its text after {mark.strip()!r}, as those of {task.lamp} do, but it"
            " has none; check that the file belongs to the task."
        )
    return text.strip()


def task_as_asked(task: Task, question: LampQuestion) -> Task:
    """The task with the instruction that a file's questions begin with, here this one; LaMP-2's names the tags."""
    text = input_of(task, question)
    if not question.prompt.rstrip().endswith(text):
        return task
    return dataclasses.replace(task, template=question.prompt.rstrip().removesuffix(text) + "{input}")


def question_pair(task: Task, question: LampQuestion) -> LampPair:
    """An answered question as a pair; raises as `input_of` does, and FileNotUsable without an answer."""
    if question.answer is None:
        raise FileNotUsable(f"Question {question.id} has no answer; name the outputs file too.")
    return LampPair(input_of(task, question), question.answer.strip())
