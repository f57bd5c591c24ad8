"""How well a device model answers people that it knows nothing of, as it came and with a base: greedy answers."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.device.adapters import GGUF_ADAPTER
from app.device.catalogue import LocalModel
from app.device.engines import DEFAULT_CONTEXT, Engine, Sampling, open_engine
from app.device.gguf_adapter import write_gguf_adapter
from app.device.rendering import render_task
from app.device.tokenising import Tokeniser, open_tokeniser
from cloud_stub.pretraining.data import Text
from cloud_stub.rouge import rouge

ANSWER = Sampling(max_tokens=64)
WORST_RATING_ERROR = 4.0
"""What an answer that is no number from 1 to 5 counts."""


def _rouge(answers: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Mean F1 of ROUGE-1 and ROUGE-L over (reference, answer)."""
    found = [rouge(reference, answer) for reference, answer in answers]
    names = {"rouge_1": "rouge1", "rouge_l": "rougeL"}
    return {name: sum(score[key] for score in found) / len(found) for name, key in names.items()}


def _accuracy(answers: Sequence[tuple[str, str]]) -> dict[str, float]:
    right = [reference.strip().casefold() == answer.strip().casefold() for reference, answer in answers]
    return {"accuracy": sum(right) / len(right)}


def _rating_error(reference: str, answer: str) -> float:
    try:
        given = float(answer.strip())
    except ValueError:
        return WORST_RATING_ERROR
    return abs(float(reference) - given) if 1 <= given <= 5 else WORST_RATING_ERROR


def _mae(answers: Sequence[tuple[str, str]]) -> dict[str, float]:
    errors = [_rating_error(*pair) for pair in answers]
    return {"mae": sum(errors) / len(errors)}


METRICS: Mapping[str, Callable[[Sequence[tuple[str, str]]], dict[str, float]]] = {
    "rouge": _rouge,
    "accuracy": _accuracy,
    "mae": _mae,
}


@contextlib.contextmanager
def _readable(folder: Path, model: LocalModel, layout: Mapping[str, Any]) -> Iterator[Path]:
    """The folder that the model's engine reads the unfinished base in `folder` from."""
    if model.kind == "safetensors":
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="cdcda-base-") as temporary:
        write_gguf_adapter(folder, layout, Path(temporary) / GGUF_ADAPTER)
        yield Path(temporary)


def _answer(engine: Engine, tokeniser: Tokeniser, text: Text, base: Path | None) -> str:
    prompt = render_task(tokeniser, text.task, text.input, DEFAULT_CONTEXT - ANSWER.max_tokens)
    return "".join(piece.text for piece in engine.stream(prompt, None, ANSWER, base)).strip()


def score(
    questions: Sequence[Text],
    model: LocalModel,
    folder: Path,
    layout: Mapping[str, Any],
    answered: Callable[[int], None],
) -> dict[str, Any]:
    """Metrics of the model `untrained` and `trained` with the base in `folder`; empty without questions.

    `answered` hears how many questions are done, and may raise to stop.
    """
    if not questions:
        return {}
    tokeniser, engine = open_tokeniser(model), open_engine(model)
    pairs: dict[str, list[tuple[str, str]]] = {"untrained": [], "trained": []}
    try:
        with _readable(folder, model, layout) as base:
            for number, question in enumerate(questions, 1):
                for way, laid in (("untrained", None), ("trained", base)):
                    pairs[way].append((question.output, _answer(engine, tokeniser, question, laid)))
                answered(number)
    finally:
        engine.close()
    metrics = {way: METRICS[questions[0].task.metric](answers) for way, answers in pairs.items()}
    by_name = {name: {way: metrics[way][name] for way in pairs} for name in metrics["trained"]}
    return {"questions": len(questions), **by_name}
