"""The making of a base, from top to bottom: gather, prepare, render, train, halve, score, and only then finish.

The base grows in a folder whose name begins with a dot; that folder takes its own name once it is whole. The same call
goes on with a folder that a stopped one left.
"""

import dataclasses
import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from app.device.adapters import LICENCE, finish
from app.device.bases import BaseManifest, TaskBase, check_base, check_name, load_base
from app.device.catalogue import LocalModel
from app.device.checkpoints import remove_checkpoint
from app.device.finetuning import fine_tune
from app.device.gguf_adapter import layout_of
from app.device.merging import halve
from app.device.rendering import Example, render_example, template_hash
from app.device.tokenising import Tokeniser, open_tokeniser
from app.device.training import FineTuning, Outcome, Progress
from app.device.weights import model_hash, prepare
from app.device.writing import replacing, writing
from app.errors import BadInput
from app.tasks import Task
from cloud_stub.pretraining.data import PublicData, Text, gather
from cloud_stub.pretraining.scores import score

NOT_STATED = "not stated"
USUAL = FineTuning(rank=8, epochs=2)
"""A rank of 8 keeps a base of a small model below 5 MB; more than two epochs overfit a few hundred texts."""


class Stopped(Exception):
    """It was asked to stop; the same call goes on from there."""


class Listener(Protocol):
    """Who hears how far the making is."""

    def say(self, sentence: str) -> None:
        """Something that happens once."""

    def train(self, progress: Progress) -> None:
        """After each step."""

    def score(self, done: int, total: int) -> None:
        """After each question."""


@dataclasses.dataclass(frozen=True)
class About:
    """What is told of the base and its data, in words."""

    title: str = ""
    """Empty: made of the task and the name."""
    data: str = NOT_STATED
    licence: str = NOT_STATED
    attribution: str = NOT_STATED


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a base is made of."""

    task: Task
    data: Path
    """Folder with train_questions.json and train_outputs.json, and maybe those of dev, to score by."""
    model: LocalModel
    name: str
    out: Path
    """Folder that the base's own folder will be in."""
    cache: Path
    """Where unpacked models are kept."""
    settings: FineTuning = USUAL
    about: About = About()
    questions: int = 20
    """How many of dev's questions are asked, to score by."""
    as_asked: bool = False
    """Learned under the instruction of the folder's questions, in place of the app's own prompt for the task."""

    @property
    def folder(self) -> Path:
        """Where the base will be."""
        return self.out / self.name

    @property
    def unfinished(self) -> Path:
        """Where it grows."""
        return self.out / f".{self.name}.unfinished"


def _render(tokeniser: Tokeniser, recipe: Recipe, texts: Sequence[Text]) -> list[Example]:
    longest = recipe.settings.max_tokens
    return [render_example(tokeniser, text.task, text.input, text.output, longest) for text in texts]


def _licence(recipe: Recipe) -> str:
    about = recipe.about
    return (
        f"{recipe.name}: a LoRA for {recipe.model.name}, trained for the task {recipe.task.name}.\n\n"
        f"Data that it learned from: {about.data}\n"
        f"Licence of the data: {about.licence}\n"
        f"Attribution: {about.attribution}\n\n"
        f"What is written with it comes of {recipe.model.name} too, whose own licence holds beside this one.\n"
    )


def _manifest(
    recipe: Recipe,
    data: PublicData,
    outcome: Outcome,
    template: str,
    layout: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> BaseManifest:
    return BaseManifest(
        name=recipe.name,
        title=recipe.about.title or f"{recipe.task.title}, {recipe.name}",
        task=recipe.task.name,
        model=recipe.model.name,
        model_hash=model_hash(recipe.model),
        quantisation=outcome.quantisation,
        template_hash=template,
        layout=layout,
        data=recipe.about.data,
        licence=recipe.about.licence,
        attribution=recipe.about.attribution,
        users=data.users,
        examples=len(data.texts),
        held_out_users=data.held_out_users,
        held_out=len(data.held_out),
        settings=dataclasses.asdict(recipe.settings),
        seed=recipe.settings.seed,
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        final_loss=outcome.final_loss,
        held_out_loss=outcome.held_out_loss,
        untrained_held_out_loss=outcome.base_held_out_loss,
        best_epoch=outcome.best_epoch,
        losses=outcome.losses,
        held_out_losses=outcome.held_out_losses,
        tokens_per_second=outcome.tokens_per_second,
        peak_memory_mb=outcome.peak_memory_mb,
        seconds=outcome.seconds,
        device=outcome.device,
        scores=scores,
    )


def _check_free(recipe: Recipe) -> None:
    check_name(recipe.name)
    if recipe.folder.exists():
        raise BadInput(
            f"There is a base {recipe.name} in {recipe.out} already; name the new one with --name, or remove"
            f" {recipe.folder} first."
        )


def _put_in_place(recipe: Recipe, template: str) -> TaskBase:
    """The unfinished folder, finished and checked as one that is about to be used, under its own name."""
    check_base(load_base(recipe.unfinished), recipe.model, template)
    with writing("The base", recipe.out):
        os.rename(recipe.unfinished, recipe.folder)
    return load_base(recipe.folder)


def make_base(recipe: Recipe, listener: Listener, should_stop: Callable[[], bool]) -> TaskBase:
    """Makes the base, whole or not at all; goes on with one that was stopped.

    Raises Stopped, BadInput, FileNotUsable, ModelDamaged, JobRefused (other data or settings than the stopped one had)
    DiskFull and NotWritten.
    """
    _check_free(recipe)
    data = gather(recipe.task, recipe.data, recipe.settings.seed, recipe.as_asked)
    listener.say(
        f"{len(data.texts)} texts of {data.users} people to learn from, {len(data.held_out)} of {data.held_out_users}"
        f" others held out, {data.left_out} left out because people who are asked have them too."
    )
    prepared = prepare(recipe.model, recipe.cache, listener.say)
    tokeniser, layout, folder = open_tokeniser(recipe.model), layout_of(prepared), recipe.unfinished
    examples, held_out = _render(tokeniser, recipe, data.texts), _render(tokeniser, recipe, data.held_out)
    outcome = fine_tune(prepared, examples, held_out, recipe.settings, folder, listener.train, should_stop, resume=True)
    if outcome.stopped:
        raise Stopped
    halve(folder)

    questions = data.asked[: recipe.questions]

    def answered(done: int) -> None:
        listener.score(done, len(questions))
        if should_stop():
            raise Stopped

    scores = score(questions, recipe.model, folder, layout, answered)
    with replacing(folder / LICENCE, "The base's licence") as temporary:
        temporary.write_text(_licence(recipe), "utf-8")
    template = template_hash(tokeniser)
    finish(folder, _manifest(recipe, data, outcome, template, layout, scores))
    remove_checkpoint(folder)
    return _put_in_place(recipe, template)
