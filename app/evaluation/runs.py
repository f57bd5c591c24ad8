"""A run: every (target, method, setting) is a unit whose result is a JSON file, written when it is done.

    OUT/run.json                      what all units share: data, task, models, settings
    OUT/units/USER/METHOD[-sS][-kK][-seedN].json   one result each
    OUT/pools, bases, others, desk    pairs, M_base, answers: made once, kept under a hash of what they depend on

A stopped run goes on with the units that have no file. Knows no screen.
"""

import contextlib
import dataclasses
import json
import os
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from app.device.bases import TaskBase, load_base
from app.device.catalogue import LocalModel, find_model
from app.device.finetuning import ENVIRONMENT, FineTuning
from app.device.weights import model_hash
from app.errors import BadInput
from app.evaluation.desks import Desk, write_json
from app.evaluation.mbase import BaseRecipe, make_mbase
from app.evaluation.methods import METHODS, Case, Kit, Method, choose_methods
from app.evaluation.people import People, Target, hash_of, read_people
from app.evaluation.pools import Largest, Pools
from app.pipeline.judging import Thresholds
from app.pipeline.local_service import CloudAddress, start_local_service
from app.pipeline.workspace import open_workspace
from cloud_stub.schemas import PromptForm

RUN = "run.json"
UNITS = "units"
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all units of a folder share; a folder holds the results of one plan."""

    data: str
    """Folder with LaMP's files."""
    task: str
    device_model: str
    """Name or path."""
    cloud_model: str
    users: int = 100
    """Targets: those with the longest histories."""
    only: tuple[str, ...] = ()
    """Targets by name, in place of a number."""
    base: str = "make"
    """M_base: "make" it from the other people, "none", or the folder of one."""
    base_recipe: BaseRecipe = dataclasses.field(default_factory=BaseRecipe)
    prompt: PromptForm = "paper"
    thresholds: Thresholds = dataclasses.field(default_factory=Thresholds)
    fine_tuning: FineTuning = dataclasses.field(default_factory=FineTuning)
    models_dir: str = "~/.cdcda/models"


@dataclasses.dataclass(frozen=True)
class Grid:
    """Which units are wanted."""

    methods: str = "all"
    """Names separated by commas, or "all"."""
    shares: tuple[float, ...] = (1.0,)
    ks: tuple[int, ...] = (5,)
    seeds: tuple[int, ...] = (0,)


@dataclasses.dataclass(frozen=True, order=True)
class Unit:
    """One target under one method and setting; None where the method does not depend on it."""

    user: str
    method: str
    share: float | None
    k: int | None
    seed: int | None

    @property
    def file(self) -> Path:
        """Where its result is, below the run's folder."""
        parts = [self.method]
        parts += [] if self.share is None else [f"s{self.share:g}"]
        parts += [] if self.k is None else [f"k{self.k}"]
        parts += [] if self.seed is None else [f"seed{self.seed}"]
        return Path(UNITS) / urllib.parse.quote(self.user, safe="") / f"{'-'.join(parts)}.json"


class Engine(Protocol):
    """Where units are worked off."""

    def work_off(self, plan: Plan, out: Path, units: Sequence[Unit], largest: Largest) -> Iterator[Unit]:
        """Does every unit and yields it once its file is there."""


def _check_grid(grid: Grid) -> None:
    if any(not 0 <= share <= 1 for share in grid.shares) or not grid.shares:
        raise BadInput("A share ratio lies between 0 and 1; name some like --share 0.5,1.0.")
    if any(not 1 <= k <= 20 for k in grid.ks) or not grid.ks:
        raise BadInput("The pairs for each record are 1 to 20; name some like --k 1,3,5.")
    if not grid.seeds:
        raise BadInput("No seed is named; name one like --seed 0.")


def units_of(people: People, grid: Grid) -> tuple[Unit, ...]:
    """Every unit that is wanted, target by target, each once; raises BadInput."""
    _check_grid(grid)
    methods = choose_methods(grid.methods, people.task, all(target.neutral for target in people.targets))
    units = [
        Unit(
            target.user,
            method.name,
            share if method.by_share else None,
            k if method.by_k else None,
            seed if method.by_seed else None,
        )
        for target in people.targets
        for method in methods
        for share in grid.shares
        for k in grid.ks
        for seed in grid.seeds
    ]
    return tuple(dict.fromkeys(units))


def largest_of(grid: Grid) -> Largest:
    """The most that the grid's units ask of a pool."""
    return Largest(max(grid.shares), max(grid.ks))


def _models(plan: Plan) -> tuple[LocalModel, LocalModel]:
    folder = Path(plan.models_dir).expanduser()
    return find_model(plan.device_model, folder), find_model(plan.cloud_model, folder)


def _identity(plan: Plan) -> dict[str, Any]:
    device, cloud = _models(plan)
    told = json.loads(json.dumps(dataclasses.asdict(plan)))
    hashes = {"device": model_hash(device), "cloud": model_hash(cloud)}
    return {"format": _FORMAT, "plan": told, "model_hashes": hashes}


def _same_plan(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    # More targets may be added to a run: each unit stands by itself, and M_base has a hash of its own.
    free = {"users", "only", "data", "device_model", "cloud_model", "models_dir"}

    def fixed(told: Mapping[str, Any]) -> Any:
        return [told["model_hashes"], {key: value for key, value in told["plan"].items() if key not in free}]

    return bool(fixed(there) == fixed(wanted))


def open_run(plan: Plan, people: People, out: Path) -> None:
    """Writes run.json, or checks that the folder's is of the same task, models and settings; raises BadInput."""
    path = out / RUN
    told = {"labels": people.labels, "others": len(people.others), "left_out": people.left_out}
    wanted = _identity(plan) | {"people": told}
    if path.is_file() and not _same_plan(json.loads(path.read_text("utf-8")), wanted):
        raise BadInput(
            f"The folder {out} holds results of another task, other models or settings; name another folder with --out."
        )
    write_json(path, wanted)


def load_plan(out: Path) -> tuple[Plan, Mapping[str, Any]]:
    """The plan of a run's folder, and what it tells of the people; raises BadInput where there is none."""
    try:
        content = json.loads((out / RUN).read_text("utf-8"))
        told = content["plan"]
    except (OSError, ValueError, KeyError):
        raise BadInput(
            f"{out} should hold the {RUN} of a run but does not; name the --out of `cdcda lamp run`."
        ) from None
    parts = {
        "base_recipe": BaseRecipe(**told["base_recipe"]),
        "thresholds": Thresholds(**told["thresholds"]),
        "fine_tuning": FineTuning(**told["fine_tuning"]),
        "only": tuple(told["only"]),
    }
    return Plan(**{**told, **parts}), content["people"]


def people_of(plan: Plan) -> People:
    """The people of a plan."""
    return read_people(Path(plan.data).expanduser(), plan.task, plan.users, plan.only)


def _base(plan: Plan, people: People, model: LocalModel, out: Path) -> TaskBase | None:
    if plan.base == "none":
        return None
    if plan.base == "make":
        return make_mbase(people, model, out, plan.base_recipe)
    return load_base(Path(plan.base).expanduser())


class Workbench:
    """Everything that units need, loaded when the first one needs it; a context manager that frees it."""

    def __init__(self, plan: Plan, out: Path, largest: Largest, address: CloudAddress | None = None) -> None:
        """`address` names a service of the cloud model that runs already; without one it is started when needed."""
        # Read by OpenMP when torch or llama.cpp is first loaded, which is later.
        os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
        self._plan = plan
        self._out = out
        self.people = people_of(plan)
        self._targets = {target.user: target for target in self.people.targets}
        self._closing = contextlib.ExitStack()
        self._address = address
        self.kit = self._kit(largest)

    def _kit(self, largest: Largest) -> Kit:
        device, cloud = _models(self._plan)
        desk = self._out / "desk"
        pools = Pools(self._out / "pools", cloud, self._service, largest, self._plan.prompt, self._plan.thresholds)
        base = _base(self._plan, self.people, device, self._out)
        kit = Kit(Desk(device, desk, base), Desk(cloud, desk), pools, self._plan.fine_tuning)
        self._closing.callback(kit.device.close)
        self._closing.callback(kit.cloud.close)
        return kit

    def _service(self) -> CloudAddress:
        if self._address is None:
            _, cloud = _models(self._plan)
            workspace = open_workspace(self._out / "service")
            self._address = self._closing.enter_context(start_local_service(workspace, cloud.path)).address
        return self._address

    def do(self, unit: Unit) -> None:
        """Works a unit off and writes its result, unless it is there."""
        path = self._out / unit.file
        if path.is_file():
            return
        target = self._targets[unit.user]
        method = next(method for method in METHODS if method.name == unit.method)
        write_json(path, self._result(unit, target, method))

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
            "format": _FORMAT,
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
                bench.do(unit)
                yield unit


def undone(out: Path, units: Sequence[Unit]) -> tuple[Unit, ...]:
    """The units that have no result yet."""
    return tuple(unit for unit in units if not (out / unit.file).is_file())


def run(plan: Plan, grid: Grid, out: Path, engine: Engine, listener: Callable[[int, int, Unit | None], None]) -> int:
    """Works off what is missing and gives the number of units; `listener` hears how many are done, of how many.

    Raises AppErrors; what was finished until then is kept, and the same call goes on.
    """
    people = people_of(plan)
    units = units_of(people, grid)
    open_run(plan, people, out)
    left = undone(out, units)
    done = len(units) - len(left)
    listener(done, len(units), None)
    if left:
        for unit in engine.work_off(plan, out, left, largest_of(grid)):
            done += 1
            listener(done, len(units), unit)
    return len(units)


def results(out: Path) -> tuple[Mapping[str, Any], ...]:
    """Every finished result of a run's folder, in the order of their files."""
    return tuple(json.loads(path.read_text("utf-8")) for path in sorted((out / UNITS).glob("*/*.json")))
