"""`cdcda adapters`: the person's adapters seen, switched, named, deleted, taken out and brought back in."""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.cli.printing import say, table
from app.errors import BadInput
from app.wording import counted

if TYPE_CHECKING:
    from app.pipeline.workspace import Workspace

Result = Mapping[str, Any]
FORMS = ("peft", "gguf", "merged", "ollama")


def _id_or_none(text: str) -> int | None:
    if text == "none":
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected an adapter's id or none, got {text!r}")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got {text!r}")


def _add_actions(adapters: argparse.ArgumentParser) -> None:
    actions = adapters.add_subparsers(
        dest="action", metavar="show | compare | use | rename | note | delete | export | import"
    )
    # Given again, so that `--json` may stand at the end; SUPPRESS keeps what stood before.
    again = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    again.add_argument("--data-dir", metavar="DIR")
    again.add_argument("--json", action="store_true")

    def add(name: str, help: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, parents=[again], help=help)

    show = add("show", "what one learned from, down to the records")
    show.add_argument("id", metavar="ID", type=int)
    show.add_argument("--limit", type=_count, default=20, help="records to show (%(default)s)")
    show.add_argument("--offset", type=_count, default=0, help="records to leave out before (%(default)s)")
    compare = add("compare", "two side by side: settings, losses, scores, records")
    compare.add_argument("id", metavar="ID", type=int)
    compare.add_argument("other", metavar="OTHER", type=int)
    add("use", "switch one on, or all off").add_argument("id", metavar="ID|none", type=_id_or_none)
    for name, what, help in (("rename", "NAME", "give one another name"), ("note", "TEXT", "write something down")):
        action = add(name, help)
        action.add_argument("id", metavar="ID", type=int)
        action.add_argument("text", metavar=what)
    add("delete", "delete one with its files").add_argument("id", metavar="ID", type=int)
    export = add("export", "write one for other programs, or to bring it back in")
    export.add_argument("id", metavar="ID", type=int)
    export.add_argument(
        "--as",
        dest="form",
        choices=FORMS,
        default="peft",
        help="a PEFT folder, a GGUF adapter, the whole model as GGUF, or a folder with an Ollama Modelfile (peft)",
    )
    export.add_argument("--out", metavar="PATH", help="where to (the exports of the data folder)")
    bring = add("import", "bring a PEFT folder back in that `export` wrote")
    bring.add_argument("folder", metavar="FOLDER")
    bring.add_argument("--name", metavar="NAME", default="", help="what it is called from now on (the folder's name)")


def add_adapters(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    """What can be typed after `cdcda adapters`."""
    adapters = commands.add_parser("adapters", parents=common, help="see, switch, export and import adapters")
    adapters.add_argument("--use", type=_id_or_none, metavar="ID|none", default=argparse.SUPPRESS)
    _add_actions(adapters)


def _use(workspace: "Workspace", id: int | None) -> None:
    from app.pipeline import switching

    switching.switch(workspace, id)


def _act(workspace: "Workspace", options: argparse.Namespace) -> Result | None:
    """What there is to tell of an action; None: the list as it is now."""
    from app.pipeline import adapters, lineage

    if options.action == "show":
        return {"lineage": dataclasses.asdict(lineage.lineage(workspace, options.id, options.offset, options.limit))}
    if options.action == "compare":
        return {"compared": dataclasses.asdict(lineage.compare_runs(workspace, options.id, options.other))}

    if options.action == "export":
        return {"exported": dataclasses.asdict(adapters.export(workspace, options.id, options.form, options.out))}
    if options.action == "import":
        return {"imported": dataclasses.asdict(adapters.bring_in(workspace, options.folder, options.name))}
    if options.action == "delete":
        return {"deleted": dataclasses.asdict(adapters.delete(workspace, options.id))}
    if options.action == "rename":
        adapters.rename(workspace, options.id, options.text)
    elif options.action == "note":
        adapters.note(workspace, options.id, options.text)
    return None


def adapters(workspace: "Workspace", options: argparse.Namespace) -> Result:
    """`cdcda adapters`."""
    from app.pipeline import switching
    from app.pipeline.adapters import listing

    if "use" in options and options.action:
        raise BadInput("--use is for `cdcda adapters` alone; leave it out, or leave the word behind `adapters` out.")
    if "use" in options or options.action == "use":
        _use(workspace, options.use if "use" in options else options.id)
    elif options.action and (told := _act(workspace, options)):
        return told
    on = switching.find_active(workspace)
    found = [dataclasses.asdict(adapter) for adapter in listing(workspace)]
    return {"adapters": [told | {"active": on is not None and told["id"] == on.id} for told in found]}


def _show_list(adapters: list[Result]) -> None:
    rows = (
        (
            adapter["id"],
            adapter["name"],
            adapter["base"],
            "on" if adapter["active"] else "",
            "stale" if adapter["stale"] else "",
            adapter["manifest"].get("scores", {}).get("verdict", ""),
            adapter["created_at"][:16],
            adapter["note"],
        )
        for adapter in adapters
    )
    table("Adapters", ("id", "name", "base", "switched", "state", "verdict", "made", "note"), rows)


def _show_lineage(told: Result) -> None:
    adapter = told["adapter"]
    if not told["known"]:
        say(f"Adapter {adapter['id']}, {adapter['name']}, was imported; what it learned from was never here.")
        return
    say(
        f"Adapter {adapter['id']}, {adapter['name']}, learned from {counted(told['records'], 'record')}"
        f" and {counted(told['pairs'], 'pair')}; held out: {counted(told['held_out'], 'record')}."
        f" Forgotten since: {counted(told['forgotten_records'], 'record')}, {counted(told['forgotten_pairs'], 'pair')}."
    )
    rows: list[tuple[str, str]] = []
    for learned in told["learned"]:
        record = learned["record"]
        rows.append((f"record {learned['record_id']}", record["output"] if record else "(forgotten)"))
        rows += [(f"  pair {item['pair']['id']}", item["output"]) for item in learned["pairs"]]
    table("Learned from", ("what", "text"), rows)


def _count_of(number: int | None) -> str:
    return "unknown" if number is None else str(number)


def _in_words(run: Result) -> dict[str, str]:
    """What is told of one of two, by name."""
    scored = run["scored"]
    personal = scored["scores"]["personal"] if scored and "personal" in scored["scores"] else None
    spread = f" ({personal['low']:.2f} to {personal['high']:.2f})" if personal and personal["low"] is not None else ""
    return {
        "made": run["adapter"]["created_at"][:16],
        "records": _count_of(run["records"]),
        "pairs": _count_of(run["pairs"]),
        "held out": _count_of(run["held_out"]),
        "last loss": f"{run['losses'][-1][1]:.3f}" if run["losses"] else "",
        "held-out loss": f"{run['held_out_losses'][-1][1]:.3f}" if run["held_out_losses"] else "",
        "score": f"{scored['metric']} {personal['value']:.2f}{spread}" if personal else "",
        "verdict": run["verdict"],
        "records in this one alone": str(len(run["only_here"])),
    }


def _show_compared(told: Result) -> None:
    first, second = told["first"], told["second"]
    one, two = _in_words(first), _in_words(second)
    differing = ((name, str(a), str(b)) for name, (a, b) in told["differing"].items())
    names = (f"{run['adapter']['name']} ({run['adapter']['id']})" for run in (first, second))
    table("Two adapters", ("", *names), [*differing, *((name, one[name], two[name]) for name in one)])
    if told["in_both"] is not None:
        say(f"Both learned from {counted(told['in_both'], 'record')}.")


def show_adapters(result: Result) -> None:
    """The result for people."""
    if "lineage" in result:
        _show_lineage(result["lineage"])
    elif "compared" in result:
        _show_compared(result["compared"])
    elif "exported" in result:
        made = result["exported"]
        say(f"{made['path']}, {made['bytes'] / 1e6:,.1f} MB.")
    elif "imported" in result:
        made = result["imported"]
        say(f"Adapter {made['id']}, {made['name']}; switch it on with `cdcda adapters use {made['id']}`.")
    elif "deleted" in result:
        say(f"Adapter {result['deleted']['id']}, {result['deleted']['name']}, is deleted.")
    else:
        _show_list(result["adapters"])
