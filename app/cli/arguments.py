"""What can be typed after `cdcda`."""

import argparse
import re
from collections.abc import Sequence

from app.cli.adapters import add_adapters
from app.cli.curve import add_curve
from app.cli.lamp import add_lamp
from app.cli.printing import shorten
from app.cli.serving import add_serve
from app.device.presets import DEFAULT, PRESETS
from app.errors import BadInput
from app.tasks import TASKS

STRATEGIES = ("random", "newest", "representative", "careful")
TASK_NAMES = ", ".join(task.name for task in TASKS)
FILES = ("data_dir", "file", "folder", "save", "export", "report", "out")
"""Options that name files and folders, whose names may be of any bytes."""
MOST_DIGITS = 18
"""Of a number: the store has 64 bits for one."""
NO_TEXT = re.compile("[\ud800-\udfff]")
"""What Python makes of typed bytes that are no text: halves of surrogate pairs, which no store and no model takes."""


def _ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace(" ", "").split(",") if part]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ids like 3,7, got {text!r}") from None


def _prices(text: str) -> tuple[float, float]:
    try:
        read, written = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected two prices like 0.15,0.60, got {text!r}") from None
    return read, written


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _adapter(text: str) -> int | str:
    if text in ("latest", "none", "active"):
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected latest, none, active or an adapter's id, got {text!r}")


def _common() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("everywhere")
    group.add_argument("--data-dir", metavar="DIR", help="where your data lies (CDCDA_DATA_DIR, else ~/.cdcda)")
    group.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def _cloud() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("the augmentation service (one of its own on this computer unless named)")
    group.add_argument("--cloud-url", metavar="URL", help="its address (CDCDA_CLOUD_URL)")
    group.add_argument("--cloud-token", metavar="TOKEN", help="its token; better in CDCDA_CLOUD_TOKEN")
    return parser


def _request() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("what is asked for; the same for `payload` and `augment`")
    group.add_argument("--k", type=_positive, default=5, help="pairs for each record, 1 to 20 (5)")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--task", metavar="NAME", help=f"{TASK_NAMES}, or a LaMP name (the one shared most)")
    group.add_argument("--prompt", choices=("auto", "paper", "rewrite", "sentences"), default="auto")
    return parser


def _writing() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("text", metavar="TEXT", help="what to write from; - reads it from standard input")
    parser.add_argument("--task", metavar="NAME", default="chat", help=f"{TASK_NAMES}, or a LaMP name (chat)")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--max-tokens", type=_positive, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--retrieve", type=_count, default=0, metavar="N", help="put your N most similar records into the prompt (0)"
    )
    return parser


def _add_editing(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    add = commands.add_parser("add", parents=common, help="add a record by hand")
    add.add_argument("--task", metavar="NAME", default="chat", help=f"{TASK_NAMES}, or one of your own (chat)")
    add.add_argument("--input", metavar="TEXT", required=True)
    add.add_argument("--output", metavar="TEXT", required=True)
    add.add_argument("--date", metavar="DATE", help="when you wrote it")
    edit = commands.add_parser("edit", parents=common, help="change a record's texts, or the task of several")
    edit.add_argument("ids", metavar="IDS", type=_ids)
    edit.add_argument("--task", metavar="NAME")
    edit.add_argument("--input", metavar="TEXT")
    edit.add_argument("--output", metavar="TEXT")
    delete = commands.add_parser("delete", parents=common, help="delete records; `undo` brings them back")
    delete.add_argument("ids", metavar="IDS", type=_ids)
    commands.add_parser("undo", parents=common, help="take the last add, edit or delete back")
    tasks = commands.add_parser("tasks", parents=common, help="see and make tasks")
    what = tasks.add_mutually_exclusive_group()
    what.add_argument("--make", metavar="NAME", help="make or change a task of your own, with --template")
    what.add_argument("--delete", metavar="NAME")
    tasks.add_argument("--template", metavar="TEXT", help="the prompt, with {input} where a record's input goes")
    tasks.add_argument("--title", metavar="TEXT", default="")
    tasks.add_argument("--answer", choices=("text", "label", "rating"), default="text")
    tasks.add_argument("--labels", metavar="A,B", default="", help="the answers there are, for --answer label")
    tasks.add_argument("--metric", choices=("rouge", "accuracy", "mae"), help="how an answer is judged (by its kind)")


def _add_history(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    bring = commands.add_parser("import", parents=common, help="bring a history in")
    bring.add_argument(
        "file",
        metavar="FILE",
        help="CSV, TSV, JSON, JSON Lines, a LaMP question file, a note, a folder of them, or - for pasted text",
    )
    bring.add_argument("--task", metavar="NAME", help=f"{TASK_NAMES}, or a LaMP name (guessed)")
    bring.add_argument("--input", metavar="COLUMN", help="what the answer is written from (guessed)")
    bring.add_argument("--output", metavar="COLUMN", help="what you wrote (guessed)")
    bring.add_argument("--date", metavar="COLUMN", help="when you wrote it (guessed)")
    bring.add_argument("--user", metavar="NAME", help="whose profile of a LaMP file")
    bring.add_argument("--preview", action="store_true", help="only show what would be imported")
    bring.add_argument("--keep-near", action="store_true", help="import near duplicates too")
    bring.add_argument("--report", metavar="FILE", help="write the rows that were not imported, with reasons, as CSV")
    look = commands.add_parser("records", parents=common, help="see and search your history")
    look.add_argument("search", metavar="WORDS", nargs="?", default="", help="words to find")
    look.add_argument("--task", metavar="NAME")
    look.add_argument("--shared", action="store_true", help="only what is shared")
    look.add_argument("--sensitive", action="store_true", help="only those in which something personal was found")
    look.add_argument("--order", choices=("newest", "oldest", "imported"), default="newest")
    look.add_argument("--limit", type=_positive, default=20)
    look.add_argument("--offset", type=int, default=0)
    _add_editing(commands, common)
    forget = commands.add_parser("forget", parents=common, help="delete without a trace, with everything made from it")
    which = forget.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", metavar="IDS", type=_ids, nargs="?", help="records, like 3,7")
    which.add_argument("--deleted", action="store_true", help="what `delete` and `edit` left behind for undoing")
    which.add_argument("--everything", action="store_true", help="all your data; fetched models stay")
    forget.add_argument("--yes", action="store_true", help="needed for --everything")
    forget.add_argument("--train", action="store_true", help="train again without it, where an adapter learned from it")
    export = commands.add_parser("export", parents=common, help="everything of yours as one archive")
    export.add_argument("file", metavar="FILE")
    restore = commands.add_parser("restore", parents=common, help="bring an archive back into an empty data folder")
    restore.add_argument("file", metavar="FILE")


def _add_sharing(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    share = commands.add_parser("share", parents=common, help="choose what may be sent to the service")
    share.add_argument("--strategy", choices=STRATEGIES, default="random")
    share.add_argument("--seed", type=int, default=0)
    which = share.add_mutually_exclusive_group()
    which.add_argument("--ratio", type=float, help="share of your records, 0 to 1; what you set by hand stays")
    which.add_argument("--ids", type=_ids, metavar="IDS", help="share these by hand, like 3,7")
    which.add_argument("--unshare", type=_ids, metavar="IDS", help="keep these at home by hand")
    which.add_argument("--none", action="store_true", help="share nothing")
    consent = share.add_mutually_exclusive_group()
    consent.add_argument("--confirm", action="store_true", help="with --ids: although something personal was found")
    consent.add_argument("--redacted", action="store_true", help="with --ids: with placeholders for what was found")
    payload = commands.add_parser(
        "payload", parents=[*common, _cloud(), _request()], help="see exactly what would be sent"
    )
    payload.add_argument("--save", metavar="FILE", help="write the exact bytes")
    payload.add_argument("--prices", type=_prices, metavar="READ,WRITTEN", help="of a million tokens; kept")
    augment = commands.add_parser(
        "augment", parents=[*common, _cloud(), _request()], help="send it and get synthetic pairs"
    )
    augment.add_argument(
        "--approve", metavar="HASH", required=True, help="of the bytes and where they go, as `cdcda payload` showed it"
    )
    ledger = commands.add_parser("ledger", parents=common, help="everything that ever left")
    ledger.add_argument("--export", metavar="FILE", help="write it as JSON Lines, hashes included")
    commands.add_parser("network", parents=common, help="everything that ever uses the network")
    offline = commands.add_parser("offline", parents=common, help="close or open every way out of this computer")
    offline.add_argument("switch", choices=("on", "off"), nargs="?")


def _add_review(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    review = commands.add_parser("review", parents=common, help="see, accept, edit and reject synthetic pairs")
    what = review.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show every pair, its scores and its verdict (default)")
    what.add_argument("--accept", type=_ids, metavar="IDS", nargs="?", const=[], help="pairs like 3,7, or with --score")
    what.add_argument("--reject", type=_ids, metavar="IDS", nargs="?", const=[], help="the same")
    what.add_argument("--edit", type=int, metavar="ID", help="with --output or --input")
    what.add_argument("--undo", action="store_true", help="take your last decision, or change of the thresholds, back")
    review.add_argument("--output", metavar="TEXT")
    review.add_argument("--input", metavar="TEXT")
    chosen = review.add_argument_group("pairs by a score, to list, or to accept or reject in one step")
    chosen.add_argument("--score", metavar="NAME", help="entailment (the weaker way), rouge_l or length_ratio")
    bound = chosen.add_mutually_exclusive_group()
    bound.add_argument("--at-least", type=float, metavar="X")
    bound.add_argument("--at-most", type=float, metavar="X")
    limits = review.add_argument_group("thresholds, kept for the next time")
    limits.add_argument("--entailment", type=float, metavar="X", help="least entailment both ways, 0 to 1")
    limits.add_argument("--rouge-l", type=float, metavar="X", help="greatest ROUGE-L, 0 to 1")
    limits.add_argument("--shortest", type=float, metavar="X", help="least length ratio")
    limits.add_argument("--longest", type=float, metavar="X", help="greatest length ratio")


def _add_training(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    train = commands.add_parser("train", parents=common, help="fine-tune an adapter on your records and the kept pairs")
    train.add_argument("--task", metavar="NAME", help="the task to learn (the one with most records)")
    train.add_argument(
        "--preset",
        choices=list(PRESETS),
        default=DEFAULT,
        help=" ".join(f"{preset.name}: {preset.explained}" for preset in PRESETS.values()) + " (%(default)s)",
    )
    train.add_argument(
        "--show-rows", type=_positive, metavar="N", help="only show the first rows as they would be learned"
    )
    train.add_argument("--estimate", action="store_true", help="only say what memory and time it would take")
    train.add_argument("--probe", action="store_true", help="the same, after a few real steps that measure the time")
    train.add_argument("--epochs", type=_positive, help="(the preset's)")
    train.add_argument("--rank", type=_positive, help="(the preset's)")
    train.add_argument("--alpha", type=_positive, help="(the preset's)")
    train.add_argument(
        "--micro-tokens", type=_positive, metavar="N", help="tokens in the network at once: fewer take less memory"
    )
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--model", metavar="NAME_OR_PATH", help="the model to adapt (your device model)")
    train.add_argument(
        "--base", metavar="NAME|automatic|none", help="base to train on top of (your choice for the task)"
    )
    train.add_argument("--resume", action="store_true", help="go on with the newest unfinished training")
    add_adapters(commands, common)
    jobs = commands.add_parser("jobs", parents=common, help="see, stop and resume long work")
    which = jobs.add_mutually_exclusive_group()
    which.add_argument("--stop", type=int, metavar="ID", help="what it made is kept, and it can be resumed")
    which.add_argument(
        "--keep", type=int, metavar="ID", help="end a training after its next step, with the best adapter so far"
    )
    which.add_argument("--resume", type=int, metavar="ID")
    jobs.add_argument("--cloud-url", metavar="URL", help=argparse.SUPPRESS)
    jobs.add_argument("--cloud-token", metavar="TOKEN", help=argparse.SUPPRESS)


def _add_models(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    models = commands.add_parser("models", parents=common, help="see, fetch and choose models")
    actions = models.add_subparsers(dest="action", metavar="list | pull NAME | use NAME")
    # Given again below, so that `--json` may stand at the end; SUPPRESS keeps what stood before.
    again = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    again.add_argument("--data-dir", metavar="DIR")
    again.add_argument("--json", action="store_true")
    actions.add_parser("list", parents=[again], help="the catalogue and what is here")
    pull = actions.add_parser("pull", parents=[again], help="fetch a model of the catalogue")
    pull.add_argument("name", metavar="NAME")
    use = actions.add_parser("use", parents=[again], help="choose the model that learns, or the one of the service")
    use.add_argument("name", metavar="NAME_OR_PATH")
    use.add_argument("--for", dest="purpose", choices=("device", "cloud"), default="device")


def _add_bases(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: list[argparse.ArgumentParser]
) -> None:
    bases = commands.add_parser(
        "bases",
        parents=[*common, _cloud()],
        help="what models already learned of a task from other people's public data",
    )
    bases.set_defaults(action="list")
    actions = bases.add_subparsers(dest="action", metavar="list | pull NAME | remove NAME | use NAME")
    again = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for flag in ("--data-dir", "--cloud-url", "--cloud-token"):
        again.add_argument(flag)
    again.add_argument("--json", action="store_true")
    actions.add_parser("list", parents=[again], help="those that are here, and those of the service that is named")
    for name, help in (("pull", "fetch one from the service that is named"), ("remove", "delete a fetched one")):
        actions.add_parser(name, parents=[again], help=help).add_argument("name", metavar="NAME")
    use = actions.add_parser("use", parents=[again], help="choose the one that a task is learned and written on")
    use.add_argument("name", metavar="NAME|automatic|none")
    use.add_argument("--task", metavar="NAME", required=True, help=f"{TASK_NAMES}, or a LaMP name")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="cdcda", description="A small language model on your own computer learns to write the way you do."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = [_common()]
    _add_history(commands, common)
    _add_sharing(commands, common)
    _add_review(commands, common)
    _add_training(commands, common)
    for name, help in (("generate", "write, with your adapter"), ("compare", "write without and with your adapter")):
        writing = commands.add_parser(name, parents=[*common, _writing()], help=help)
        writing.add_argument("--adapter", type=_adapter, default="active", metavar="latest|none|ID")
    _add_models(commands, common)
    _add_bases(commands, common)
    add_serve(commands, common)
    add_curve(commands, common)
    add_lamp(commands, common)
    commands.add_parser("doctor", parents=common, help="examine this computer")
    return parser


def _check(value: object) -> None:
    """Raise BadInput for what cannot be stored: bytes that are no text, and numbers that are too large."""
    if isinstance(value, list | tuple):
        for part in value:
            _check(part)
    if isinstance(value, str) and NO_TEXT.search(value):
        raise BadInput(
            f"Some bytes of {shorten(value, 60)!r} are not UTF-8; have the terminal use UTF-8 and try again."
        )
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        raise BadInput(f"A number has at most {MOST_DIGITS} digits, got {shorten(str(value), 40)}; correct it.")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options typed; wrong ones exit with 2 and a usage line. Raises BadInput for what no store takes."""
    options = build_parser().parse_args(arguments)
    for name, value in vars(options).items():
        if name not in FILES:
            _check(value)
    return options
