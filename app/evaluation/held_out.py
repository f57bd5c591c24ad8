"""The held-out records as questions: with nothing before them, and with the person's similar records.

Knows neither how an adapter is made nor what the scores are for.
"""

import dataclasses
from collections.abc import Sequence

from app.evaluation.desks import Desk
from app.evaluation.metrics import ACCURACY, ROUGE_1, Metric, mae_of
from app.pipeline.dataset import TrainingData
from app.pipeline.retrieval import RETRIEVED, Retriever, augmented_prompts
from app.tasks import read_number

ACCURACY_FOR_NUMBERS = dataclasses.replace(ACCURACY, title="Accuracy (not every answer holds a number)")
"""Its title says why it is not the MAE that the task asks for."""


def golds(data: TrainingData) -> Sequence[str]:
    """What the person wrote themselves."""
    return [text.output for text in data.held_out]


def metric_of(data: TrainingData) -> Metric:
    """The metric of the task; accuracy where that wants numbers and not every answer of those held out has one."""
    if data.task.metric != "mae":
        return ROUGE_1 if data.task.metric == "rouge" else ACCURACY
    if any(read_number(gold) is None for gold in golds(data)):
        return ACCURACY_FOR_NUMBERS
    own = (read_number(text.output) for text in (*data.texts, *data.held_out) if text.pair_id is None)
    return mae_of([number for number in own if number is not None])


def prompts(desk: Desk, data: TrainingData) -> list[list[int]]:
    """The held-out inputs as the model is asked."""
    return [desk.question_ids(data.task, text.input) for text in data.held_out]


def prompts_with_records(desk: Desk, data: TrainingData) -> list[list[int]]:
    """The same with similar records, of those that are learned from."""
    retriever = Retriever([text for text in data.texts if text.pair_id is None])
    made = []
    for text in data.held_out:
        found = retriever.find(text.input, RETRIEVED)
        longer_first = [prompt for _, prompt in augmented_prompts(data.task, text.input, found)]
        made.append(desk.free_ids(data.task, longer_first) or desk.question_ids(data.task, text.input))
    return made
