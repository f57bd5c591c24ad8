"""`cdcda curve`: planned, measured, shown again, and refused in a sentence."""

from pathlib import Path
from typing import get_args

import pytest
from rich.progress import Progress, TextColumn

from app.cli import main
from app.cli.curve import OUTCOMES
from app.cli.following import _Bar
from app.evaluation.curve import Outcome
from app.pipeline import jobs
from app.pipeline.models import use_model
from app.pipeline.workspace import Workspace
from personal_store import jobs as stored
from tests.pipeline.support import add_pairs, workspace_with
from tests.test_cli import run
from tests.tiny import tiny_gguf


@pytest.fixture
def workspace(data_dir: Path, tmp_path: Path) -> Workspace:
    """Ten records, of which three came back as a pair each."""
    workspace, ids = workspace_with(data_dir, 10)
    use_model(workspace, str(tiny_gguf(tmp_path)))
    add_pairs(workspace, ids[:3])
    return workspace


def test_the_plan_says_what_would_be_learned_and_measures_nothing(
    capsys: pytest.CaptureFixture[str], workspace: Workspace
) -> None:
    plan = run(capsys, workspace.data_dir, "curve", "--plan")["plan"]
    assert [(part["share"], part["pairs"]) for part in plan["parts"]] == [(0.0, 0), (0.5, 2), (1.0, 3)]
    assert (plan["task"], plan["metric"]) == ("title", "ROUGE-1")
    assert main(["curve", "--plan", "--data-dir", str(workspace.data_dir)]) == 0
    assert "It sends nothing." in capsys.readouterr().out
    assert jobs.listing(workspace, "curve") == ()


@pytest.mark.slow
def test_the_curve_is_measured_and_shown_again(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> None:
    measured = run(capsys, workspace.data_dir, "curve")
    assert [point["name"] for point in measured["points"]] == ["base", "retrieval", "0", "0.5", "1"]
    assert run(capsys, workspace.data_dir, "curve", "--show") == measured
    assert main(["curve", "--show", "--data-dir", str(workspace.data_dir)]) == 0
    printed = capsys.readouterr().out
    assert "100% of what you shared" in printed
    assert "From 0." in printed
    assert "too few records are held out to tell that from luck" in printed
    jobs.end_workers()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--show"], 1, "Nothing was measured yet"),
        (["--resume"], 1, "no unfinished measuring"),
        (["--show", "--task", "title"], 2, "are for a new measuring"),
        ([], 1, "under Share"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    workspace, _ = workspace_with(data_dir, 10)
    use_model(workspace, str(tiny_gguf(tmp_path)))
    said = run(capsys, data_dir, "curve", *arguments, code=code)
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_every_outcome_has_its_sentence() -> None:
    assert set(OUTCOMES) == set(get_args(Outcome))


def test_the_bar_follows_a_measuring(workspace: Workspace) -> None:
    with workspace.store() as store:
        job = stored.create_job(store, "curve", {})
        stored.add_event(store, job.id, "progress", {"step": 3, "steps": 9, "seconds_left": 4.0})
        stored.add_event(store, job.id, "point", {"name": "0.5", "share": 0.5, "score": 0.25})
    with Progress(TextColumn("{task.description}"), disable=True) as progress:
        bar = _Bar(progress, "Measuring")
        for event in jobs.events(workspace, job.id):
            bar.show(event)
        (task,) = progress.tasks
        assert (task.completed, task.total, task.fields["note"]) == (3, 9, "50% shared: 0.25")
