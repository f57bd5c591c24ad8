"""What a run is asked for and what its folder holds: the plan, the units, and their results.

    OUT/run.json            what all units share: data, task, models, settings; and a hash and the M_base of each target
    OUT/units/USER/METHOD[-sS][-kK][-seedN].json   one result each

A result holds the hash of its target's history and questions, and the name of its M_base, too. Where one of them is not
that of run.json, the data or the people whom M_base learns from have changed since: the result is outdated, is left out
of what is shown, and is made anew when its unit is wanted. Loads no model.
"""

import dataclasses
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.device.catalogue import LocalModel, find_model
from app.device.distilling import require_same_tokens
from app.device.rendering import render_example
from app.device.tokenising import Tokeniser, open_tokeniser
from app.device.training import FineTuning
from app.device.weights import model_hash
from app.errors import BadInput
from app.evaluation.desks import learning_task, write_json
from app.evaluation.mbase import BaseRecipe
from app.evaluation.methods import LEARNING, ON_DEVICE, choose_methods
from app.evaluation.people import People, Target, hash_of, read_people, read_targets
from app.evaluation.pools import MOST_PAIRS, Largest
from app.evaluation.wordnet import find_wordnet
from app.pipeline.judging import Thresholds
from cloud_stub.schemas import PromptForm

RUN = "run.json"
UNITS = "units"
FORMAT = 1
ANSWERED = frozenset({"id", "answer", "gold"})
"""What a result holds of each question."""
TOLD = frozenset({"facts", "records", "device", "cloud"})
"""What it holds beside its unit and its answers, at least."""


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
    cache: str = ""
    """Folder of pairs, M_base and answers, which runs with other settings may share; empty: the run's own folder."""


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


def check_plan(plan: Plan) -> None:
    """Raises BadInput where a setting is out of its range."""
    limits, settings = plan.thresholds, plan.fine_tuning
    if not (0 <= limits.entailment <= 1 and 0 <= limits.rouge_l <= 1):
        raise BadInput("The limits of entailment and ROUGE-L lie between 0 and 1; correct --entailment or --rouge-l.")
    if not 0 <= limits.shortest <= limits.longest:
        raise BadInput(
            "The least length ratio is 0 or more and no larger than the greatest; correct --shortest or --longest."
        )
    if plan.base_recipe.users < 0:
        raise BadInput(
            f"M_base learns from 0 (all) or more people, got {plan.base_recipe.users}; correct --base-users."
        )
    if not 0 < settings.learning_rate <= 1:
        raise BadInput(
            f"A learning rate lies above 0 and no higher than 1, got {settings.learning_rate:g}; correct"
            " --learning-rate."
        )


def _check_grid(grid: Grid) -> None:
    if any(not 0 <= share <= 1 for share in grid.shares) or not grid.shares:
        raise BadInput("A share ratio lies between 0 and 1; name some like --share 0.5,1.0.")
    if any(not 1 <= k <= MOST_PAIRS for k in grid.ks) or not grid.ks:
        raise BadInput(f"The pairs for each record are 1 to {MOST_PAIRS}; name some like --k 1,3,5.")
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


def models_of(plan: Plan) -> tuple[LocalModel, LocalModel]:
    """The models of device and cloud; raises ModelMissing and ModelDamaged."""
    folder = Path(plan.models_dir).expanduser()
    return find_model(plan.device_model, folder), find_model(plan.cloud_model, folder)


def _data(plan: Plan) -> Path:
    return Path(plan.data).expanduser()


def _identity(plan: Plan) -> dict[str, Any]:
    device, cloud = models_of(plan)
    told = json.loads(json.dumps(dataclasses.asdict(plan)))
    hashes = {"device": model_hash(device), "cloud": model_hash(cloud)}
    return {"format": FORMAT, "plan": told, "model_hashes": hashes}


def _same_plan(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    # More targets may be added to a run: each unit stands by itself, and targets and M_base have hashes of their own.
    free = {"users", "only", "data", "base", "device_model", "cloud_model", "models_dir", "cache"}

    def fixed(told: Mapping[str, Any]) -> Any:
        plan = {key: value for key, value in told["plan"].items() if key not in free}
        # A base is the same wherever its folder lies.
        return [told["model_hashes"], Path(told["plan"]["base"]).name, plan]

    return bool(fixed(there) == fixed(wanted))


def _damaged(path: Path) -> BadInput:
    return BadInput(
        f"{path} is cut off or lacks a field; remove it and give the same `cdcda lamp run` again, which keeps all other"
        " results."
    )


def _result(path: Path) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        Unit(**content["unit"])
        whole = all(answer.keys() >= ANSWERED for answer in content["answers"]) and content.keys() >= TOLD
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise _damaged(path)
    return content


def results(out: Path) -> tuple[Mapping[str, Any], ...]:
    """Every finished result of a run's folder, in the order of their files, outdated ones too; raises BadInput."""
    return tuple(_result(path) for path in sorted((out / UNITS).glob("*/*.json")))


def plan_from(told: Mapping[str, Any]) -> Plan:
    """A plan from what `dataclasses.asdict` made of one."""
    parts = {
        "base_recipe": BaseRecipe(**told["base_recipe"]),
        "thresholds": Thresholds(**told["thresholds"]),
        "fine_tuning": FineTuning(**told["fine_tuning"]),
        "only": tuple(told["only"]),
    }
    return Plan(**{**told, **parts})


def _run_of(out: Path) -> tuple[Plan, Mapping[str, Any]]:
    """The plan of a run's folder and all of its run.json; raises BadInput."""
    path = out / RUN
    if not path.is_file():
        raise BadInput(f"{out} should hold the {RUN} of a run but does not; name the --out of `cdcda lamp run`.")
    try:
        content = json.loads(path.read_text("utf-8"))
        people = content["people"]
        if not people.keys() >= {"labels", "others", "left_out"} or not content["model_hashes"].keys():
            raise _damaged(path)
        return plan_from(content["plan"]), content
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(path) from None


@dataclasses.dataclass(frozen=True)
class Present:
    """What a result must be made from in order not to be outdated, by user."""

    targets: Mapping[str, str]
    """Hash of the history and the questions."""
    bases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Name of the M_base that the newest call with a method on the device made or found; "" without one."""


def hashes_of(targets: Sequence[Target]) -> dict[str, str]:
    """What tells whether a result is of a target as it is now, by user."""
    return {target.user: hash_of(target) for target in targets}


def present_of(people: People, units: Sequence[Unit], base: str) -> Present:
    """What these units must be made from, with M_base of that name."""
    return Present(hashes_of(people.targets), {unit.user: base for unit in units if unit.method in ON_DEVICE})


def stored_present(out: Path) -> Present:
    """What the newest calls of a run found; nothing of what a folder of an earlier version does not hold."""
    _, content = _run_of(out)
    return Present(content.get("targets", {}), content.get("bases", {}))


def _base_of(result: Mapping[str, Any]) -> str:
    """The name that stands behind the model's (`Desk.name`)."""
    _, found, base = str(result["device"]).rpartition(" + ")
    return base if found else ""


def stands(result: Mapping[str, Any], present: Present) -> bool:
    """Whether a result is not outdated; where either side does not tell what it was made from, it is not."""
    user = result["unit"]["user"]
    target, base = present.targets.get(user), present.bases.get(user)
    if target is not None and result.get("target", target) != target:
        return False
    return base is None or result["unit"]["method"] not in ON_DEVICE or _base_of(result) == base


def _labels(people: People, stored: Sequence[Mapping[str, Any]], there: Mapping[str, Any]) -> list[str]:
    """Every label of this call's data and of those that the results so far were made from, which may lie elsewhere."""
    if people.task.answer == "text":
        return []
    golds = {answer["gold"] for result in stored for answer in result["answers"]}
    return sorted({*people.labels, *golds, *(there["people"]["labels"] if there else ())})


def open_run(plan: Plan, people: People, out: Path, bases: Mapping[str, str] | None = None) -> None:
    """Writes run.json, or checks that the folder's is of the same task, models and settings; raises BadInput.

    `bases` are the names of M_base by user, of those whose units depend on it.
    """
    path = out / RUN
    stored = results(out)
    # A call that failed at its first unit left a plan that nothing was made by.
    there: Mapping[str, Any] = _run_of(out)[1] if stored and path.is_file() else {}
    told = {"others": len(people.others), "left_out": people.left_out}
    wanted = _identity(plan) | {"people": {"labels": _labels(people, stored, there), **told}}
    if there and not _same_plan(there, wanted):
        raise BadInput(
            f"The folder {out} holds results of another task, other models or settings; name another folder with --out."
        )
    now = hashes_of(people.targets)
    # Targets of earlier calls may have changed as well, but need not be in this call's data.
    if earlier := {result["unit"]["user"] for result in stored} - set(now):
        now |= hashes_of(read_targets(_data(plan), plan.task, earlier))
    targets, before = {**there.get("targets", {}), **now}, there.get("bases", {})
    write_json(path, wanted | {"targets": targets, "bases": {**before, **(bases or {})}})


def load_plan(out: Path) -> tuple[Plan, Mapping[str, Any]]:
    """The plan of a run's folder, and what it tells of the people; raises BadInput where there is none."""
    plan, content = _run_of(out)
    return plan, content["people"]


def people_of(plan: Plan) -> People:
    """The people of a plan."""
    return read_people(_data(plan), plan.task, plan.users, plan.only)


def _check_room(plan: Plan, people: People, tokeniser: Tokeniser) -> None:
    """Whether the longest output of everybody leaves room for its prompt; raises BadInput."""
    for target in people.targets:
        longest = max(target.records, key=lambda record: len(record.output), default=None)
        if longest is not None:
            task = learning_task(people.task, longest)
            render_example(tokeniser, task, longest.input, longest.output, plan.fine_tuning.max_tokens)


def check_methods(plan: Plan, people: People, units: Sequence[Unit]) -> None:
    """What would stop a run in its middle stops it before its beginning; raises ModelMissing and BadInput."""
    wanted = {unit.method for unit in units}
    if "eda" in wanted:
        find_wordnet()
    if wanted & LEARNING:
        _check_room(plan, people, open_tokeniser(models_of(plan)[0]))
    if "rkd" in wanted:
        device, cloud = models_of(plan)
        require_same_tokens(open_tokeniser(cloud), open_tokeniser(device))


def undone(out: Path, units: Sequence[Unit], present: Present) -> tuple[Unit, ...]:
    """The units that have no result yet, or an outdated one."""

    def done(path: Path) -> bool:
        return path.is_file() and stands(_result(path), present)

    return tuple(unit for unit in units if not done(out / unit.file))
