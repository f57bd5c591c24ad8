"""The held-out records as questions: with nothing before them, and with the person's similar records.

Knows neither how an adapter is made nor what the scores are for.
"""

from collections.abc import Sequence

from app.evaluation.desks import Desk
from app.evaluation.metrics import Metric, metrics_of
from app.pipeline.dataset import TrainingData
from app.pipeline.retrieval import RETRIEVED, Retriever, augmented_prompts


def metric_of(data: TrainingData) -> Metric:
    """The metric to compare by; a task without a list of labels has those that occur."""
    labels = sorted({text.output.strip() for text in (*data.texts, *data.held_out)})
    return metrics_of(data.task, data.task.labels or labels)[0]


def golds(data: TrainingData) -> Sequence[str]:
    """What the person wrote themselves."""
    return [text.output for text in data.held_out]


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
