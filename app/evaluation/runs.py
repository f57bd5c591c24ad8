"""A run: every (target, method, setting) is a unit whose result is a JSON file, written when it is done.

    CACHE/pools, bases, others, desk    pairs, M_base, answers: made once, kept under a hash of what they depend on

A stopped run goes on with the units that have no file, or one that is outdated. Knows no screen.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from app.device.bases import TaskBase, check_base, fits, load_base
from app.device.catalogue import LocalModel
from app.device.rendering import template_hash
from app.device.threads import share_cores
from app.device.tokenising import open_tokeniser
from app.errors import BadInput
from app.evaluation.desks import Desk, write_json
from app.evaluation.mbase import make_mbase, mbase_name
from app.evaluation.methods import METHODS, ON_DEVICE, Case, Kit, Method
from app.evaluation.people import People, Target, check_targets, hash_of
from app.evaluation.plans import (
    FORMAT,
    Grid,
    Plan,
    Unit,
    check_methods,
    check_plan,
    largest_of,
    models_of,
    open_run,
    people_of,
    present_of,
    undone,
    units_of,
)
from app.evaluation.pools import Largest, Pools
from app.pipeline.local_service import CloudAddress, start_local_service
from app.pipeline.workspace import open_workspace


class Engine(Protocol):
    """Where units are worked off."""

    def work_off(self, plan: Plan, out: Path, units: Sequence[Unit], largest: Largest) -> Iterator[Unit]:
        """Does every unit, writes its file and yields it; raises AppErrors."""


def _base(plan: Plan, people: People, model: LocalModel, out: Path) -> TaskBase | None:
    if plan.base == "none":
        return None
    if plan.base == "make":
        return make_mbase(people, model, out, plan.base_recipe)
    return load_base(Path(plan.base).expanduser())


def _named_base(plan: Plan, people: People, model: LocalModel) -> TaskBase:
    base, template = load_base(Path(plan.base).expanduser()), template_hash(open_tokeniser(model))
    if not fits(base, people.task.name, model, template):
        raise BadInput(
            f"The base {base.name} was made for the task {base.manifest.task} on {base.manifest.model}, which is not"
            f" {people.task.name} on this {model.name}; name another one with --base, or give --base make or none."
        )
    check_base(base, model, template)
    return base


def _base_name(plan: Plan, people: People, units: Sequence[Unit]) -> str:
    """The name of what `_base` gives, which is not made for it; "" where it gives nothing.

    Raises AdapterRefused for a base that is no whole one, and BadInput for one that does not fit or where one is needed
    and nobody is left to learn it from.
    """
    if plan.base == "none":
        return ""
    device, _ = models_of(plan)
    if plan.base != "make":
        return _named_base(plan, people, device).name
    name = mbase_name(people, device, plan.base_recipe)
    if name is None and any(unit.method in ON_DEVICE for unit in units):
        raise BadInput(
            "Nobody is left to learn M_base from; lower --users, name some users with --only, or give --base none."
        )
    return name or ""


class Workbench:
    """Everything that units need, loaded when the first one needs it; a context manager that frees it."""

    def __init__(self, plan: Plan, out: Path, largest: Largest, address: CloudAddress | None = None) -> None:
        """`address` names a service of the cloud model that runs already; without one it is started when needed."""
        # Read by OpenMP when torch or llama.cpp is first loaded, which is later.
        share_cores()
        self._plan = plan
        self._cache = Path(plan.cache).expanduser() if plan.cache else out
        self.people = people_of(plan)
        self._targets = {target.user: target for target in self.people.targets}
        self._closing = contextlib.ExitStack()
        self._address = address
        self.kit = self._kit(largest)

    def _kit(self, largest: Largest) -> Kit:
        device, cloud = models_of(self._plan)
        desk = self._cache / "desk"
        pools = Pools(self._cache / "pools", cloud, self._service, largest, self._plan.prompt, self._plan.thresholds)
        base = _base(self._plan, self.people, device, self._cache)
        kit = Kit(Desk(device, desk, base), Desk(cloud, desk), pools, self._plan.fine_tuning)
        self._closing.callback(kit.device.close)
        self._closing.callback(kit.cloud.close)
        return kit

    def _service(self) -> CloudAddress:
        if self._address is None:
            _, cloud = models_of(self._plan)
            workspace = open_workspace(self._cache / "service")
            self._address = self._closing.enter_context(start_local_service(workspace, cloud.path)).address
        return self._address

    def work(self, unit: Unit) -> dict[str, Any]:
        """Works a unit off; its result."""
        target = self._targets[unit.user]
        method = next(method for method in METHODS if method.name == unit.method)
        return self._result(unit, target, method)

    def _result(self, unit: Unit, target: Target, method: Method) -> dict[str, Any]:
        started = time.monotonic()
        case = Case(
            self.people.task,
            target,
            1.0 if unit.share is None else unit.share,
            1 if unit.k is None else unit.k,
            unit.seed or 0,
        )
        found = method.answer(case, self.kit)
        answers = [
            {"id": question.id, "answer": answer, "gold": question.gold}
            for question, answer in zip(target.questions, found.answers, strict=True)
        ]
        return {
            "format": FORMAT,
            "unit": dataclasses.asdict(unit),
            "answers": answers,
            "facts": dict(found.facts),
            "records": len(target.records),
            "device": self.kit.device.name,
            "cloud": self.kit.cloud.name,
            "seconds": round(time.monotonic() - started, 2),
            "target": hash_of(target),
        }

    def __enter__(self) -> "Workbench":
        """The workbench."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the models and end the service."""
        self._closing.close()


class LocalEngine:
    """Units one after the other in this process."""

    def __init__(self, address: CloudAddress | None = None) -> None:
        self._address = address

    def work_off(self, plan: Plan, out: Path, units: Sequence[Unit], largest: Largest) -> Iterator[Unit]:
        """See Engine."""
        with Workbench(plan, out, largest, self._address) as bench:
            for unit in units:
                write_json(out / unit.file, bench.work(unit))
                yield unit


def run(plan: Plan, grid: Grid, out: Path, engine: Engine, listener: Callable[[int, int, Unit | None], None]) -> int:
    """Works off what is missing and gives the number of units; `listener` hears how many are done, of how many.

    Raises AppErrors; what was finished until then is kept, and the same call goes on.
    """
    check_plan(plan)
    people = people_of(plan)
    check_targets(people)
    units = units_of(people, grid)
    present = present_of(people, units, _base_name(plan, people, units))
    left = undone(out, units, present)
    check_methods(plan, people, left)
    open_run(plan, people, out, present.bases)
    done = len(units) - len(left)
    listener(done, len(units), None)
    if left:
        for unit in engine.work_off(plan, out, left, largest_of(grid)):
            done += 1
            listener(done, len(units), unit)
    return len(units)
