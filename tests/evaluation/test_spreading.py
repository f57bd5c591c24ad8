"""The same units on a local Ray cluster of two workers as in this process."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadInput, WorkerLost
from app.evaluation import spreading
from app.evaluation.plans import Grid, Unit
from app.evaluation.runs import LocalEngine, run
from tests.evaluation.support import plan_for, titles

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra scale is not installed"),
]
TIMED = ("seconds", "training_seconds", "answering_seconds", "tokens_per_second", "made_before")


def quiet(done: int, of: int, unit: Unit | None) -> None:
    """Hears nothing."""


def results(out: Path) -> dict[str, Any]:
    """Every result by its file, without what the clock says."""
    found = {str(path.relative_to(out)): json.loads(path.read_text()) for path in out.glob("units/*/*.json")}
    for result in found.values():
        for part in (result, result["facts"]):
            for name in TIMED:
                part.pop(name, None)
    return found


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own processes find what this one finds."""
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    )


def test_two_workers_come_to_what_one_process_comes_to(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data", users=3), users=3, base="make")
    grid = Grid("copy,device,direct")
    assert run(plan, grid, tmp_path / "spread", spreading.RayEngine(2), quiet) == 9
    assert run(plan, grid, tmp_path / "alone", LocalEngine(), quiet) == 9
    spread, alone = results(tmp_path / "spread"), results(tmp_path / "alone")
    workers: dict[str, set[int]] = {result["unit"]["user"]: set() for result in spread.values()}
    for result in spread.values():
        workers[result["unit"]["user"]].add(result.pop("worker"))
    assert spread == alone
    assert all(len(of) == 1 for of in workers.values())
    assert set.union(*workers.values()) == {0, 1}


@pytest.mark.parametrize(
    ("graphics", "workers", "each"), [(3, 2, 1), (1, 2, 0.5), (4, 2, 2), (0, 2, 0), (5, 2, 2), (2, 3, 0.5), (3, 4, 0.5)]
)
def test_a_worker_has_a_part_of_a_graphics_processor_or_whole_ones(graphics: float, workers: int, each: float) -> None:
    assert spreading._share(8, graphics, workers) == {"num_cpus": 8 // workers, "num_gpus": each}


def test_more_workers_than_processors_and_an_error_of_a_unit_are_a_sentence_each(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, titles(tmp_path / "data"), base="make")
    with pytest.raises(BadInput, match="lower --workers"):
        run(plan, Grid("copy"), tmp_path / "out", spreading.RayEngine(10_000), quiet)
    lost = plan_for(tmp_path, titles(tmp_path / "data"), base=str(tmp_path / "nowhere"))
    with pytest.raises(Exception, match="nowhere") as found:
        run(lost, Grid("copy"), tmp_path / "other", spreading.RayEngine(1), quiet)
    assert "ray" not in type(found.value).__module__


def test_a_worker_that_is_lost_again_and_again_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    class Dying:
        def work(self, unit: Unit) -> None:
            os._exit(1)

    with spreading._cluster()():
        import ray

        worker = ray.remote(Dying).options(max_restarts=1, max_task_retries=1).remote()
        with pytest.raises(WorkerLost, match="run the same command again"):
            next(spreading._spread([worker], [Unit("u0", "copy", None, None, None)]))
