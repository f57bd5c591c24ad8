"""The work of a train job: gather, prepare, render, train, convert, judge, check, and only then enter the adapter."""

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app.device.adapters import GGUF_ADAPTER, Manifest, check_adapter, finish
from app.device.bases import TaskBase, served
from app.device.catalogue import LocalModel
from app.device.checkpoints import remove_checkpoint
from app.device.finetuning import fine_tune
from app.device.gguf_adapter import layout_of, write_gguf_adapter
from app.device.merged import merged_file
from app.device.merging import prepare_on
from app.device.rendering import Example, is_cut, render_example, template_hash
from app.device.tokenising import Tokeniser, open_tokeniser
from app.device.training import FineTuning, Outcome, Progress, count_steps
from app.device.weights import best_device, model_hash, possible_quantisation
from app.errors import AdapterRefused, JobRefused, ModelDamaged, ModelMissing
from app.pipeline import bases, switching
from app.pipeline.context import JobContext, Stopped
from app.pipeline.dataset import TrainingData, TrainingText, build_training_set, gather
from app.pipeline.failures import explained
from app.pipeline.jobs import TrainSettings, should_keep
from app.pipeline.models import device_model
from app.tasks import Task
from personal_store import jobs, training
from personal_store.nouns import Adapter, TrainingSet


@dataclasses.dataclass(frozen=True)
class _Training:
    """Everything that a training is made of."""

    model: LocalModel
    template_hash: str
    stored: TrainingSet
    data: TrainingData
    settings: FineTuning
    base: TaskBase | None
    """What it is trained on top of; None: the bare model."""
    cut: int
    """Texts that are longer than what is learned at once."""


TOO_FEW: Final = "too few to tell"
"""The verdict where the held-out loss decides, as there is nothing better."""


@dataclasses.dataclass(frozen=True)
class Learned:
    """A trained adapter that is not entered yet, with what it takes to judge it."""

    model: LocalModel
    base: TaskBase | None
    """The task base that it was trained on top of; None: the bare model."""
    data: TrainingData
    folder: Path
    """Its weights, in the forms that the engines read."""


Judge = Callable[[JobContext, Learned], Mapping[str, Any]]
"""What an adapter is worth, for Manifest.scores; what measures stands above this room (app.evaluation.verdict)."""


def _training_set(context: JobContext, settings: TrainSettings) -> tuple[TrainingSet, TrainingData]:
    """The snapshot of the job's first run; a resumed run must find the same texts."""
    with context.workspace.store() as store:
        first = next((event for event in jobs.events(store, context.job.id) if event.kind == "gathered"), None)
        if first is not None:
            stored = training.get_training_set(store, first.data["training_set"])
    if first is None:
        stored, data = build_training_set(context.workspace, settings.task, settings.seed)
        context.report("gathered", {"training_set": stored.id, "task": data.task.name})
        return stored, data
    data = gather(context.workspace, first.data["task"], settings.seed)
    if data.hash != stored.hash:
        raise JobRefused("The records or pairs have changed since this training began; start a new one.")
    return stored, data


def _task_base(
    context: JobContext, chosen: TrainSettings, task: Task, made_of: LocalModel, template: str
) -> TaskBase | None:
    """The base of the job's first run; a resumed run goes on with the same one, whatever was chosen meanwhile."""
    with context.workspace.store() as store:
        first = next((event for event in jobs.events(store, context.job.id) if event.kind == "based"), None)
    if first is not None:
        story = first.data["task_base"]
        return bases.of_story(context.workspace, story, made_of, template)
    base = bases.base_for(context.workspace, task, made_of, template, chosen.base)
    context.report("based", {"task_base": base.story() if base else None})
    return base


def _render(tokeniser: Tokeniser, data: TrainingData, texts: Sequence[TrainingText], max_tokens: int) -> list[Example]:
    return [render_example(tokeniser, data.task, text.input, text.output, max_tokens) for text in texts]


def _count_cut(tokeniser: Tokeniser, data: TrainingData, max_tokens: int) -> int:
    """Texts that are longer than what is learned at once."""
    return sum(is_cut(tokeniser, data.task, text.input, text.output, max_tokens) for text in data.texts)


def _preparing(context: JobContext) -> Callable[[str], None]:
    def report(message: str) -> None:
        context.check_stop()
        context.report("preparing", {"message": message})

    return report


def _say_what_is_less(context: JobContext, settings: FineTuning) -> None:
    """Where the weights cannot be held as they are wanted, Apple GPUs for one, the job says so."""
    _, sentence = possible_quantisation(settings.quantisation, best_device())
    if sentence:
        _preparing(context)(sentence)


def _train(context: JobContext, tokeniser: Tokeniser, prepared: Path, made_of: _Training, folder: Path) -> Outcome:
    data, settings = made_of.data, made_of.settings
    examples = _render(tokeniser, data, data.texts, settings.max_tokens)
    held_out = _render(tokeniser, data, data.held_out, settings.max_tokens)
    started = {
        "examples": len(examples),
        "records": len(data.record_ids),
        "pairs": len(data.pair_ids),
        "held_out": len(held_out),
        "cut": made_of.cut,
        "steps": count_steps(len(examples), settings),
        "task": data.task.name,
        "model": made_of.model.name,
        "task_base": made_of.base.name if made_of.base else None,
        "settings": dataclasses.asdict(settings),
    }
    context.report("started", started)

    def listen(progress: Progress) -> None:
        context.report("progress", dataclasses.asdict(progress))

    def should_end() -> bool:
        return should_keep(context.workspace, context.job.id)

    return fine_tune(
        prepared, examples, held_out, settings, folder, listen, context.should_stop, resume=True, should_end=should_end
    )


def _manifest(made_of: _Training, outcome: Outcome, scores: Mapping[str, Any]) -> Manifest:
    return Manifest(
        base=made_of.model.name,
        base_hash=model_hash(made_of.model),
        quantisation=outcome.quantisation,
        precision=outcome.precision,
        template_hash=made_of.template_hash,
        task=made_of.data.task.name,
        training_set=made_of.stored.id,
        training_set_hash=made_of.data.hash,
        examples=len(made_of.data.texts),
        held_out=len(made_of.data.held_out),
        settings=dataclasses.asdict(made_of.settings),
        seed=made_of.settings.seed,
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        final_loss=outcome.final_loss,
        held_out_loss=outcome.held_out_loss,
        base_held_out_loss=outcome.base_held_out_loss,
        best_epoch=outcome.best_epoch,
        best_step=outcome.best_step,
        steps=outcome.steps,
        planned_steps=outcome.planned_steps,
        losses=outcome.losses,
        held_out_losses=outcome.held_out_losses,
        tokens_per_second=outcome.tokens_per_second,
        peak_memory_mb=outcome.peak_memory_mb,
        seconds=outcome.seconds,
        device=outcome.device,
        scores=scores,
        task_base=made_of.base.story() if made_of.base else None,
    )


def _helps(outcome: Outcome, scores: Mapping[str, Any]) -> bool:
    """Whether the adapter is better than the base on the held-out records; without any, nothing speaks against it."""
    if scores and scores["verdict"] != TOO_FEW:
        return bool(scores["verdict"] == "better")
    if outcome.held_out_loss is None or outcome.base_held_out_loss is None:
        return True
    return outcome.held_out_loss < outcome.base_held_out_loss


def _enter(
    context: JobContext, made_of: _Training, outcome: Outcome, scores: Mapping[str, Any], folder: Path
) -> Adapter:
    """Finish the folder, check it as one that is about to be used is checked, make it an adapter, and switch it on
    where it helps."""
    finish(folder, _manifest(made_of, outcome, scores))
    manifest = check_adapter(folder, made_of.model, made_of.template_hash, made_of.base.hash if made_of.base else None)
    name = f"{made_of.data.task.title} {context.job.id}"
    told = {**dataclasses.asdict(manifest), "losses": [], "held_out_losses": list(manifest.held_out_losses)}
    with context.workspace.store() as store, store.change():
        # One that was killed before it could say that it is done has entered its adapter already.
        adapter = training.adapter_of_job(store, context.job.id) or training.add_adapter(
            store, name, folder.name, made_of.model.name, made_of.stored.id, context.job.id, told
        )
    if _helps(outcome, scores):
        # Another model may have been chosen meanwhile: then this one stays off, and that one's adapter on.
        with contextlib.suppress(AdapterRefused, ModelMissing, ModelDamaged):
            switching.switch(context.workspace, adapter.id)
    remove_checkpoint(folder)
    with context.workspace.store() as store:
        return training.get_adapter(store, adapter.id)


def _result(
    adapter: Adapter, made_of: _Training, outcome: Outcome, scores: Mapping[str, Any], unjudged: str | None
) -> dict[str, Any]:
    return {
        "adapter": adapter.id,
        "name": adapter.name,
        "task": made_of.data.task.name,
        "task_base": made_of.base.name if made_of.base else None,
        "examples": len(made_of.data.texts),
        "held_out": len(made_of.data.held_out),
        "cut": made_of.cut,
        "max_tokens": made_of.settings.max_tokens,
        "steps": outcome.steps,
        "planned_steps": outcome.planned_steps,
        "best_step": outcome.best_step,
        "ended_early": outcome.ended and outcome.steps < outcome.planned_steps,
        "final_loss": outcome.final_loss,
        "held_out_loss": outcome.held_out_loss,
        "base_held_out_loss": outcome.base_held_out_loss,
        "scores": scores,
        "unjudged": unjudged,
        "helps": _helps(outcome, scores),
        "activated": adapter.active,
        "tokens_per_second": round(outcome.tokens_per_second, 1),
        "peak_memory_mb": round(outcome.peak_memory_mb, 1),
        "seconds": round(outcome.seconds, 2),
    }


def _merge_ahead(context: JobContext, model: LocalModel, base: TaskBase | None, folder: Path) -> None:
    """So that the first answer need not wait for it."""
    if model.kind == "gguf":
        cache = context.workspace.prepared
        under = [served(base, model, cache) / GGUF_ADAPTER] if base else []
        merged_file(model.path, [*under, folder / GGUF_ADAPTER], cache)


def _judged(context: JobContext, judge: Judge, learned: Learned) -> tuple[Mapping[str, Any], str | None]:
    """What the adapter is worth, and a sentence where that could not be found out: it is kept all the same."""
    try:
        return judge(context, learned), None
    except Exception as error:
        why = explained(context.workspace, context.job.id, error)
        return {}, f"The adapter is kept, but it could not be judged, so the held-out loss decides. {why}"


def run(context: JobContext, judge: Judge) -> Mapping[str, Any]:
    """Do the job; a resumed one goes on from its checkpoint. Raises AppErrors and Stopped."""
    chosen = TrainSettings(**context.job.settings)
    model = device_model(context.workspace, chosen.model)
    stored, data = _training_set(context, chosen)
    tokeniser = open_tokeniser(model)
    template = template_hash(tokeniser)
    base = _task_base(context, chosen, data.task, model, template)
    settings = chosen.resolved()
    _say_what_is_less(context, settings)
    prepared = prepare_on(model, base, context.workspace.prepared, _preparing(context))
    cut = _count_cut(tokeniser, data, settings.max_tokens)
    made_of = _Training(model, template, stored, data, settings, base, cut)
    folder = context.workspace.adapters / f"job-{context.job.id}"
    outcome = _train(context, tokeniser, prepared, made_of, folder)
    if outcome.stopped:
        raise Stopped
    context.report("saving", {})
    write_gguf_adapter(folder, layout_of(prepared), folder / GGUF_ADAPTER)
    _merge_ahead(context, model, base, folder)
    scores, unjudged = _judged(context, judge, Learned(model, base, data, folder))
    adapter = _enter(context, made_of, outcome, scores, folder)
    result = _result(adapter, made_of, outcome, scores, unjudged)
    context.report("finished", result)
    return result
