"""`cdcda review`: see synthetic pairs and say which are learned from, one by one or all that have a score."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.cli.printing import say, shorten
from app.errors import BadInput
from app.wording import counted

if TYPE_CHECKING:
    from app.pipeline.review import ReviewedPair
    from app.pipeline.workspace import Workspace
    from personal_store.nouns import DecisionKind

Result = Mapping[str, Any]


def _set_thresholds(workspace: "Workspace", options: argparse.Namespace) -> None:
    from app.pipeline import judging

    named = {name: getattr(options, name) for name in ("entailment", "rouge_l", "shortest", "longest")}
    given = {name: value for name, value in named.items() if value is not None}
    if given:
        judging.save_thresholds(workspace, dataclasses.replace(judging.load_thresholds(workspace), **given))


def _check(options: argparse.Namespace) -> None:
    """Options that belong together."""
    bounds = (options.at_least is not None) + (options.at_most is not None)
    if (options.output or options.input) and options.edit is None:
        raise BadInput("--output and --input are the new texts of --edit ID; name the pair with --edit.")
    if bounds != (options.score is not None):
        raise BadInput(
            "--score takes one bound, and a bound needs a score; give --score NAME --at-least X, for example."
        )
    if options.score and (options.edit is not None or options.undo):
        raise BadInput("--score chooses pairs to list, accept or reject; leave it out with --edit and --undo.")
    for name, ids in (("accept", options.accept), ("reject", options.reject)):
        if ids is not None and bool(ids) == bool(options.score):
            raise BadInput(f"--{name} takes the ids of pairs, or a score with a bound; give one of them.")


def _found(workspace: "Workspace", options: argparse.Namespace) -> "tuple[ReviewedPair, ...]":
    """All pairs, or those that have the score."""
    from app.pipeline import review

    items = review.reviewed_pairs(workspace)
    if not options.score:
        return items
    if options.at_least is not None:
        return review.by_score(items, options.score, "at least", options.at_least)
    return review.by_score(items, options.score, "at most", options.at_most)


def _decide(workspace: "Workspace", options: argparse.Namespace, kind: "DecisionKind", ids: Sequence[int]) -> Result:
    """Accept or reject the named pairs, or in one step those with the score to which that brings something new."""
    from app.pipeline import review

    if options.score:
        ids = [item.pair.id for item in review.undecided_as(_found(workspace, options), kind)]
    (review.accept if kind == "accepted" else review.reject)(workspace, ids)
    return {kind: list(ids)}


def _listed_pair(item: "ReviewedPair") -> Result:
    return {
        "id": item.pair.id,
        "record": item.record.id,
        "number": item.pair.number,
        "input": item.input,
        "output": item.output,
        "scores": dataclasses.asdict(item.pair.scores),
        "verdict": {"kept": item.verdict.kept, "reasons": dict(item.verdict.reasons)},
        "decision": item.decision.kind if item.decision else None,
        "kept": item.kept,
        "model": item.pair.model,
    }


def _listed(workspace: "Workspace", options: argparse.Namespace) -> Result:
    from app.pipeline import judging

    pairs = [_listed_pair(item) for item in _found(workspace, options)]
    return {"pairs": pairs, "thresholds": dataclasses.asdict(judging.load_thresholds(workspace))}


def _undo(workspace: "Workspace") -> Result:
    from app.pipeline import review

    back = review.take_back(workspace)
    if back.thresholds is not None:
        return {"undone": [], "kind": "thresholds", "thresholds": dataclasses.asdict(back.thresholds)}
    undone = back.decisions
    return {"undone": [decision.pair_id for decision in undone], "kind": undone[0].kind if undone else None}


def reviewing(workspace: "Workspace", options: argparse.Namespace) -> Result:
    """See, accept, edit or reject pairs; raises BadInput and NotFound."""
    from app.pipeline import review

    _check(options)
    _set_thresholds(workspace, options)
    if options.accept is not None:
        return _decide(workspace, options, "accepted", options.accept)
    if options.reject is not None:
        return _decide(workspace, options, "rejected", options.reject)
    if options.edit is not None:
        review.edit(workspace, options.edit, input=options.input, output=options.output)
        return {"edited": options.edit}
    return _undo(workspace) if options.undo else _listed(workspace, options)


def _show_pair(pair: Result) -> None:
    """A pair as a block of lines: a table of long texts is unreadable in a narrow terminal."""
    why = pair["decision"] or "; ".join(filter(None, pair["verdict"]["reasons"].values()))
    scores = ", ".join(f"{name} {value:.2f}" for name, value in pair["scores"].items())
    say(
        f"pair {pair['id']} of record {pair['record']}: {'kept' if pair['kept'] else 'rejected'}"
        + (f" ({why})" if why else ""),
        f"    {scores}",
        f"    input   {shorten(pair['input'], 400)}",
        f"    output  {shorten(pair['output'], 400)}",
        "",
    )


def show_review(result: Result) -> None:
    """The pairs, or what was done with them."""
    if "pairs" not in result:
        # Thousands of ids, where a score chose them.
        say("; ".join(f"{name}: {shorten(str(value))}" for name, value in result.items()))
        for kind in result.keys() & {"accepted", "rejected"}:
            say(f"{len(result[kind])} in one step; `cdcda review --undo` takes it back.")
        return
    kept = sum(pair["kept"] for pair in result["pairs"])
    for pair in result["pairs"]:
        _show_pair(pair)
    say(f"{kept} of {counted(len(result['pairs']), 'pair')} kept.")
