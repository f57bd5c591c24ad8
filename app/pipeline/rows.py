"""The first rows of a training as the model will see them; trains nothing and stores nothing."""

import dataclasses

from app.device.presets import DEFAULT, find_preset
from app.device.rendering import is_cut, render_example
from app.device.tokenising import Tokeniser, open_tokeniser
from app.pipeline.dataset import TrainingText, gather
from app.pipeline.models import device_model
from app.pipeline.workspace import Workspace
from app.tasks import Task


@dataclasses.dataclass(frozen=True)
class Row:
    """An example, decoded from the very tokens that are learned; special tokens are written out."""

    prompt: str
    """What is given, with the chat template's marks; no loss is taken on it."""
    completion: str
    """What is learned."""
    tokens: int
    """Of both together."""
    cut: bool
    """The end of the input, or of a very long output, is left out."""


def _row(tokeniser: Tokeniser, task: Task, text: TrainingText, max_tokens: int) -> Row:
    example = render_example(tokeniser, task, text.input, text.output, max_tokens)
    return Row(
        tokeniser.decode(example.prompt_ids),
        tokeniser.decode(example.completion_ids),
        len(example.prompt_ids) + len(example.completion_ids),
        is_cut(tokeniser, task, text.input, text.output, max_tokens),
    )


def first_rows(
    workspace: Workspace, count: int, task: str | None = None, model: str | None = None, preset: str = DEFAULT
) -> tuple[Row, ...]:
    """Up to so many rows that a training would begin to learn from, the person's own records first.

    Raises NothingToTrain, BadInput, ModelMissing and ModelDamaged as a training would.
    """
    data, tokeniser = gather(workspace, task), open_tokeniser(device_model(workspace, model))
    max_tokens = find_preset(preset).settings.max_tokens
    return tuple(_row(tokeniser, data.task, text, max_tokens) for text in data.texts[:count])
