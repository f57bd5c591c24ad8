"""Workspaces as a person leaves them after each step, written straight into the store, so that a page has much to show.

The texts are those of the sample history; no model is asked and nothing is trained.
"""

import dataclasses
from pathlib import Path

from app.device.catalogue import EMBEDDED
from app.device.training import Progress
from app.device.weights import model_hash
from app.pipeline import importing, sharing
from app.pipeline.jobs import TrainSettings
from app.pipeline.models import device_model
from app.pipeline.workspace import Workspace
from app.ui import strings
from personal_store import decisions, generations, jobs, ledger, pairs, records, training
from personal_store.nouns import NewGeneration, NewPair, Record, RecordQuery, Scores
from personal_store.store import Store

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample" / "history.csv"
SHARED = 12
"""Records that a lived-in workspace shares."""
STEPS = 72
SCORES = (
    Scores(0.97, 0.94, 0.52, 1.04),
    Scores(0.91, 0.88, 0.61, 0.97),
    Scores(0.86, 0.41, 0.44, 0.81),
    Scores(0.99, 0.99, 0.93, 1.00),
    Scores(0.22, 0.75, 0.31, 0.42),
)


def with_records(workspace: Workspace) -> None:
    """The sample history, two records with something personal in them, and some records shared."""
    importing.import_file(workspace, SAMPLE, source=strings.SAMPLE_SOURCE)
    sharing.share_ratio(workspace, SHARED / 120, "newest", 0)


def _shared(workspace: Workspace) -> tuple[Record, ...]:
    with workspace.store() as store:
        return records.find_records(store, RecordQuery(shared=True, limit=SHARED)).records


def _said_anew(text: str, number: int) -> str:
    """Another wording, good enough to be looked at."""
    changes = (("the", "that"), ("on", "late on"), ("was", "had been"), ("and", "while"), ("after", "soon after"))
    before, after = changes[number % len(changes)]
    return text.replace(f" {before} ", f" {after} ")


def _pair(store: Store, job_id: int, record: Record, number: int) -> int:
    """A pair that arrives, as the worker stores and reports it; its id."""
    text = _said_anew(record.input, number)
    new = NewPair(record.id, job_id, number + 1, text, record.output, EMBEDDED, 0, SCORES[number])
    pair_id = pairs.add_pair(store, new)
    told = {"pair_id": pair_id, "record_id": record.id, "number": number + 1, "kept": number < 2, "reasons": []}
    jobs.add_event(store, job_id, "pair", told)
    return pair_id


def begin_augmenting(workspace: Workspace, records_done: int = 3, samples_more: int = 2) -> int:
    """An augmentation that has finished some records and part of another, and still runs; its job's id."""
    shared = _shared(workspace)
    with workspace.store() as store:
        job = jobs.create_job(store, "augment", {"destination": "http://127.0.0.1:40001"})
        jobs.set_state(store, job.id, "running")
        jobs.add_event(store, job.id, "started", {"records": len(shared), "done": 0, "k": len(SCORES)})
        for place, record in enumerate(shared[: records_done + 1]):
            for number in range(len(SCORES) if place < records_done else samples_more):
                _pair(store, job.id, record, number)
            if place < records_done:
                told = {"record_id": record.id, "done": place + 1, "records": len(shared)}
                jobs.add_event(store, job.id, "record", told)
        return job.id


def with_pairs(workspace: Workspace) -> None:
    """A finished augmentation: five pairs a record, one of them decided by hand."""
    shared = _shared(workspace)
    with workspace.store() as store:
        job = jobs.create_job(store, "augment", {})
        jobs.set_state(store, job.id, "running")
        ids = [record.id for record in shared]
        jobs.add_event(store, job.id, "started", {"records": len(ids), "done": 0, "k": len(SCORES)})
        made = [_pair(store, job.id, record, number) for record in shared for number in range(len(SCORES))]
        ledger.append_upload(store, "http://127.0.0.1:40001", ids, 5120, "5f" * 32, "sent")
        for place, record_id in enumerate(ids):
            told = {"record_id": record_id, "done": place + 1, "records": len(ids)}
            jobs.add_event(store, job.id, "record", told)
        result = {"records": len(ids), "pairs": len(made), "kept": 2 * len(ids), "failed": 0}
        jobs.set_state(store, job.id, "done", result=result)
        decisions.decide(store, made[2], "accepted")
        decisions.decide(store, made[0], "rejected")


def _progress(step: int) -> Progress:
    held_out = 2.6 - step / 60 if step % 24 == 0 else None
    return Progress(step, STEPS, 1 + step // 24, 3.4 - step / 40 + (step % 5) / 25, held_out, 260.0, STEPS - step, 1450)


def begin_training(workspace: Workspace, steps: int = STEPS) -> int:
    """A training that has reported that many steps and still runs; its job's id."""
    with workspace.store() as store:
        job = jobs.create_job(store, "train", dataclasses.asdict(TrainSettings()))
        jobs.set_state(store, job.id, "running")
        jobs.add_event(store, job.id, "started", {"examples": 130, "records": 108, "pairs": 22, "held_out": 12})
        for step in range(1, steps + 1):
            jobs.add_event(store, job.id, "progress", dataclasses.asdict(_progress(step)))
        return job.id


def _trained(workspace: Workspace, shared: tuple[Record, ...]) -> int:
    job_id = begin_training(workspace)
    result = {"held_out_loss": 1.41, "base_held_out_loss": 2.58, "examples": 130, "held_out": 12, "activated": True}
    with workspace.store() as store:
        learned = [record.id for record in shared]
        made = training.save_training_set(store, learned, [], learned[:2], 0, "ab" * 32)
        manifest = {
            "task": "title",
            "base_hash": model_hash(device_model(workspace)),
            "held_out_loss": 1.41,
            "base_held_out_loss": 2.58,
            "epochs": 3,
            "task_base": None,
        }
        adapter = training.add_adapter(store, f"Title {job_id}", f"job-{job_id}", EMBEDDED, made.id, job_id, manifest)
        training.activate(store, adapter.id)
        jobs.set_state(store, job_id, "done", result={**result, "adapter": adapter.id, "name": adapter.name})
        return adapter.id


def lived_in(workspace: Workspace) -> None:
    """Everything: records, pairs, two adapters, answers with votes."""
    with_records(workspace)
    with_pairs(workspace)
    shared = _shared(workspace)
    adapters = [_trained(workspace, shared) for _ in range(2)]
    with workspace.store() as store:
        for number, record in enumerate(shared[:6]):
            asked = NewGeneration("title", record.input, None, {}, 0, "A plain title", 5, 0.1)
            personal = dataclasses.replace(asked, adapter_id=adapters[-1], text=record.output)
            before, after = generations.add_generation(store, asked), generations.add_generation(store, personal)
            compared = generations.add_comparison(store, before.id, after.id)
            generations.vote(store, compared.id, ("after", "after", "same", "before", "after", "after")[number])
