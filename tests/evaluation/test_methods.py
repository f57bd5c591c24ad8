"""Each method on tiny models, with the real service, store, trainer and engine."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadInput, CloudError
from app.evaluation import methods
from app.evaluation.calibrating import survival
from app.evaluation.desks import learning_task
from app.evaluation.methods import METHODS, choose_methods
from app.evaluation.people import Asked, Target
from app.evaluation.plans import Grid, Plan, results
from app.evaluation.pools import shared_places
from app.evaluation.runs import LocalEngine, run
from app.lamp import LampPair
from app.pipeline.judging import Thresholds
from app.pipeline.local_service import CloudAddress
from app.tasks import find_task
from tests.cloud_stub.fakes import FakeModel
from tests.evaluation.support import plan_for, tags, titles, tweets

SOME = Thresholds(entailment=0.0, rouge_l=1.0)
"""With the stand-in scorer every pair passes."""


def work(tmp_path: Path, plan: Plan, grid: Grid, service: CloudAddress) -> dict[str, Any]:
    """Every result by its file's name without the ending."""
    out = tmp_path / "out"
    run(plan, grid, out, LocalEngine(service), lambda done, of, unit: None)
    return {path.stem: found for path, found in zip(sorted((out / "units").glob("*/*")), results(out), strict=True)}


def answers(result: dict[str, Any]) -> list[str]:
    return [answer["answer"] for answer in result["answers"]]


@pytest.mark.slow
def test_every_method_answers_every_question_of_a_user(tmp_path: Path, service: CloudAddress) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data"), thresholds=SOME)
    found = work(tmp_path, plan, Grid(shares=(0.5,), ks=(2,)), service)
    applicable = {method.name for method in METHODS} - {"majority", "direct-neutral", "cdcda-neutral"}
    assert {result["unit"]["method"] for result in found.values()} == applicable
    for result in found.values():
        assert [answer["id"] for answer in result["answers"]] == ["00", "01"]
        assert [answer["gold"] for answer in result["answers"]] == ["Gold 0 0 rivers", "Gold 0 1 rivers"]
    facts = {name: result["facts"] for name, result in found.items()}
    assert answers(found["copy"]) == ["We ask 0 about question 0 of rivers", "We ask 0 about question 1 of rivers"]
    assert facts["direct-seed0"]["examples"] == 6
    assert facts["eda-k2-seed0"]["examples"] == 6 + facts["eda-k2-seed0"]["augmented"]
    assert facts["rkd-s0.5-seed0"]["taught"] == 3
    assert facts["rkd-s0.5-seed0"]["first_loss"] > facts["direct-seed0"]["first_loss"]
    assert facts["cdcda-s0.5-k2-seed0"]["learned"] == facts["cdcda-s0.5-k2-seed0"]["kept"] == 6
    assert facts["cdcda-s0.5-k2-seed0"]["examples"] == 12


@pytest.mark.slow
def test_the_ablations_learn_as_many_pairs_and_all_pairs(
    tmp_path: Path, service: CloudAddress, model: FakeModel
) -> None:
    # The stand-in model ends its texts with a seed of 8 to 10 digits: the length filter keeps the shorter ones.
    plan = plan_for(tmp_path, titles(tmp_path / "data"), thresholds=Thresholds(0.0, 1.0, 0.5, 1.41))
    grid = Grid("cdcda,cdcda-rs,cdcda-nods", shares=(1.0,), ks=(3,))
    found = {name: result["facts"] for name, result in work(tmp_path, plan, grid, service).items()}
    filtered, drawn, everything = (found[f"{name}-s1-k3-seed0"] for name in ("cdcda", "cdcda-rs", "cdcda-nods"))
    assert filtered["written"] == drawn["written"] == everything["learned"] == 18
    assert 0 < filtered["kept"] < 18
    assert filtered["learned"] == drawn["learned"] == filtered["kept"]
    # Without a limit of entailment the length filter alone decides; the highest limit lets nothing of the stand-in by.
    (survived,) = survival(tmp_path / "out")
    assert (survived.rows[0][-1], survived.rows[-1][-1]) == (f"{filtered['kept'] / 18:.1%}", "0.0%")
    assert "18 pairs of 6 records at share ratio 1 and k = 3" in survived.notes[0]
    # One pool serves the three of them.
    assert len(model.prompts) == 18
    assert len({prompt.text for prompt in model.prompts}) == 6


@pytest.mark.slow
def test_smaller_shares_and_fewer_pairs_come_from_the_largest_pool(
    tmp_path: Path, service: CloudAddress, model: FakeModel
) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data"), thresholds=SOME)
    found = work(tmp_path, plan, Grid("cdcda", shares=(0.0, 0.5, 1.0), ks=(1, 3)), service)
    written = {name: result["facts"]["written"] for name, result in found.items()}
    assert written == {
        "cdcda-s0-k1-seed0": 0,
        "cdcda-s0-k3-seed0": 0,
        "cdcda-s0.5-k1-seed0": 3,
        "cdcda-s0.5-k3-seed0": 9,
        "cdcda-s1-k1-seed0": 6,
        "cdcda-s1-k3-seed0": 18,
    }
    assert len(model.prompts) == 18
    assert len({prompt.text for prompt in model.prompts}) == 6
    assert all(prompt.form == "paper" for prompt in model.prompts)


@pytest.mark.slow
def test_only_shared_records_travel(tmp_path: Path, service: CloudAddress, model: FakeModel) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data"), thresholds=SOME)
    work(tmp_path, plan, Grid("direct,eda,rkd,cdcda", shares=(0.5,), ks=(1,)), service)
    sent = {prompt.input_like for prompt in model.prompts}
    assert sent == {f"We study u0 number {place} of boats and rivers" for place in shared_places(6, 0.5, 0)}


@pytest.mark.slow
def test_records_that_look_personal_travel_as_they_are(tmp_path: Path, service: CloudAddress, model: FakeModel) -> None:
    plan = plan_for(tmp_path, tweets(tmp_path / "data", "write to ana@example.org"), "LaMP_7", thresholds=SOME)
    work(tmp_path, plan, Grid("cdcda-nods", ks=(1,)), service)
    assert {"write to ana@example.org" in prompt.input_like for prompt in model.prompts} == {True}


@pytest.mark.slow
def test_pairs_that_a_broken_service_left_undone_are_asked_for_again(
    tmp_path: Path, service: CloudAddress, model: FakeModel
) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data"), thresholds=SOME)
    grid = Grid("cdcda", shares=(0.5,), ks=(1,))
    with pytest.raises(CloudError, match="cannot be reached"):
        work(tmp_path, plan, grid, CloudAddress("http://127.0.0.1:1", "none", local=True))
    assert work(tmp_path, plan, grid, service)["cdcda-s0.5-k1-seed0"]["facts"]["written"] == 3
    # Another folder that shares the cache asks nobody.
    elsewhere = dataclasses.replace(plan, cache=str(tmp_path / "out"), thresholds=Thresholds())
    found = work(tmp_path / "other", elsewhere, grid, service)["cdcda-s0.5-k1-seed0"]["facts"]
    assert (found["written"], found["kept"]) == (3, 0)
    assert len(model.prompts) == 3


@pytest.mark.slow
def test_direct_fine_tuning_asks_no_service(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data"))
    nobody = CloudAddress("http://127.0.0.1:1", "none", local=True)
    found = work(tmp_path, plan, Grid("copy,nearest,cloud,cloud+rag,device,device+rag,direct,eda,rkd"), nobody)
    assert len(found) == 9


@pytest.mark.slow
def test_the_same_seed_gives_the_same_answers_in_another_folder(tmp_path: Path, service: CloudAddress) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data"), thresholds=SOME)
    grid = Grid("cdcda-rs", shares=(0.5,), ks=(2,))
    first, second = (work(tmp_path / name, plan, grid, service) for name in ("one", "two"))
    assert [answers(result) for result in first.values()] == [answers(result) for result in second.values()]
    assert (
        first["cdcda-rs-s0.5-k2-seed0"]["facts"]["final_loss"]
        == second["cdcda-rs-s0.5-k2-seed0"]["facts"]["final_loss"]
    )


@pytest.mark.slow
def test_tweets_are_learned_alone_or_from_neutral_rewrites(
    tmp_path: Path, service: CloudAddress, model: FakeModel
) -> None:
    plan = plan_for(tmp_path, tweets(tmp_path / "data"), "LaMP_7", thresholds=SOME)
    found = work(tmp_path, plan, Grid("direct,cdcda,direct-neutral,cdcda-neutral", ks=(1,)), service)
    assert {result["facts"]["examples"] for result in found.values()} == {4, 8}
    texts = {prompt.text.split("Input: ")[1] for prompt in model.prompts}
    assert "omg flight 0!!, Response: omg flight 0!!." in texts
    assert "Flight 0 is late., Response: omg flight 0!!." in texts
    own, neutral = survival(tmp_path / "out")
    assert "4 pairs of 4 records at" in own.notes[0]
    assert "4 pairs of 4 neutral rewrites at" in neutral.notes[0]
    assert own.rows != neutral.rows


@pytest.mark.slow
def test_survival_is_of_the_pairs_that_were_made_where_only_neutral_rewrites_were_asked_for(
    tmp_path: Path, service: CloudAddress
) -> None:
    plan = plan_for(tmp_path, tweets(tmp_path / "data"), "LaMP_7", thresholds=SOME)
    work(tmp_path, plan, Grid("cdcda-neutral", ks=(1,)), service)
    (neutral,) = survival(tmp_path / "out")
    assert "4 pairs of 4 neutral rewrites at share ratio 1 and k = 1" in neutral.notes[0]


@pytest.mark.slow
def test_labels_have_their_trivial_methods(tmp_path: Path, service: CloudAddress) -> None:
    plan = plan_for(tmp_path, tags(tmp_path / "data"), "LaMP_2", thresholds=SOME)
    found = work(tmp_path, plan, Grid("majority,nearest,cdcda-nods", shares=(0.5, 1.0), ks=(1,)), service)
    assert answers(found["majority"]) == ["sad", "sad"]
    assert set(answers(found["nearest"])) <= {"funny", "sad"}
    assert [found[f"cdcda-nods-s{share}-k1-seed0"]["facts"]["written"] for share in ("0.5", "1")] == [2, 5]


def test_the_mean_rating_is_the_majority_of_ratings() -> None:
    task = find_task("LaMP_3")
    records = tuple(LampPair(f"text {number}", str(number)) for number in (1, 4, 5))
    target = Target("u", records, (Asked("q", "text", "4"),))
    majority = next(method for method in METHODS if method.name == "majority")
    kit: Any = None
    assert majority.answer(methods.Case(task, target, 1.0, 1, 0), kit).answers == ("3.3333",)


def test_a_text_alone_is_learned_after_an_empty_turn_and_lamp_1_as_titles() -> None:
    assert learning_task(find_task("LaMP_7"), LampPair("", "text")).prompt("") == ""
    assert learning_task(find_task("LaMP_7"), LampPair("plain", "text")).lamp == "LaMP_7"
    assert learning_task(find_task("LaMP_1"), LampPair("abstract", "title")).lamp == "LaMP_5"


@pytest.mark.parametrize(
    ("names", "says"), [("direct,none", "no method 'none'"), ("majority", "no method 'majority'"), (",", "No method")]
)
def test_a_method_that_is_not_there_is_named(names: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        choose_methods(names, find_task("LaMP_5"))


def test_all_leaves_neutral_rewrites_out_where_the_file_has_none() -> None:
    task = find_task("LaMP_7")
    assert {method.name for method in choose_methods("all", task)} - {
        method.name for method in choose_methods("all", task, has_neutral=False)
    } == {"direct-neutral", "cdcda-neutral"}
