"""Small histories and workspaces for these tests."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.device.adapters import Manifest, finish
from app.device.bases import TaskBase
from app.device.catalogue import find_model
from app.device.rendering import template_hash
from app.device.tokenising import open_tokeniser
from app.device.weights import model_hash
from app.pipeline.models import device_model
from app.pipeline.workspace import Workspace, open_workspace
from personal_store import jobs, pairs, records, training
from personal_store.nouns import Adapter, NewPair, NewRecord, Scores
from tests.device.random_adapter import random_adapter
from tests.tiny import Architecture

GOOD = Scores(entails=0.9, entailed=0.9, rouge_l=0.3, length_ratio=1.0)
BAD = Scores(entails=0.1, entailed=0.9, rouge_l=0.95, length_ratio=3.0)


def new_record(number: int, task: str = "title", text: str | None = None) -> NewRecord:
    """A record that is written a minute after the one before."""
    when = f"2024-05-01T{number // 60:02}:{number % 60:02}:00+00:00"
    return NewRecord(task, text or f"Input number {number} of this history.", f"Title {number}", when, "test")


def workspace_with(folder: Path, count: int, task: str = "title") -> tuple[Workspace, tuple[int, ...]]:
    """A workspace with so many records, and their ids."""
    workspace = open_workspace(folder)
    with workspace.store() as store:
        added = records.add_records(store, [new_record(number, task) for number in range(count)]).added
    return workspace, added


def add_pairs(workspace: Workspace, record_ids: Sequence[int], scores: Scores = GOOD) -> tuple[int, ...]:
    """One pair for each record, as an augment job would store them; their ids."""
    with workspace.store() as store:
        job = jobs.create_job(store, "augment", {})
        jobs.set_state(store, job.id, "done")
        return tuple(
            pairs.add_pair(store, NewPair(id, job.id, 1, f"Like {id}.", f"Synthetic {id}", "test", 0, scores))
            for id in record_ids
        )


def personal_adapter(
    workspace: Workspace,
    model_path: Path,
    name: str = "Mine 1",
    seed: int = 0,
    base: TaskBase | None = None,
    **changes: Any,
) -> Adapter:
    """An adapter of random numbers for a tiny model, entered and finished as a training finishes one.

    `changes` are fields of its manifest.
    """
    model = find_model(str(model_path), model_path.parent)
    architecture: Architecture = "qwen2" if "qwen2" in model_path.name else "llama"
    made = random_adapter(workspace.data_dir, architecture, seed)
    folder = made.rename(workspace.adapters / f"{made.name}-{model_path.stem}")
    manifest = Manifest(
        base=model.name, base_hash=model_hash(model), quantisation="nf4", task="title", training_set=1,
        template_hash=template_hash(open_tokeniser(model)), training_set_hash=f"{seed}" * 64, examples=3, held_out=1,
        settings={"rank": 4}, seed=seed, created_at="2026-01-02T03:04:05+00:00", final_loss=1.0, held_out_loss=1.0,
        base_held_out_loss=2.0, best_epoch=1, losses=(1.0,), held_out_losses=(1.0,), tokens_per_second=1.0,
        peak_memory_mb=1.0, seconds=1.0, device="cpu", task_base=base.story() if base else None,
    )  # fmt: skip
    told = dataclasses.asdict(finish(folder, dataclasses.replace(manifest, **changes)))
    with workspace.store() as store:
        learned = training.save_training_set(store, [], [], [], seed, manifest.training_set_hash)
        job = jobs.create_job(store, "train", {})
        jobs.set_state(store, job.id, "done")
        return training.add_adapter(store, name, folder.name, model.name, learned.id, job.id, told)


def usable_adapter(workspace: Workspace, seed: int = 0, **changes: Any) -> Adapter:
    """The same for the tiny model that the workspace uses, switched on."""
    made = personal_adapter(workspace, device_model(workspace).path, f"Title {seed}", seed, **changes)
    with workspace.store() as store:
        training.activate(store, made.id)
        return training.get_adapter(store, made.id)
