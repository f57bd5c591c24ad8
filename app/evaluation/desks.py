"""A model that answers questions, and an adapter that is made for a person and dropped again once it has answered.

Everything goes through the app's own code: the renderer, the trainer, the engines. Answers are kept under a hash of all
that they depend on, so two methods that come to the same training set (no pair was kept, say) train once.
Knows no method and no metric.
"""

import dataclasses
import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.device.adapters import GGUF_ADAPTER
from app.device.bases import TaskBase, served
from app.device.catalogue import LocalModel
from app.device.engines import Engine, Sampling, open_engine
from app.device.finetuning import fine_tune
from app.device.gguf_adapter import layout_of, write_gguf_adapter
from app.device.losses import Loss, completion_loss
from app.device.merging import prepare_on
from app.device.precision import best_precision
from app.device.rendering import Example, Message, render_example, render_prompt, render_task, template_hash
from app.device.tokenising import Tokeniser, open_tokeniser
from app.device.training import FineTuning, Progress
from app.device.weights import best_device, model_hash
from app.device.writing import writing
from app.evaluation.people import hash_of
from app.lamp import LampPair, history_task
from app.pipeline.context import Stopped
from app.tasks import Task, find_task

CONTEXT = 2048
"""Tokens of prompt and answer together."""
ANSWER_TOKENS: Mapping[str, int] = {"text": 64, "label": 16, "rating": 8}
"""Longest answer by kind."""


@dataclasses.dataclass(frozen=True)
class Answered:
    """What a method came to."""

    answers: tuple[str, ...]
    """One a question, in their order."""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What it was made of: examples, pairs, losses, seconds."""


def learning_task(task: Task, pair: LampPair) -> Task:
    """The task whose prompt a history item is learned with.

    A text alone (LaMP-7) is learned as the answer to an empty turn, the nearest thing to plain continuation that a
    chat model has.
    """
    return history_task(task) if pair.input else find_task("chat")


@dataclasses.dataclass(frozen=True)
class Watch:
    """Who follows a desk at work; by default nobody."""

    on_step: Callable[[Progress], None] = lambda _: None
    """Told after each step of a training."""
    on_answer: Callable[[], None] = lambda: None
    """Told after each answer."""
    should_stop: Callable[[], bool] = lambda: False
    """Asked before each step and each answer; once it is true, Stopped is raised."""


class Desk:
    """One model at work: loaded when the first answer is asked for, freed by `close`."""

    def __init__(
        self,
        model: LocalModel,
        cache: Path,
        base: TaskBase | None = None,
        prepared: Path | None = None,
        watch: Watch | None = None,
    ) -> None:
        """`cache` keeps answers and, unless `prepared` is where they lie already, prepared weights.

        `base` is added to the weights, in training and in answering.
        """
        self.model = model
        self.base = base
        self._cache = cache
        self._prepared = prepared or cache / "prepared"
        self._watch = watch or Watch()
        self._engine: Engine | None = None

    @functools.cached_property
    def tokeniser(self) -> Tokeniser:
        """The model's own."""
        return open_tokeniser(self.model)

    @functools.cached_property
    def story(self) -> dict[str, Any]:
        """What tells this desk from any other."""
        base = self.base.story() if self.base else None
        return {"model": model_hash(self.model), "template": template_hash(self.tokeniser), "base": base}

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.model.name} + {self.base.name}" if self.base else self.model.name

    def engine(self) -> Engine:
        """The loaded model."""
        if self._engine is None:
            self._engine = open_engine(self.model, CONTEXT)
        return self._engine

    def question_ids(self, task: Task, text: str) -> list[int]:
        """The prompt of a question, its text cut to leave room for the answer."""
        return render_task(self.tokeniser, task, text, CONTEXT - ANSWER_TOKENS[task.answer])

    def free_ids(self, task: Task, prompts: Sequence[str]) -> list[int] | None:
        """Ids of the first of these whole prompts that leaves room for the answer; None where none does."""
        for prompt in prompts:
            ids = render_prompt(self.tokeniser, [Message("user", prompt)])
            if len(ids) <= CONTEXT - ANSWER_TOKENS[task.answer]:
                return ids
        return None

    def examples(self, task: Task, pairs: Sequence[LampPair], max_tokens: int) -> list[Example]:
        """History items and synthetic pairs as the trainer sees them."""
        return [
            render_example(self.tokeniser, learning_task(task, pair), pair.input, pair.output, max_tokens)
            for pair in pairs
        ]

    def prepared(self) -> Path:
        """The weights that an adapter is trained on."""
        return prepare_on(self.model, self.base, self._prepared, lambda _: None)

    def _write(self, prompts: Sequence[Sequence[int]], sampling: Sampling, adapter: Path | None) -> list[str]:
        base = served(self.base, self.model, self._prepared) if self.base else None
        engine, written = self.engine(), []
        for prompt in prompts:
            if self._watch.should_stop():
                raise Stopped
            written.append("".join(piece.text for piece in engine.stream(prompt, adapter, sampling, base)).strip())
            self._watch.on_answer()
        return written

    def write(self, task: Task, prompts: Sequence[Sequence[int]], adapter: Path | None = None) -> list[str]:
        """Answers of the model, or of an adapter in a folder, most probable token by token; nothing of them is kept."""
        return self._write(prompts, Sampling(max_tokens=ANSWER_TOKENS[task.answer]), adapter)

    def answer(self, task: Task, prompts: Sequence[Sequence[int]]) -> Answered:
        """The model's answers with no adapter, most probable token by token."""
        sampling = Sampling(max_tokens=ANSWER_TOKENS[task.answer])
        asked = [[list(prompt) for prompt in prompts], dataclasses.asdict(sampling)]
        key = hash_of([self.story, *asked])
        return self._kept(key, lambda: Answered(tuple(self._write(prompts, sampling, None))))

    def personal(
        self,
        task: Task,
        prompts: Sequence[Sequence[int]],
        examples: Sequence[Example],
        settings: FineTuning,
        loss: Loss = completion_loss,
        loss_story: str = "",
    ) -> Answered:
        """Answers of an adapter that starts fresh and learns from these examples alone.

        `loss` replaces the trainer's own, and `loss_story` tells it from others. Raises as `fine_tune` does.
        """
        sampling = Sampling(max_tokens=ANSWER_TOKENS[task.answer])
        learned = [[list(example.prompt_ids), list(example.completion_ids)] for example in examples]
        asked = [[list(prompt) for prompt in prompts], dataclasses.asdict(sampling)]
        precision = best_precision(best_device())
        key = hash_of([self.story, *asked, learned, dataclasses.asdict(settings), loss_story, precision])
        return self._kept(key, lambda: self._train_and_write(prompts, sampling, examples, settings, loss))

    def _train_and_write(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        examples: Sequence[Example],
        settings: FineTuning,
        loss: Loss,
    ) -> Answered:
        self._cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="adapter-", dir=self._cache))
        try:
            facts = self.train(examples, settings, folder, loss)
            started = time.monotonic()
            answers = tuple(self._write(prompts, sampling, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return Answered(answers, {**facts, "answering_seconds": round(time.monotonic() - started, 2)})

    def train(
        self, examples: Sequence[Example], settings: FineTuning, folder: Path, loss: Loss = completion_loss
    ) -> dict[str, Any]:
        """Trains an adapter into the folder, in the form that the engine reads; what came of it."""
        started = time.monotonic()
        prepared = self.prepared()
        watch = self._watch
        outcome = fine_tune(prepared, examples, (), settings, folder, watch.on_step, watch.should_stop, loss=loss)
        if outcome.stopped:
            raise Stopped
        if self.model.kind == "gguf":
            write_gguf_adapter(folder, layout_of(prepared), folder / GGUF_ADAPTER)
        return {
            "examples": len(examples),
            "steps": outcome.steps,
            "first_loss": round(outcome.losses[0], 4),
            "final_loss": round(outcome.final_loss, 4),
            "training_seconds": round(time.monotonic() - started, 2),
            "tokens_per_second": round(outcome.tokens_per_second, 1),
        }

    def _kept(self, key: str, make: Callable[[], Answered]) -> Answered:
        """What was made before under this key, else what is made now."""
        path = self._cache / "answers" / f"{key}.json"
        if path.is_file():
            kept = json.loads(path.read_text("utf-8"))
            return Answered(tuple(kept["answers"]), {**kept["facts"], "made_before": True})
        made = make()
        write_json(path, {"answers": list(made.answers), "facts": dict(made.facts)})
        return made

    def close(self) -> None:
        """Free the model; it is loaded again when it is needed again."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None


def write_json(path: Path, value: Any) -> None:
    """Writes JSON beside and renames, so that a file of that name is always whole; raises DiskFull and NotWritten."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    with writing("A result", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".part-", dir=path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
