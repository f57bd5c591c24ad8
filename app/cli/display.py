"""Results for people, by rich, or as one JSON object."""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from app.cli import shown_history
from app.cli.adapters import show_adapters
from app.cli.curve import show_curve
from app.cli.estimate import show_estimate
from app.cli.lamp import show_lamp
from app.cli.printing import console as _console
from app.cli.printing import say as _say
from app.cli.printing import shorten as _short
from app.cli.printing import table as _table
from app.cli.reviewing import show_review
from app.pipeline.advancing import Advance
from app.pipeline.cleaning import clean
from app.wording import came_to_nothing, counted, verb

Result = Mapping[str, Any]


def _show_share(result: Result) -> None:
    for item in result.get("confirmed", ()):
        held = ", ".join(f"{kind} {_short(text, 60)!r}" for kind, text in item["found"])
        _say(f"Record {item['record']} is shared as it is, with what looks personal in it: {held}.")
    shared = f"{len(result['shared'])} of {counted(result['total'], 'record')} shared"
    _say(f"{shared}; `cdcda payload` shows what would be sent.")


def _show_payload(result: Result) -> None:
    _say(json.dumps(result["body"], indent=2, ensure_ascii=False))
    _say(
        f"{result['bytes']:,} bytes, {counted(len(result['body']['records']), 'record')} of the task {result['task']},"
        f" to {result['goes_to']}"
    )
    _say(f"Asks for {result['asked']}.", result["estimate"]["words"])
    if result["other_tasks"]:
        others = ", ".join(f"{count} {name}" for name, count in result["other_tasks"].items())
        _say(f"Shared as well, and not in this payload: {others}; name another task with --task.")
    _say(f"SHA-256 of the body: {result['sha256']}")
    _say(f"Send just this, and just there, with: cdcda augment --approve {result['approval']}")


def _show_augment(result: Result) -> None:
    if "adapter" in result:
        _show_train(result)
        return
    if not result["pairs"]:
        _say(
            f"No new pairs from {counted(result['records'], 'record')}; {came_to_nothing(result)}. Share more records,"
            " ask for more pairs with --k, or choose a stronger augmenter with `cdcda models use NAME --for cloud`."
        )
        return
    reasons = ", ".join(f"{count} for {name}" for name, count in result["rejected"].items())
    _say(
        f"{counted(result['pairs'], 'pair')} from {counted(result['records'], 'record')}, {result['kept']} kept;"
        f" rejected {reasons}; {came_to_nothing(result)}. See them with `cdcda review`."
    )


def _show_ledger(result: Result) -> None:
    rows = (
        (
            line["id"],
            line["sent_at"],
            line["destination"],
            len(line["record_ids"]),
            line["bytes"],
            line["sha256"][:12],
            line["outcome"],
            line["attempt"],
        )
        for line in result["uploads"]
    )
    _table("What left", ("line", "when", "where to", "records", "bytes", "sha256", "outcome", "attempt"), rows)
    broken = result["broken_line"]
    _say("The ledger is whole." if broken is None else f"Line {broken} is missing or was changed.")


def _show_network(result: Result) -> None:
    for way in result["ways_out"]:
        _say(f"{way['what']}: when {way['when']}, to {way['where']}.", f"    What goes: {way['goes']}.")
        _say(f"    With the offline switch: {way['offline']}.")
    _say("There is no other. The offline switch is " + ("on." if result["offline"] else "off."))


def _show_offline(result: Result) -> None:
    _say(
        "Offline: nothing leaves this computer."
        if result["offline"]
        else "Online: what you approve may leave this computer."
    )


def _loss(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _verdict_lines(result: Result) -> list[str]:
    """The verdict and the three scores it comes from, or why there is none."""
    scores = result["scores"]
    if not scores:
        return [result["unjudged"]] if result.get("unjudged") else []
    systems = (("model", "base"), ("with similar records", "retrieval"), ("adapter", "personal"))
    numbers = "; ".join(
        f"{title} {scores[name]['value']:.3f} ({scores[name]['low']:.3f} to {scores[name]['high']:.3f})"
        for title, name in systems
    )
    aim = "higher" if scores["higher_is_better"] else "lower"
    return [f"Verdict: {scores['verdict']}. {scores['words']}", f"{scores['metric']}, {aim} is better: {numbers}."]


def _show_rows(result: Result) -> None:
    for number, row in enumerate(result["rows"], 1):
        cut = ", cut to the longest that is learned" if row["cut"] else ""
        _say(
            f"--- Row {number}, {counted(row['tokens'], 'token')}{cut}. Given:",
            row["prompt"],
            "--- Learned:",
            row["completion"],
            "",
        )


def _cut_lines(result: Result) -> list[str]:
    """What was longer than is learned at once; a training of an earlier version does not say."""
    if not result.get("cut"):
        return []
    longer = f"{counted(result['cut'], 'example')} {verb(result['cut'], 'was', 'were')} longer"
    at_once = counted(result["max_tokens"], "token")
    return [f"{longer} than the {at_once} learned at once; the end of the input was left out."]


def _show_train(result: Result) -> None:
    if "rows" in result:
        _show_rows(result)
        return
    if "fit" in result:
        show_estimate(result)
        return
    why_off = "another model writes here" if result.get("helps") else "nothing shows that it is better"
    state = "is switched on" if result["activated"] else f"stays off, as {why_off}"
    _say(
        f"Adapter {result['adapter']} learned from {counted(result['examples'], 'example')}"
        + (f" on top of the base {result['task_base']}" if result["task_base"] else "")
        + f" in {result['seconds']:.0f} s and {state}.",
        f"Loss {_loss(result['final_loss'])}; held out: base {_loss(result['base_held_out_loss'])},"
        f" adapter {_loss(result['held_out_loss'])}; {result['tokens_per_second']:.0f} tokens/s,"
        f" at most {result['peak_memory_mb']:.0f} MB.",
        *_cut_lines(result),
        *_verdict_lines(result),
    )


def _show_jobs(result: Result) -> None:
    if "points" in result:
        show_curve(result)
        return
    if "jobs" not in result:
        _show_augment(result)
        return
    rows = ((job["id"], job["kind"], job["state"], job["created_at"], job["error"] or "") for job in result["jobs"])
    _table("Jobs", ("id", "kind", "state", "began", "error"), rows)


def _show_models(result: Result) -> None:
    if "models" not in result:
        _say(f"{result['name']}: {result['path']}" + (f" is used for the {result['for']}." if "for" in result else ""))
        return
    rows = []
    for row in result["models"]:
        entry = row["entry"] or {}
        size = f"{entry['bytes'] / 1e6:,.0f} MB" if entry.get("bytes") else ""
        uses = ", ".join(use for use in ("device", "cloud") if row[use])
        rows.append(
            (
                row["name"],
                entry.get("title", "your own"),
                size,
                entry.get("licence", ""),
                "here" if row["installed"] else "",
                uses,
            )
        )
    _table("Models", ("name", "model", "size", "licence", "installed", "used for"), rows)


def _score_words(row: Result) -> str:
    return ", ".join(f"{name} {one['untrained']:.2f} -> {one['trained']:.2f}" for name, one in row["scores"].items())


def _show_bases(result: Result) -> None:
    if "bases" not in result:
        _say("; ".join(f"{name}: {value}" for name, value in result.items() if value != []))
        return
    rows = (
        (
            row["name"],
            row["title"],
            row["task"],
            row["model"],
            f"{row['bytes'] / 1e6:.1f} MB",
            _score_words(row),
            row["licence"],
            ("comes along" if row["embedded"] else "here") if row["installed"] else "offered",
        )
        for row in result["bases"]
    )
    _table("Bases", ("name", "base", "task", "model", "size", "without -> with it", "licence", ""), rows)
    own = {task: choice for task, choice in result["choices"].items() if choice != "automatic"}
    _say(*(f"The task {task} uses: {choice}." for task, choice in own.items()))


def _show_doctor(result: Result) -> None:
    for finding in result["findings"]:
        _say(f"{'ok ' if finding['good'] else 'BAD'} {finding['name']}: {finding['detail']}")
        if not finding["good"] and finding["advice"]:
            _say(f"    {finding['advice']}")


def _shown_already(result: Result) -> None:
    """Said while it was done."""


SHOW: Mapping[str, Callable[[Result], None]] = {
    "import": shown_history.show_import,
    "records": shown_history.show_records,
    "add": shown_history.show_add,
    "edit": shown_history.show_edit,
    "delete": shown_history.show_delete,
    "undo": shown_history.show_undo,
    "tasks": shown_history.show_tasks,
    "forget": shown_history.show_forget,
    "export": shown_history.show_archive,
    "restore": shown_history.show_archive,
    "share": _show_share,
    "payload": _show_payload,
    "augment": _show_augment,
    "ledger": _show_ledger,
    "network": _show_network,
    "offline": _show_offline,
    "review": show_review,
    "train": _show_train,
    "adapters": show_adapters,
    "jobs": _show_jobs,
    "generate": _shown_already,
    "compare": _shown_already,
    "models": _show_models,
    "bases": _show_bases,
    "lamp": show_lamp,
    "curve": show_curve,
    "doctor": _show_doctor,
    "serve": _shown_already,
}


def show(options: argparse.Namespace, result: Result) -> None:
    """Print a command's result."""
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
        return
    SHOW[options.command](result)


def _writer_line(draft: Any) -> str:
    adapter = f"adapter {draft.adapter_id} ({draft.adapter_name})" if draft.adapter_id else "no adapter"
    base = f"base {draft.base_name}, " if draft.base_name else ""
    records = f"{draft.records} of your records in the prompt, " if draft.records else ""
    left_out = f", no room for {draft.left_out}" if draft.left_out else ""
    speed = f"{counted(draft.tokens, 'token')} in {draft.seconds:.1f} s"
    return f"[{draft.model}, {base}{adapter}, {records}{speed}{left_out}]"


def show_draft(drafts: Iterable[Any], quiet: bool) -> Any:
    """Print an answer as it grows; the last draft."""
    shown, last = "", None
    for last in drafts:
        if not quiet and last.generation is None:
            print(clean(last.text[len(shown) :]), end="", flush=True)
            shown = last.text
    if not quiet:
        print()
        print(_writer_line(last), file=sys.stderr)
    return last


def _panels(drafts: Any) -> Any:
    from rich.columns import Columns
    from rich.panel import Panel
    from rich.text import Text

    pair = (("before", drafts.before), ("after", drafts.after))
    panels = [
        Panel(Text(clean(draft.text)), title=title, subtitle=_writer_line(draft)[1:-1], width=56)
        for title, draft in pair
    ]
    return Columns(panels)


def show_comparison(drafts: Iterable[Any], quiet: bool) -> Any:
    """Print two answers side by side as they grow; the last drafts."""
    last = None
    if quiet:
        *_, last = drafts
        return last
    from rich.live import Live

    with Live(console=_console(), refresh_per_second=8) as live:
        for last in drafts:
            live.update(_panels(last))
    return last


@contextlib.contextmanager
def import_bar(quiet: bool) -> Iterator[Callable[[Advance], None]]:
    """A bar for an import, to be told how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("Importing"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        line = bar.add_task("", total=1.0)
        yield lambda advance: bar.update(line, completed=advance.share, description=advance.words)


def show_pull(pull: Callable[[Callable[[Any], None]], Any], name: str, quiet: bool) -> Any:
    """Run a download with a bar, the licence first; the model."""
    from app.device.catalogue import find_entry

    entry = find_entry(name)
    print(f"{entry.title}: licence {entry.licence}, {entry.licence_url}", file=sys.stderr)
    return _show_download(pull, name, entry.bytes, quiet)


def show_base_pull(pull: Callable[[Callable[[Any], None]], Any], name: str, quiet: bool) -> Any:
    """Run the fetch of a base with a bar; the base."""
    return _show_download(pull, name, None, quiet)


def _show_download(pull: Callable[[Callable[[Any], None]], Any], name: str, total: int | None, quiet: bool) -> Any:
    if quiet:
        return pull(lambda progress: None)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task(name, total=total)

        def listen(progress: Any) -> None:
            bar.update(line, total=progress.total or None, completed=progress.done, description=progress.note or name)

        return pull(listen)
