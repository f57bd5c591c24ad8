"""Units spread over the machines of a Ray cluster; the very workbench that works them off on one.

A person's units stay with one worker, which keeps what they share: the pairs, and answers of equal training sets. The
results come back and are written here. Data, models and the cache folder must be at the same path on every machine; a
cache that they share saves each of them making M_base for itself. Needs the extra `scale`.
"""

import collections
import importlib.util
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.errors import AppError, BadInput, WorkerLost
from app.evaluation.desks import write_json
from app.evaluation.plans import Plan, Unit
from app.evaluation.pools import Largest
from app.evaluation.runs import Workbench
from app.pipeline import network
from app.pipeline.local_service import CloudAddress
from app.pipeline.workspace import Workspace

RETRIES = 2
"""How often a worker is started anew that was lost, with the unit that it was at."""


class Worker:
    """A workbench in a process of its own."""

    def __init__(self, plan: Plan, out: Path, largest: Largest, address: CloudAddress | None) -> None:
        self._given = (plan, out, largest, address)
        self._bench: Workbench | None = None

    def prepare(self) -> None:
        """Set the workbench up, M_base made; raises AppErrors."""
        if self._bench is None:
            self._bench = Workbench(*self._given)

    def work(self, unit: Unit) -> dict[str, Any]:
        """The unit's result; raises AppErrors."""
        self.prepare()
        assert self._bench is not None
        return self._bench.work(unit)

    def close(self) -> None:
        """Free the models and end the service."""
        if self._bench is not None:
            self._bench.__exit__()


class RayEngine:
    """Units on so many workers of the cluster that RAY_ADDRESS names, else of one on this machine."""

    def __init__(self, workers: int, address: CloudAddress | None = None) -> None:
        self._workers = workers
        self._address = address

    @staticmethod
    def check(workspace: Workspace) -> None:
        """Raise Offline where the offline switch is on and RAY_ADDRESS names another computer's cluster."""
        host = os.environ.get("RAY_ADDRESS", "auto").removeprefix("ray://")
        if host not in ("auto", "local"):
            network.require_allowed(workspace, f"http://{host}")

    def work_off(self, plan: Plan, out: Path, units: Sequence[Unit], largest: Largest) -> Iterator[Unit]:
        """See runs.Engine."""
        cluster = _cluster()
        with cluster():
            workers = _hired(self._workers, plan, out.absolute(), largest, self._address)
            # The others find M_base in the cache.
            _told(workers[0].prepare.remote())
            try:
                for number, unit, result in _spread(workers, units):
                    write_json(out / unit.file, result | {"worker": number})
                    yield unit
            finally:
                _dismiss(workers)


def _cluster() -> Any:
    # Ray reads its settings when it is first imported, and those of a cluster of our own come before.
    if importlib.util.find_spec("ray") is None:
        raise BadInput(
            "Spreading units over machines takes Ray, which is not installed; install the extra scale, or leave"
            " --engine out."
        )
    from cloud_stub.ray_cluster import cluster

    return cluster


def _share(processors: int, graphics: float, count: int) -> dict[str, float]:
    """What one of so many workers is given."""
    # Ray divides one graphics processor, but no two: each has as many workers as the one that has most.
    each = graphics // count if graphics >= count else 1 / math.ceil(count / graphics) if graphics else 0
    return {"num_cpus": processors // count, "num_gpus": each}


def _hired(count: int, *given: Any) -> list[Any]:
    """Workers that divide the cluster's processors and graphics processors; raises BadInput."""
    import ray

    there = ray.cluster_resources()
    processors = int(there.get("CPU", 0))
    if count > processors:
        raise BadInput(
            f"Each worker takes a processor and {count} workers were asked for where Ray has {processors}; lower"
            " --workers, or name a larger cluster in RAY_ADDRESS."
        )
    share = _share(processors, there.get("GPU", 0), count)
    hired = ray.remote(Worker).options(max_restarts=RETRIES, max_task_retries=RETRIES, **share)
    return [hired.remote(*given) for _ in range(count)]


def _told(reference: Any) -> Any:
    """What a worker answers; raises its AppErrors as they are, and WorkerLost."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, AppError) else error from None
    except ray.exceptions.RayActorError:
        raise WorkerLost(
            f"A worker was lost {RETRIES + 1} times, perhaps for want of memory; run the same command again with fewer"
            " --workers: what is finished is kept."
        ) from None


def _spread(workers: Sequence[Any], units: Sequence[Unit]) -> Iterator[tuple[int, Unit, dict[str, Any]]]:
    """Number of the worker, unit and result of each, as they are done."""
    import ray

    people = collections.deque(
        collections.deque(own) for _, own in itertools.groupby(units, key=lambda unit: unit.user)
    )
    own: list[collections.deque[Unit]] = [collections.deque() for _ in workers]
    running: dict[Any, tuple[int, Unit]] = {}

    def go_on(number: int) -> None:
        if not own[number] and people:
            own[number] = people.popleft()
        if own[number]:
            unit = own[number].popleft()
            running[workers[number].work.remote(unit)] = number, unit

    for number in range(len(workers)):
        go_on(number)
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        number, unit = running.pop(done)
        yield number, unit, _told(done)
        go_on(number)


def _dismiss(workers: Sequence[Any]) -> None:
    import ray

    for worker in workers:
        try:
            ray.get(worker.close.remote(), timeout=30)
        except (ray.exceptions.RayError, TimeoutError):
            # It goes with the cluster.
            continue
