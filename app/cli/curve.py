"""`cdcda curve`: what sharing more brought, on records that no adapter saw; the page shows the same in Insights."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.cli.printing import say, table
from app.errors import BadInput, JobRefused
from app.wording import counted

if TYPE_CHECKING:
    from app.evaluation.curve import CurvePlan
    from app.pipeline.workspace import Workspace
    from personal_store.nouns import Job

Result = Mapping[str, Any]
NAMES = {"base": "no adapter", "retrieval": "no adapter, with looked-up records"}
OUTCOMES = {
    "helped": "better by more than the luck of which records were held out.",
    "hurt": "worse by more than the luck of which records were held out; keep fewer pairs.",
    "not apart": "no more than the luck of which records were held out, so sharing less costs you little.",
    "too few to tell": "too few records are held out to tell that from luck.",
}


def add_curve(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    """What can be typed after `cdcda curve`."""
    curve = commands.add_parser("curve", parents=common, help="measure what sharing more brought you")
    curve.add_argument("--task", metavar="NAME", help="the task to measure (the one with most records)")
    curve.add_argument("--seed", type=int, default=0)
    which = curve.add_mutually_exclusive_group()
    which.add_argument("--plan", action="store_true", help="only say what would be measured, and how long that takes")
    which.add_argument("--show", action="store_true", help="only show what was measured last")
    which.add_argument("--resume", action="store_true", help="go on with the newest measuring that was not finished")


def _listed_plan(made: "CurvePlan") -> Result:
    parts = [
        {"share": part.share, "left": part.left, "pairs": part.pairs, "examples": len(part.texts)}
        for part in made.parts
    ]
    return {
        "plan": {
            "task": made.data.task.name,
            "metric": made.metric,
            "held_out": len(made.data.held_out),
            "seconds": round(made.seconds),
            "parts": parts,
        }
    }


def _newest(workspace: "Workspace", states: tuple[str, ...], otherwise: str) -> "Job":
    from app.pipeline import jobs

    for job in jobs.listing(workspace, "curve"):
        if job.state in states:
            return job
    raise JobRefused(otherwise)


def _last(workspace: "Workspace") -> Result:
    job = _newest(workspace, ("done",), "Nothing was measured yet; measure with `cdcda curve`.")
    return {**(job.result or {}), "job": job.id}


def _measure(workspace: "Workspace", options: argparse.Namespace) -> Result:
    from app.cli.following import follow_to_end
    from app.evaluation import curve
    from app.pipeline import jobs
    from personal_store.nouns import RESUMABLE

    if options.resume:
        unfinished = _newest(
            workspace, RESUMABLE, "There is no unfinished measuring to resume; start one with `cdcda curve`."
        )
        job = jobs.resume_job(workspace, unfinished.id)
    else:
        job = curve.start(workspace, curve.CurveSettings(options.task, options.seed))
    return follow_to_end(workspace, job, quiet=options.json)


def measure(workspace: "Workspace", options: argparse.Namespace) -> Result:
    """Do what was asked; raises AppErrors."""
    from app.evaluation import curve

    if (options.task or options.seed) and (options.show or options.resume):
        raise BadInput("--task and --seed are for a new measuring; leave --show and --resume out.")
    if options.plan:
        return _listed_plan(curve.plan(workspace, curve.CurveSettings(options.task, options.seed)))
    return _last(workspace) if options.show else _measure(workspace, options)


def _score(point: Result) -> str:
    return f"{point['score']:.2f} ({point['low']:.2f} to {point['high']:.2f})"


def _row(point: Result) -> tuple[str, str, str, str]:
    if "share" not in point:
        return NAMES[point["name"]], "", "", _score(point)
    return f"{point['share']:.0%} of what you shared", str(point["left"]), str(point["pairs"]), _score(point)


def _show_plan(plan: Result) -> None:
    last = plan["parts"][-1]
    say(
        f"An adapter each for {', '.join(format(part['share'], '.0%') for part in plan['parts'])} of what you shared:"
        f" {counted(last['left'], 'record')} that left, {counted(last['pairs'], 'kept pair')}, for the task"
        f" {plan['task']}.",
        f"Scored by {plan['metric']} on {counted(plan['held_out'], 'held-out record')}; about"
        f" {plan['seconds'] / 60:.0f} min. It sends nothing.",
    )


def show_curve(result: Result) -> None:
    """Print the plan or the curve, for people."""
    if "plan" in result:
        _show_plan(result["plan"])
        return
    from app.evaluation.curve import outcome

    better = "higher" if result["higher_is_better"] else "lower"
    held_out = counted(result["held_out"], "held-out record")
    title = f"{result['metric']}, {better} is better, on {held_out} of {result['task']}"
    rows = [_row(point) for point in result["points"]]
    table(title, ("Learned from", "Records that left", "Pairs", "Score (95 % interval)"), rows)
    first, last = (point["score"] for point in (result["points"][-3], result["points"][-1]))
    say(f"From {first:.2f} with nothing shared to {last:.2f} with all: {OUTCOMES[outcome(result)]}")
