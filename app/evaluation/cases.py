"""The case study: one person's questions, what they really wrote, and what every method answered."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.errors import BadInput
from app.evaluation.measured import measure_run
from app.evaluation.methods import METHODS
from app.evaluation.metrics import rouge, same_label
from app.evaluation.people import Target
from app.evaluation.plans import hashes_of, people_of, results, stands, stored_present
from app.evaluation.tables import Scores, Table, setting_of
from app.tasks import Task

NEAREST = 3
"""Records shown beside each question."""
LONGEST = 300
"""Characters of an input that are shown."""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _worth(task: Task, answer: str, gold: str) -> str:
    if task.answer == "text":
        return f"{rouge(answer, gold)['rougeL']:.2f}"
    return "right" if same_label(answer, gold) else "wrong"


def _answers(out: Path, scores: Scores, target: Target) -> list[tuple[str, Sequence[Any]]]:
    """Every method's title and its answers at the main setting, first seed."""
    present = dataclasses.replace(stored_present(out), targets=hashes_of([target]))
    own = [result for result in results(out) if result["unit"]["user"] == target.user and stands(result, present)]
    found = []
    for method in METHODS:
        setting = scores.main_setting(method.name)
        made = [result for result in own if setting_of(result["unit"]) == setting]
        if made:
            found.append((method.title, made[0]["answers"]))
    return found


def case(out: Path, user: str) -> tuple[Table, ...]:
    """One table a question, from a run's folder; raises BadInput for a user without a result to show."""
    scores = Scores(measure_run(out, bert=False))
    known = sorted({measured.unit["user"] for measured in scores.units})
    if user not in known:
        raise BadInput(f"There is no result of user {user}; those who have one are {', '.join(known)}.")
    (target,) = people_of(dataclasses.replace(scores.plan, only=(user,))).targets
    answered = _answers(out, scores, target)
    if not answered:
        raise BadInput(
            f"User {user} has no result from the data as they are now at the share ratio and k that are shown; let"
            " `cdcda lamp run` go on."
        )
    from app.pipeline.retrieval import Retriever

    retriever = Retriever(target.records)
    worth = "ROUGE-L" if scores.task.answer == "text" else "Right"
    made = []
    for place, question in enumerate(target.questions):
        rows = [("(really written)", question.gold, "")]
        rows += [
            (title, rows_[place]["answer"], _worth(scores.task, rows_[place]["answer"], question.gold))
            for title, rows_ in answered
        ]
        records = [record.output for record in retriever.find(question.input, NEAREST)]
        notes = (f"Like it in the history: {'; '.join(records)}",)
        title = f"User {user}, question {question.id}: {_short(question.input)}"
        made.append(Table(title, ("Method", "Answer", worth), tuple((a, _short(b), c) for a, b, c in rows), notes))
    return tuple(made)
