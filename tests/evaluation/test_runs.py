"""Units, what a stopped run keeps, and the folder's own plan."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.errors import AdapterRefused, BadInput, ModelMissing
from app.evaluation.calibrating import survival
from app.evaluation.cases import case
from app.evaluation.desks import write_json
from app.evaluation.mbase import mbase_name
from app.evaluation.measured import measure_run, read_measurements, write_measurements
from app.evaluation.people import hash_of
from app.evaluation.plans import (
    Grid,
    Plan,
    Unit,
    load_plan,
    models_of,
    people_of,
    present_of,
    results,
    stands,
    stored_present,
    undone,
    units_of,
)
from app.evaluation.pools import Largest
from app.evaluation.runs import LocalEngine, run
from app.evaluation.tables import Scores, tables
from app.pipeline.local_service import CloudAddress, child_environment
from tests.evaluation.support import TAG, plan_for, question, reviews, tags, titles, tweets, write_split

TITLES = Path(__file__).parents[2] / "assets" / "bases" / "titles"
QUICK = Grid("copy,nearest,device")


def quiet(done: int, of: int, unit: Unit | None) -> None:
    """Hears nothing."""


def test_a_unit_stands_once_whatever_it_does_not_depend_on(tmp_path: Path) -> None:
    people = people_of(plan_for(tmp_path, titles(tmp_path / "data"), users=2))
    units = units_of(people, Grid("copy,direct,rkd,cdcda", (0.5, 1.0), (1, 5), (0, 1)))
    names = [unit.file.stem for unit in units if unit.user == "u0"]
    assert len(names) == 1 + 2 + 4 + 8
    assert names[:4] == ["copy", "direct-seed0", "direct-seed1", "rkd-s0.5-seed0"]
    assert "cdcda-s0.5-k5-seed1" in names
    assert len(units) == 2 * len(names)


@pytest.mark.parametrize("grid", [Grid(shares=(1.5,)), Grid(ks=(0,)), Grid(ks=(21,)), Grid(seeds=()), Grid(shares=())])
def test_a_setting_out_of_range_is_refused(tmp_path: Path, grid: Grid) -> None:
    people = people_of(plan_for(tmp_path, titles(tmp_path / "data")))
    with pytest.raises(BadInput, match=r"name (some|one) like"):
        units_of(people, grid)


def test_a_user_with_any_name_has_a_folder_of_their_own() -> None:
    unit = Unit("../A B/é", "copy", None, None, None)
    assert unit.file.parts[:2] == ("units", "..%2FA%20B%2F%C3%A9")


def test_finished_units_are_not_done_again(tmp_path: Path) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data"), users=2), tmp_path / "out"
    people = people_of(plan)
    heard: list[tuple[int, int]] = []
    assert run(plan, QUICK, out, LocalEngine(), quiet) == 6
    (gone, kept) = (out / "units" / "u1" / name for name in ("nearest.json", "device.json"))
    before = kept.stat().st_mtime_ns
    gone.unlink()
    run(plan, QUICK, out, LocalEngine(), lambda done, of, unit: heard.append((done, of)))
    assert heard == [(5, 6), (6, 6)]
    assert gone.is_file()
    assert kept.stat().st_mtime_ns == before
    units = units_of(people, QUICK)
    assert undone(out, units, present_of(people, units, "")) == ()


def test_more_users_and_methods_join_a_run_and_other_settings_do_not(tmp_path: Path) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data")), tmp_path / "out"
    run(plan, Grid("copy"), out, LocalEngine(), quiet)
    more = plan_for(tmp_path, titles(tmp_path / "data"), users=2)
    assert run(more, Grid("copy,nearest"), out, LocalEngine(), quiet) == 4
    assert load_plan(out)[0] == more
    other = plan_for(tmp_path, titles(tmp_path / "data"), prompt="rewrite")
    with pytest.raises(BadInput, match="other models or settings"):
        run(other, Grid("copy"), out, LocalEngine(), quiet)


def correct(data: Path, word: str = "Corrected") -> None:
    """Another gold for every question."""
    path = data / "dev_outputs.json"
    path.write_text(path.read_text().replace('"output": "', f'"output": "{word} '))


def golds(out: Path) -> dict[str, str]:
    """First gold of each result, by user and method."""
    return {f"{one['unit']['user']} {one['unit']['method']}": one["answers"][0]["gold"] for one in results(out)}


def test_a_target_whose_data_have_changed_is_done_again(tmp_path: Path) -> None:
    data, out = titles(tmp_path / "data"), tmp_path / "out"
    plan = plan_for(tmp_path, data, users=2)
    run(plan, Grid("copy,nearest"), out, LocalEngine(), quiet)
    correct(data)
    heard: list[tuple[int, int]] = []
    run(plan, Grid("copy"), out, LocalEngine(), lambda done, of, unit: heard.append((done, of)))
    assert heard == [(0, 2), (1, 2), (2, 2)]
    assert golds(out) == {
        "u0 copy": "Corrected Gold 0 0 rivers",
        "u0 nearest": "Gold 0 0 rivers",
        "u1 copy": "Corrected Gold 1 0 rivers",
        "u1 nearest": "Gold 1 0 rivers",
    }
    (table,) = tables(Scores(measure_run(out, bert=False)))
    assert [row[0] for row in table.rows] == ["copy of the input"]
    assert table.notes[1].startswith(
        "Left out, because the data of their targets or their M_base have changed since: 2 results;"
    )


def test_what_no_longer_fits_the_data_is_not_measured_though_its_target_is_not_in_the_call(tmp_path: Path) -> None:
    data, out = titles(tmp_path / "data", users=3), tmp_path / "out"
    for only in ("u0", "u1"):
        run(plan_for(tmp_path, data, only=(only,)), Grid("copy"), out, LocalEngine(), quiet)
    (table,) = tables(Scores(measure_run(out, bert=False)))
    assert "2 users" in table.notes[0]
    correct(data)
    run(plan_for(tmp_path, data, only=("u1",)), Grid("copy"), out, LocalEngine(), quiet)
    found = measure_run(out, bert=False)
    assert [one.unit["user"] for one in found.units] == ["u1"]
    assert found.outdated == 1
    write_measurements(found, tmp_path / "scores.json")
    assert read_measurements(tmp_path / "scores.json").outdated == 1


def test_labels_of_other_data_stay_with_their_results(tmp_path: Path) -> None:
    out, first, second = tmp_path / "out", tags(tmp_path / "first"), tmp_path / "second"
    profile = [{"id": "1", "description": "a duck", "tag": "dark"}]
    write_split(second, "dev", "LaMP_2", [(question("2", "1", f"{TAG}a boat", profile), "dark")])
    for data in (first, second):
        run(plan_for(tmp_path, data, "LaMP_2"), Grid("majority"), out, LocalEngine(), quiet)
    (table,) = tables(Scores(measure_run(out)))
    assert "2 users, 3 questions" in table.notes[0]
    assert load_plan(out)[1]["labels"] == ["dark", "funny", "sad"]
    assert "User 1, question 2" in case(out, "1")[0].title
    # A folder whose labels are those of the newest call alone is set right by the next one.
    told = json.loads((out / "run.json").read_text())
    write_json(out / "run.json", told | {"people": {**told["people"], "labels": ["dark"]}})
    run(plan_for(tmp_path, second, "LaMP_2"), Grid("majority"), out, LocalEngine(), quiet)
    assert load_plan(out)[1]["labels"] == ["dark", "funny", "sad"]


def test_results_without_the_hash_of_their_target_stand(tmp_path: Path) -> None:
    data, out = titles(tmp_path / "data"), tmp_path / "out"
    plan = plan_for(tmp_path, data)
    run(plan, Grid("copy"), out, LocalEngine(), quiet)
    told = json.loads((out / "run.json").read_text())
    write_json(out / "run.json", {name: value for name, value in told.items() if name != "targets"})
    (path,) = out.glob("units/*/*.json")
    result = {name: value for name, value in json.loads(path.read_text()).items() if name != "target"}
    write_json(path, result)
    heard: list[tuple[int, int]] = []
    run(plan, Grid("copy"), out, LocalEngine(), lambda done, of, unit: heard.append((done, of)))
    assert heard == [(1, 1)]
    assert measure_run(out, bert=False).outdated == 0


class Clerk:
    """Writes results as a workbench would, M_base's name among what they were made from, and learns nothing."""

    def work_off(self, plan: Plan, out: Path, units: Sequence[Unit], largest: Largest) -> Iterator[Unit]:
        people, (model, _) = people_of(plan), models_of(plan)
        name = mbase_name(people, model, plan.base_recipe) if plan.base == "make" else Path(plan.base).name
        for unit in units:
            (target,) = (target for target in people.targets if target.user == unit.user)
            made_from = {"device": f"{model.name} + {name}", "cloud": "large", "target": hash_of(target)}
            answers = [{"id": asked.id, "answer": "boats", "gold": asked.gold} for asked in target.questions]
            told = {"unit": dataclasses.asdict(unit), "answers": answers, "records": len(target.records), "facts": {}}
            write_json(out / unit.file, told | made_from)
            yield unit


class Broken:
    """Fails at its first unit."""

    def work_off(self, plan: Plan, out: Path, units: Sequence[Unit], largest: Largest) -> Iterator[Unit]:
        raise ZeroDivisionError


def done_now(plan: Plan, methods: str, out: Path) -> list[str]:
    """What a call works off, by user and method."""
    heard: list[Unit] = []
    run(plan, Grid(methods), out, Clerk(), lambda done, of, unit: heard.append(unit) if unit else None)
    return [f"{unit.user} {unit.method}" for unit in heard]


def shown(out: Path) -> list[str]:
    """What is measured, by user and method."""
    return [f"{one.unit['user']} {one.unit['method']}" for one in measure_run(out, bert=False).units]


def test_results_of_one_user_on_different_bases_do_not_stand_together(tmp_path: Path) -> None:
    data, out = titles(tmp_path / "data", users=3), tmp_path / "out"
    first, second = (plan_for(tmp_path, data, users=users, base="make") for users in (1, 2))
    assert done_now(first, "copy,device", out) == ["u0 copy", "u0 device"]
    # Nothing of the second M_base was asked for: what the first one answered is compared with nothing of another.
    assert done_now(second, "copy", out) == ["u1 copy"]
    assert shown(out) == ["u0 copy", "u0 device", "u1 copy"]
    assert done_now(second, "direct", out) == ["u0 direct", "u1 direct"]
    assert shown(out) == ["u0 copy", "u0 direct", "u1 copy", "u1 direct"]
    assert measure_run(out, bert=False).outdated == 1
    assert "M_device" not in str(case(out, "u0")[0].rows)
    assert done_now(second, "copy,device,direct", out) == ["u0 device", "u1 device"]
    assert measure_run(out, bert=False).outdated == 0
    assert done_now(first, "copy,direct", out) == ["u0 direct"]


def test_users_whose_bases_learned_from_each_other_share_a_folder(tmp_path: Path) -> None:
    data, out = titles(tmp_path / "data", users=4, others=0), tmp_path / "out"
    for only in (("u0", "u1"), ("u2", "u3")):
        plan = plan_for(tmp_path, data, only=only, base="make")
        for methods in ("device,direct", "direct,eda"):
            assert len(done_now(plan, methods, out)) == 2 * (2 if methods == "device,direct" else 1)
    assert measure_run(out, bert=False).outdated == 0
    assert len({result["device"] for result in results(out)}) == 2


def test_results_stand_in_a_folder_that_tells_of_no_base(tmp_path: Path) -> None:
    out, plan = tmp_path / "out", plan_for(tmp_path, titles(tmp_path / "data"), base="make")
    done_now(plan, "device", out)
    told = json.loads((out / "run.json").read_text())
    write_json(out / "run.json", {name: value for name, value in told.items() if name != "bases"})
    assert all(stands(result, stored_present(out)) for result in results(out))
    assert done_now(plan, "device", out) == []


def test_a_named_base_may_lie_anywhere(tmp_path: Path) -> None:
    out, data = tmp_path / "out", titles(tmp_path / "data")
    there = shutil.copytree(TITLES, tmp_path / "titles")
    here, moved = (plan_for(tmp_path, data, device_model="smollm2-135m", base=str(base)) for base in (TITLES, there))
    assert done_now(here, "device", out) == ["u0 device"]
    assert done_now(moved, "device,direct", out) == ["u0 direct"]
    with pytest.raises(BadInput, match="other models or settings"):
        done_now(dataclasses.replace(moved, base=str(shutil.copytree(TITLES, tmp_path / "papers"))), "device", out)


@pytest.mark.parametrize(
    ("task", "model", "says"), [("LaMP_7", "smollm2-135m", "is not paraphrase on"), ("LaMP_5", "", "on this tiny")]
)
def test_a_base_of_another_task_or_model_is_refused(tmp_path: Path, task: str, model: str, says: str) -> None:
    data = (tweets if task == "LaMP_7" else titles)(tmp_path / "data")
    plan = plan_for(tmp_path, data, task, base=str(TITLES))
    with pytest.raises(BadInput, match=says):
        done_now(dataclasses.replace(plan, device_model=model or plan.device_model), "device", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_base_is_refused(tmp_path: Path) -> None:
    base = shutil.copytree(TITLES, tmp_path / "titles")
    (base / "adapter_config.json").write_text("{}")
    plan = plan_for(tmp_path, titles(tmp_path / "data"), device_model="smollm2-135m", base=str(base))
    with pytest.raises(AdapterRefused):
        done_now(plan, "device", tmp_path / "out")


def test_a_base_that_nobody_is_left_for_is_refused_where_a_method_needs_it(tmp_path: Path) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data", others=0), users=100, base="make"), tmp_path / "out"
    with pytest.raises(BadInput, match=r"Nobody is left to learn M_base from.* lower --users"):
        run(plan, Grid("copy,direct"), out, LocalEngine(), quiet)
    assert not out.exists()
    assert run(plan, Grid("copy,nearest"), out, LocalEngine(), quiet) == 4


def test_everybody_with_a_result_has_a_case_whoever_was_asked_for_last(tmp_path: Path) -> None:
    data, out = titles(tmp_path / "data"), tmp_path / "out"
    for users in (2, 1):
        run(plan_for(tmp_path, data, users=users), Grid("copy"), out, LocalEngine(), quiet)
    assert "User u1, question 10" in case(out, "u1")[0].title
    correct(data)
    with pytest.raises(BadInput, match="no result from the data as they are now"):
        case(out, "u1")


@pytest.mark.slow
def test_survival_counts_everybody_with_pairs_whoever_was_asked_for_last(tmp_path: Path, service: CloudAddress) -> None:
    data, out = titles(tmp_path / "data"), tmp_path / "out"
    for only in ("u0", "u1"):
        run(plan_for(tmp_path, data, only=(only,)), Grid("cdcda", ks=(1,)), out, LocalEngine(service), quiet)
    (survived,) = survival(out)
    assert "11 pairs of 11 records" in survived.notes[0]


def test_a_method_that_cannot_be_done_stops_the_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data")), tmp_path / "out"
    monkeypatch.setenv("CDCDA_WORDNET", str(tmp_path))
    with pytest.raises(ModelMissing, match="wordnet-base"):
        run(plan, Grid("all"), out, LocalEngine(), quiet)
    other = plan_for(tmp_path, titles(tmp_path / "data"), cloud_model="smollm2-135m")
    with pytest.raises(BadInput, match="same vocabulary"):
        run(other, Grid("all,-eda"), out, LocalEngine(), quiet)
    assert not out.exists()
    methods = {unit.method for unit in units_of(people_of(other), Grid("all,-eda,-rkd"))}
    assert {"cdcda", "direct"} <= methods
    assert not {"eda", "rkd"} & methods


def command(plan: Any, out: Path, *more: str) -> list[str]:
    named = ["--data", plan.data, "--task", "LaMP_5", "--out", str(out), "--users", "1", "--base", "none"]
    models = ["--device-model", plan.device_model, "--cloud-model", plan.cloud_model]
    small = ["--epochs", "1", "--rank", "2", "--max-tokens", "256", "--data-dir", str(out.parent / "home")]
    return ["lamp", "run", *named, *models, *small, *more]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data")), tmp_path / "out"
    arguments = command(plan, out, "--methods", "copy,nearest,device,direct,eda")
    process = subprocess.Popen([sys.executable, "-m", "app.cli", *arguments, "--json"], env=child_environment())
    unit = out / "units" / "u0" / "device.json"
    until = time.monotonic() + 60
    while not unit.is_file() and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    written = {path: path.read_bytes() for path in out.glob("units/*/*.json")}
    assert unit in written
    assert all(json.loads(content)["answers"] for content in written.values())
    assert main([*arguments, "--json"]) == 0
    assert {path.name for path in out.glob("units/*/*")} == {
        "copy.json",
        "nearest.json",
        "device.json",
        "direct-seed0.json",
        "eda-k5-seed0.json",
    }
    assert {path: path.read_bytes() for path in written} == written


@pytest.mark.slow
def test_mbase_is_made_once_by_the_services_program_and_laid_under_everything(tmp_path: Path) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data"), base="make"), tmp_path / "out"
    grid = Grid("device,direct")
    run(plan, grid, out, LocalEngine(), quiet)
    (base,) = (out / "bases").glob("[!.]*")
    before = (base / "manifest.json").stat().st_mtime_ns
    results = {path.stem: json.loads(path.read_text()) for path in out.glob("units/*/*.json")}
    assert results["device"]["device"] == f"tiny-llama-0 + {base.name}"
    assert stored_present(out).bases == {"u0": base.name}
    bare = plan_for(tmp_path, titles(tmp_path / "data"))
    run(bare, grid, tmp_path / "bare", LocalEngine(), quiet)
    (learned, untouched) = (
        json.loads((folder / "units" / "u0" / "direct-seed0.json").read_text())["facts"]["first_loss"]
        for folder in (out, tmp_path / "bare")
    )
    assert learned != untouched
    (out / "units" / "u0" / "device.json").unlink()
    run(plan, grid, out, LocalEngine(), quiet)
    assert (base / "manifest.json").stat().st_mtime_ns == before


def test_users_with_spaces_in_their_names_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data")), tmp_path / "out"
    questions = Path(plan.data) / "dev_questions.json"
    questions.write_text(questions.read_text().replace('"user_id": "u1"', '"user_id": "Ann B"'))
    assert main(command(plan, out, "--methods", "copy", "--only", " Ann B ,")) == 0
    assert capsys.readouterr().out.startswith("1 unit is done; ")
    assert main(command(plan, out, "--methods", "copy", "--only", "u0, Ann B")) == 0
    assert capsys.readouterr().out.startswith("2 units are done; ")


@pytest.mark.parametrize(
    ("scores", "says"), [((), "User 0 has no history"), (("4", "five"), "User 0 has the score 'five' in their history")]
)
def test_a_person_whom_a_method_cannot_work_with_is_named_before_the_run(
    tmp_path: Path, scores: tuple[str, ...], says: str
) -> None:
    data, out = reviews(tmp_path / "data", *scores), tmp_path / "out"
    grid = Grid("majority,nearest")
    with pytest.raises(BadInput, match=f"{says}.* with --only"):
        run(plan_for(tmp_path, data, "LaMP_3", users=2), grid, out, LocalEngine(), quiet)
    assert not out.exists()
    assert run(plan_for(tmp_path, data, "LaMP_3", only=("1",)), grid, out, LocalEngine(), quiet) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("units/u0/copy.json", ""),
        ("units/u0/copy.json", "[]"),
        ("units/u0/copy.json", '{"unit": {"user": "u0"}}'),
        ("run.json", '{"format": 1, "plan": {'),
        ("run.json", '{"format": 1, "plan": {}}'),
        ("run.json", '{"format": 1}'),
        ("run.json", "[]"),
    ],
)
def test_a_damaged_file_of_a_run_is_named_and_the_run_goes_on_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data")), tmp_path / "out"
    home = ["--data-dir", str(tmp_path / "home")]
    again = command(plan, out, "--methods", "copy,nearest")
    assert main(again) == 0
    (out / name).write_text(content)
    for arguments in (again, ["lamp", "table", str(out), *home], ["lamp", "case", str(out), "--user", "u0", *home]):
        assert main(arguments) == 2
        assert f"{out / name} is cut off or lacks a field; remove it" in capsys.readouterr().err
    (out / name).unlink()
    assert main(again) == 0
    assert shown(out) == ["u0 copy", "u0 nearest"]


def test_a_call_that_failed_leaves_the_folder_to_the_corrected_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, out = plan_for(tmp_path, titles(tmp_path / "data")), tmp_path / "out"
    assert main(command(plan, out, "--methods", "copy", "--base", str(tmp_path / "nope"))) == 1
    assert "The base nope has no manifest.json" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(ZeroDivisionError):
        run(dataclasses.replace(plan, prompt="rewrite"), Grid("copy"), out, Broken(), quiet)
    assert (out / "run.json").is_file()
    assert main(command(plan, out, "--methods", "copy")) == 0
    assert load_plan(out)[0].prompt == "paper"


def test_what_cannot_be_run_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data"))
    for more, says in (
        (["--methods", "magic"], "no method 'magic'"),
        (["--only", "u7"], "no user u7"),
        (["--share", "2"], "between 0 and 1"),
        (["--share", "-0.5"], "between 0 and 1"),
        (["--k", "0"], "1 to 20"),
        (["--entailment", "7"], "--entailment or --rouge-l"),
        (["--rouge-l", "-3"], "--entailment or --rouge-l"),
        (["--entailment", "nan"], "--entailment or --rouge-l"),
        (["--shortest", "3"], "--shortest or --longest"),
        (["--base-users", "-5"], "--base-users"),
        (["--learning-rate", "-1"], "--learning-rate"),
        (["--methods", "direct", "--max-tokens", "8"], "allow more tokens"),
        (["--task", "LaMP_6"], "no task 'LaMP_6'"),
    ):
        assert main(command(plan, tmp_path / "out", *more)) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.startswith("cdcda: ")
        assert not (tmp_path / "out").exists()
    assert main(["lamp", "table", str(tmp_path), "--data-dir", str(tmp_path / "home")]) == 2
    assert "run.json" in capsys.readouterr().err
