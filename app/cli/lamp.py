"""`cdcda lamp`: the source's comparison on LaMP's files, run, shown, and LaMP's files fetched."""

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.pipeline.cleaning import clean
from app.wording import counted, verb

if TYPE_CHECKING:
    from app.pipeline.workspace import Workspace

Result = Mapping[str, Any]
NOT_DRAWN = (
    "No figure was drawn: it shows score against k, and no method was run with two values of it, or no user has a"
    " result at each of its points; run cdcda or eda with --k 1,5 for the same users."
)


def _numbers(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part) for part in text.replace(" ", "").split(",") if part)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected numbers like 1,3, got {text!r}") from None

    return read


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def _again() -> argparse.ArgumentParser:
    """Options of every command, which may stand at the end too; SUPPRESS keeps what stood before."""
    again = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    again.add_argument("--data-dir", metavar="DIR")
    again.add_argument("--json", action="store_true")
    return again


def _add_run(actions: Any) -> None:
    run = actions.add_parser("run", parents=[_again()], help="work units off; a stopped run goes on")
    run.add_argument("--data", required=True, metavar="DIR", help="LaMP's files: dev_questions.json and so on")
    run.add_argument("--task", required=True, metavar="NAME", help="LaMP_1, 2, 3, 4, 5 or 7")
    run.add_argument("--out", required=True, type=Path, metavar="DIR", help="where results are kept")
    run.add_argument("--cache", type=Path, metavar="DIR", help="pairs, M_base, answers; runs may share it (--out)")
    run.add_argument("--methods", default="all", metavar="NAMES", help="like direct,cdcda or all,-rkd (%(default)s)")
    run.add_argument("--users", type=_positive, default=100, help="targets: the longest histories (%(default)s)")
    run.add_argument("--only", default="", metavar="NAMES", help="these targets, by user id, instead")
    run.add_argument("--share", type=_numbers(float), default=(1.0,), metavar="RATIOS", help="like 0.5,1.0 (1.0)")
    run.add_argument("--k", type=_numbers(int), default=(5,), metavar="NUMBERS", help="pairs a record, like 1,3,5 (5)")
    run.add_argument("--seed", type=_numbers(int), default=(0,), metavar="SEEDS", help="like 0,1,2 (0)")
    run.add_argument("--device-model", required=True, metavar="NAME_OR_PATH")
    run.add_argument("--cloud-model", required=True, metavar="NAME_OR_PATH", help="a GGUF file")
    run.add_argument("--prompt", choices=("paper", "rewrite", "sentences", "auto"), default="paper")
    run.add_argument("--engine", choices=("local", "ray"), default="local", help="where units are done (%(default)s)")
    run.add_argument("--workers", type=_positive, default=2, help="processes of a Ray cluster (%(default)s)")
    _add_training(run.add_argument_group("training"))
    _add_limits(run.add_argument_group("what a pair must reach"))


def _add_training(group: Any) -> None:
    group.add_argument("--base", default="make", metavar="make|none|DIR", help="M_base (%(default)s)")
    group.add_argument("--base-users", type=int, default=0, help="people M_base learns from; 0: all (%(default)s)")
    group.add_argument("--base-epochs", type=_positive, default=2, help="(%(default)s)")
    group.add_argument("--epochs", type=_positive, default=3, help="(%(default)s)")
    group.add_argument("--learning-rate", type=float, default=1e-3, help="(%(default)s)")
    group.add_argument("--rank", type=_positive, default=16, help="(%(default)s)")
    group.add_argument("--max-tokens", type=_positive, default=512, help="longest example (%(default)s)")


def _add_limits(group: Any) -> None:
    group.add_argument("--entailment", type=float, default=0.5, help="least, both ways (%(default)s)")
    group.add_argument("--rouge-l", type=float, default=0.8, help="greatest (%(default)s)")
    group.add_argument("--shortest", type=float, default=0.5, help="least length ratio (%(default)s)")
    group.add_argument("--longest", type=float, default=2.0, help="greatest length ratio (%(default)s)")


def _add_showing(actions: Any) -> None:
    table = actions.add_parser("table", parents=[_again()], help="the source's tables from the results so far")
    table.add_argument("out", type=Path, metavar="DIR", help="the --out of a run, or a file that --scores wrote")
    table.add_argument("--figure", type=Path, metavar="FILE", help="draw score against two or more k as .svg or .png")
    table.add_argument("--scores", type=Path, metavar="FILE", help="write what the tables need, without any text")
    table.add_argument("--encoder", type=Path, metavar="DIR", help="BERTScore's, like roberta-large (embedded one)")
    table.add_argument("--no-bertscore", action="store_true", help="leave BERTScore out, which takes longest")
    survival = actions.add_parser("survival", parents=[_again()], help="what the filters would keep at other limits")
    survival.add_argument("out", type=Path, metavar="DIR", help="the --out of a run")
    case = actions.add_parser("case", parents=[_again()], help="what every method answered one person")
    case.add_argument("out", type=Path, metavar="DIR", help="the --out of a run")
    case.add_argument("--user", required=True)


def add_lamp(commands: Any, common: list[argparse.ArgumentParser]) -> None:
    """Adds `lamp` and its actions."""
    lamp = commands.add_parser("lamp", parents=common, help="compare all methods on LaMP's files")
    named = "run | table DIR | survival DIR | case DIR | download TASK"
    actions = lamp.add_subparsers(dest="action", metavar=named, required=True)
    _add_run(actions)
    _add_showing(actions)
    fetch = actions.add_parser("download", parents=[_again()], help="fetch LaMP's public files")
    fetch.add_argument("task", metavar="TASK", help="LaMP_1, 2, 3, 4, 5 or 7")
    fetch.add_argument("--to", type=Path, metavar="DIR", help="(lamp/TASK-SPLIT in the data folder)")
    fetch.add_argument("--split", choices=("time", "user"), default="time", help="(%(default)s)")


def _plan(workspace: "Workspace", options: argparse.Namespace) -> Any:
    from app.device.training import FineTuning
    from app.evaluation.mbase import BaseRecipe
    from app.evaluation.plans import Plan
    from app.pipeline.judging import Thresholds

    return Plan(
        data=options.data,
        task=options.task,
        device_model=options.device_model,
        cloud_model=options.cloud_model,
        users=options.users,
        only=tuple(filter(None, map(str.strip, options.only.split(",")))),
        base=options.base,
        base_recipe=BaseRecipe(epochs=options.base_epochs, users=options.base_users),
        prompt=options.prompt,
        thresholds=Thresholds(options.entailment, options.rouge_l, options.shortest, options.longest),
        fine_tuning=FineTuning(
            rank=options.rank,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            max_tokens=options.max_tokens,
        ),
        models_dir=str(workspace.models),
        cache=str(options.cache.expanduser().absolute()) if options.cache else "",
    )


def _run(workspace: "Workspace", options: argparse.Namespace) -> Result:
    from app.evaluation.plans import Grid
    from app.evaluation.runs import LocalEngine, run
    from app.evaluation.spreading import RayEngine

    grid = Grid(options.methods, options.share, options.k, options.seed)
    with _bar("Units", options.json) as listen:

        def hear(done: int, of: int, unit: Any) -> None:
            listen(done, of, f"user {unit.user}, {unit.method}" if unit else "")

        if options.engine == "ray":
            RayEngine.check(workspace)
        engine = RayEngine(options.workers) if options.engine == "ray" else LocalEngine()
        units = run(_plan(workspace, options), grid, options.out, engine, hear)
    return {"units": units, "out": str(options.out)}


@contextlib.contextmanager
def _bar(title: str, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on standard error with the time left, moved by calling it; nothing with `quiet`."""
    if quiet:
        yield lambda done, of, note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Units differ by a factor of a thousand: the estimate needs a long look back.
    bar = Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600.0)
    line = bar.add_task(title, total=None, note="")

    def move(done: int, of: int, note: str) -> None:
        # Only now: what cannot be run at all has its sentence alone.
        bar.start()
        bar.update(line, completed=done, total=of, note=clean(note))

    try:
        yield move
    finally:
        if bar.live.is_started:
            bar.stop()


def _measurements(options: argparse.Namespace) -> Any:
    from app.evaluation.measured import measure_run, read_measurements

    if options.out.is_file():
        return read_measurements(options.out)
    return measure_run(options.out, options.encoder, bert=not options.no_bertscore)


def _table(workspace: "Workspace", options: argparse.Namespace) -> Result:
    from app.evaluation.figures import draw_figure
    from app.evaluation.measured import write_measurements
    from app.evaluation.tables import Scores, tables

    found = _measurements(options)
    scores = Scores(found)
    shown = [table.markdown() for table in tables(scores)]
    drawn = bool(options.figure) and draw_figure(scores, options.figure)
    if options.scores:
        write_measurements(found, options.scores)
    told = {"figure": options.figure if drawn else None, "scores": options.scores}
    paths = {name: str(path) if path else None for name, path in told.items()}
    return {"tables": shown, **paths, "notes": [NOT_DRAWN] if options.figure and not drawn else []}


def _case(workspace: "Workspace", options: argparse.Namespace) -> Result:
    from app.evaluation.cases import case

    return {"tables": [table.markdown() for table in case(options.out, options.user)]}


def _survival(workspace: "Workspace", options: argparse.Namespace) -> Result:
    from app.evaluation.calibrating import survival

    return {"tables": [table.markdown() for table in survival(options.out)]}


def _download(workspace: "Workspace", options: argparse.Namespace) -> Result:
    from app.evaluation.downloading import download

    folder = options.to or workspace.data_dir / "lamp" / f"{options.task}-{options.split}"
    with _bar("Bytes", options.json) as listen:
        files = download(
            workspace, options.task, folder, options.split, lambda seen: listen(seen.done, seen.total, seen.name)
        )
    return {"files": [str(path) for path in files]}


ACTIONS: Mapping[str, Callable[["Workspace", argparse.Namespace], Result]] = {
    "run": _run,
    "table": _table,
    "survival": _survival,
    "case": _case,
    "download": _download,
}


def lamp(workspace: "Workspace", options: argparse.Namespace) -> Result:
    """Do what was asked; raises AppErrors."""
    return ACTIONS[options.action](workspace, options)


def show_lamp(result: Result) -> None:
    """Print what came of it, for people."""
    if "tables" in result:
        print("\n\n".join(clean(table) for table in result["tables"]))
        for name in ("figure", "scores"):
            if result.get(name):
                print(f"\n{name.capitalize()}: {result[name]}")
        for note in result.get("notes", ()):
            print(f"\n{note}")
    elif "files" in result:
        print("\n".join(result["files"]))
    else:
        units = result["units"]
        done = f"{counted(units, 'unit')} {verb(units, 'is', 'are')} done"
        print(f"{done}; `cdcda lamp table {result['out']}` shows what came of {verb(units, 'it', 'them')}.")
