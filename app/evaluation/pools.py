"""Synthetic pairs of a target, through the app's own way to the service: a store, shared records, an approved payload.

Each pool is a data folder of its own with the target's history in it, so that a stopped run resumes its job where it
was. A pool made for k pairs and a share of the records also serves smaller ones, of this run and of later ones: pair
number j of a record does not depend on k but for redraws, and at random the smaller share is a part of the larger.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from app.device.catalogue import LocalModel
from app.device.weights import model_hash
from app.errors import CloudError
from app.evaluation.people import hash_of
from app.lamp import LampPair, history_task
from app.pipeline import jobs
from app.pipeline.judging import Thresholds, judge
from app.pipeline.local_service import CloudAddress
from app.pipeline.payload import LOCAL_DESTINATION, build_payload
from app.pipeline.sharing import propose, share_ids, share_none
from app.pipeline.workspace import Workspace, open_workspace
from app.tasks import Task
from cloud_stub.schemas import MAX_RECORDS, MAX_TEXT, PromptForm
from personal_store import pairs as stored_pairs
from personal_store import preferences, records
from personal_store.nouns import Boxes, Job, NewRecord, Pair, Scores

MOST_PAIRS = 20
"""Pairs that can be asked for each record."""


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """A pair that the service wrote."""

    pair: LampPair
    kept: bool
    """By the filters."""
    record: int
    """Place in the history of the record that it was written from."""
    number: int
    """j, 1 to k."""
    scores: Scores


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What decides a pool."""

    user: str
    task: Task
    history: tuple[LampPair, ...]
    share: float
    k: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Largest:
    """The most that the units of a run will ask for, so that a pool is made once."""

    share: float
    k: int


def shared_places(count: int, share: float, seed: int) -> tuple[int, ...]:
    """Places in a history of the records that are shared: the app's own random strategy."""
    return propose(Boxes(tuple(range(count))), share, "random", seed, lambda ids: [""] * len(ids))


def _sent(pair: LampPair) -> tuple[str, str]:
    """A record as it travels; a text alone stands on both sides, because the service refuses an empty one."""
    return (pair.input or pair.output)[:MAX_TEXT], pair.output[:MAX_TEXT]


def _received(pair: Pair, original: LampPair) -> LampPair:
    """A synthetic pair as it is learned; of a text alone, the rewritten text."""
    return LampPair(pair.input, pair.output) if original.input else LampPair("", pair.input)


class Pools:
    """Pools below a folder, made when they are asked for."""

    def __init__(
        self,
        folder: Path,
        model: LocalModel,
        address: Callable[[], CloudAddress],
        largest: Largest,
        prompt: PromptForm = "paper",
        thresholds: Thresholds | None = None,
    ) -> None:
        """`address` starts the service of that model, or names it; it is asked for when a pool is to be made."""
        self._folder = folder
        self._model = model
        self._address = address
        self._largest = largest
        self._prompt = prompt
        self._thresholds = thresholds or Thresholds()

    def pairs(self, wanted: Wanted) -> tuple[Synthetic, ...]:
        """Every pair that the service wrote for this share and k, judged; none where nothing is shared.

        Raises CloudError where the service fails; what it made until then is kept.
        """
        shared = set(shared_places(len(wanted.history), wanted.share, wanted.seed))
        if not shared:
            return ()
        pool = self._pool(wanted)
        return tuple(item for item in pool if item.record in shared and item.number <= wanted.k)

    def _hash(self, made_for: Wanted) -> str:
        return hash_of([made_for, model_hash(self._model), self._prompt])

    def _folder_of(self, made_for: Wanted) -> Path:
        return self._folder / self._hash(made_for)[:20]

    def _is_finished(self, made_for: Wanted) -> bool:
        folder = self._folder_of(made_for)
        if not folder.is_dir():
            return False
        there = jobs.listing(open_workspace(folder), "augment")
        return len(there) == len(_parts(made_for)) and all(job.state == "done" for job in there)

    def _made_for(self, wanted: Wanted) -> Wanted:
        """What the pool is made for that serves this one: the smallest that is finished, else the run's largest."""
        task = history_task(wanted.task)
        # A label's pairs may have any label that was shared with them, so a share of labels has a pool of its own.
        shares = {wanted.share, self._largest.share, 1.0} if task.answer == "text" else {wanted.share}
        larger = sorted(share for share in shares if share >= wanted.share)
        sizes = [
            dataclasses.replace(wanted, task=task, share=share, k=k)
            for k in range(wanted.k, MOST_PAIRS + 1)
            for share in larger
        ]
        share = max(wanted.share, self._largest.share) if task.answer == "text" else wanted.share
        largest = dataclasses.replace(wanted, task=task, share=share, k=max(wanted.k, self._largest.k))
        return next(filter(self._is_finished, sizes), largest)

    def _pool(self, wanted: Wanted) -> tuple[Synthetic, ...]:
        made_for = self._made_for(wanted)
        workspace = open_workspace(self._folder_of(made_for))
        # References, and with them the seeds of the samples, hang on the store's secret: the same run, the same pairs,
        # however many of them.
        ids = _fill(workspace, made_for, self._hash(dataclasses.replace(made_for, share=1.0, k=MOST_PAIRS)))
        done = _finished_jobs(workspace, made_for, ids, self._prompt, self._address)
        places = {id: place for place, id in ids.items()}
        with workspace.store() as store:
            found = [pair for job in done for pair in stored_pairs.find_pairs(store, job_id=job.id)]
        return tuple(self._judged(pair, places[pair.record_id], wanted.history) for pair in found)

    def _judged(self, pair: Pair, place: int, history: Sequence[LampPair]) -> Synthetic:
        kept = judge(pair.scores, self._thresholds).kept
        return Synthetic(_received(pair, history[place]), kept, place, pair.number, pair.scores)


def _parts(wanted: Wanted) -> list[list[int]]:
    """Places of the shared records, repeats left out, by request: as many of the history as the service takes in one.

    A record's part does not depend on the share: its reference, and so its pairs, hang on the number of the request.
    """
    first: dict[tuple[str, str], int] = {}
    for place, pair in enumerate(wanted.history):
        first.setdefault(_sent(pair), place)
    shared = {
        first[_sent(wanted.history[place])] for place in shared_places(len(wanted.history), wanted.share, wanted.seed)
    }
    return [list(part) for _, part in itertools.groupby(sorted(shared), lambda place: place // MAX_RECORDS)]


def _fill(workspace: Workspace, wanted: Wanted, key: str) -> dict[int, int]:
    """Puts the history into the store, which keeps the secret that it has; record ids by place, repeats left out."""
    secret = hashlib.sha256(key.encode()).hexdigest()
    new = [NewRecord(wanted.task.name, *_sent(pair), None, wanted.user) for pair in wanted.history]
    with workspace.store() as store:
        # A pool of an earlier version has another one, which its job, where it is to be resumed, was approved with.
        preferences.put(store, preferences.SECRET, preferences.get(store, preferences.SECRET, secret))
        records.add_records(store, new)
        by_text = {(record.input, record.output): record.id for record in records.all_records(store)}
    return {place: by_text[_sent(pair)] for place, pair in enumerate(wanted.history)}


def _earlier(workspace: Workspace) -> list[Job]:
    """The jobs of an earlier run, the oldest first, once they have ended: one just killed takes a moment to notice."""
    there = jobs.listing(workspace, "augment")[::-1]
    for job in there:
        for _ in jobs.follow(workspace, job.id):
            pass
    return [jobs.get(workspace, job.id) for job in there]


def _finished_jobs(
    workspace: Workspace,
    wanted: Wanted,
    ids: dict[int, int],
    prompt: PromptForm,
    address: Callable[[], CloudAddress],
) -> list[Job]:
    """The pool's augment jobs, one a request, each begun, resumed or done already."""
    parts = [[ids[place] for place in part] for part in _parts(wanted)]
    both = itertools.zip_longest(parts, _earlier(workspace))
    return [_finished_job(workspace, wanted, part, there, prompt, address) for part, there in both]


def _finished_job(
    workspace: Workspace,
    wanted: Wanted,
    part: Sequence[int],
    there: Job | None,
    prompt: PromptForm,
    address: Callable[[], CloudAddress],
) -> Job:
    if there is not None and there.state == "done":
        return there
    service = address()
    share_none(workspace)
    # A benchmark's records are public; what looks personal in them travels as it is, as in the source.
    share_ids(workspace, part, consent="confirmed")
    if there is not None:
        job = jobs.resume_job(workspace, there.id, service)
    else:
        payload = build_payload(
            workspace, LOCAL_DESTINATION, k=wanted.k, seed=wanted.seed, prompt=prompt, task=wanted.task.name
        )
        job = jobs.start_augment(workspace, payload, payload.approval, service)
    for _ in jobs.follow(workspace, job.id):
        pass
    job = jobs.get(workspace, job.id)
    if job.state != "done":
        raise CloudError(job.error or f"The pairs of user {wanted.user} were not finished; run the same command again.")
    return job
