"""Work of several clients on a bounded number of threads, each client's in turn. Knows no model and no network."""

import collections
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from cloud_stub.nli import NliScorer

_Job = TypeVar("_Job")


class Batch(Generic[_Job]):
    """The jobs of one client."""

    def __init__(self, jobs: Iterable[_Job], do: Callable[[_Job], None], cost: int) -> None:
        """`do` does a job and must not raise; each job takes `cost` of a pool's room."""
        self.waiting = collections.deque(jobs)
        self.do = do
        self.cost = cost
        self.running = 0
        self.ended: Future[None] = Future()
        """Done once no job is running and none will be."""

    def end_if_idle(self) -> None:
        """Say that it has ended, where it has."""
        if not self.waiting and not self.running and not self.ended.done():
            self.ended.set_result(None)


class Pool:
    """Does batches of jobs, a job of each batch in turn, as many at the same time as there is room for.

    With room for 1, one job is done at a time. A job is begun while any room is left, even if it takes more.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._batches: collections.deque[Batch[Any]] = collections.deque()
        """Those with a job that is waiting."""
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(room, "record")

    def add(self, batch: Batch[Any]) -> None:
        """Have its jobs done."""
        with self._lock:
            if batch.waiting:
                self._batches.append(batch)
            batch.end_if_idle()
            self._begin()

    def drop(self, batch: Batch[Any]) -> None:
        """Do no more of a batch; it ends when what is running of it does."""
        with self._lock:
            batch.waiting.clear()
            if batch in self._batches:
                self._batches.remove(batch)
            batch.end_if_idle()

    def take(self, batch: Batch[_Job]) -> _Job | None:
        """Another job of a batch, for one that is running to do with its own; None where there is none, or another
        batch is waiting for its turn."""
        with self._lock:
            if list(self._batches) != [batch]:
                return None
            job = batch.waiting.popleft()
            if not batch.waiting:
                self._batches.clear()
            return job

    def _begin(self) -> None:
        """Begin what there is room for; the lock is held."""
        while self._used < self._room and self._batches:
            batch = self._batches.popleft()
            job = batch.waiting.popleft()
            if batch.waiting:
                self._batches.append(batch)
            self._used += batch.cost
            batch.running += 1
            self._threads.submit(self._do, batch, job)

    def _do(self, batch: Batch[_Job], job: _Job) -> None:
        try:
            batch.do(job)
        finally:
            with self._lock:
                self._used -= batch.cost
                batch.running -= 1
                batch.end_if_idle()
                self._begin()


class SharedScorer:
    """See NliScorer: one for many threads; what comes in while it scores is scored in one pass afterwards."""

    def __init__(self, scorer: NliScorer) -> None:
        self._scorer = scorer
        self._waiting: list[tuple[list[tuple[str, str]], Future[list[float]]]] = []
        self._entry = threading.Lock()
        self._scoring = threading.Lock()

    def entailment(self, pairs: Iterable[tuple[str, str]]) -> list[float]:
        """See NliScorer."""
        asked, answer = list(pairs), Future[list[float]]()
        if not asked:
            return []
        with self._entry:
            self._waiting.append((asked, answer))
        with self._scoring:
            # Whoever was here before may have scored these too.
            if not answer.done():
                self._score_waiting()
        return answer.result()

    def _score_waiting(self) -> None:
        with self._entry:
            waiting, self._waiting = self._waiting, []
        try:
            found = iter(self._scorer.entailment([pair for asked, _ in waiting for pair in asked]))
            for asked, answer in waiting:
                answer.set_result([next(found) for _ in asked])
        except BaseException as error:
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
