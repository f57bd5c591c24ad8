"""Whether a synthetic pair is kept: the source's three filters, applied on the device to the scores that came along,
and a fourth of our own for what would leak or harm.

A verdict is derived from scores and thresholds each time and never stored, so a moved slider judges anew at once.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from app.errors import BadInput
from app.pipeline.safety import added
from app.pipeline.workspace import Workspace
from personal_store import preferences
from personal_store.nouns import NewPair, Pair, Record, Scores
from personal_store.store import Store, now

Filter = Literal["consistency", "diversity", "length", "safety"]
FILTERS: tuple[Filter, ...] = ("consistency", "diversity", "length", "safety")
PREFERENCE = "thresholds"
BEFORE = "thresholds before"
"""The preference that holds what the thresholds were, step by step, with the moment of each change."""
MOST_BEFORE = 50
SETTLING = datetime.timedelta(seconds=5)
"""Changes of one threshold that follow each other faster are one step: a slider tells of each place on its way."""


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What a pair must reach; the source names the filters and prints no figures."""

    entailment: float = 0.7
    """e_scf: least P(x entails x_syn) and least P(x_syn entails x), 0 to 1."""
    rouge_l: float = 0.8
    """e_tdf: greatest ROUGE-L of x and x_syn, 0 to 1."""
    shortest: float = 0.5
    """e_min: least len(x_syn) / len(x)."""
    longest: float = 2.0
    """e_max: greatest len(x_syn) / len(x)."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Kept or not under some thresholds; a filter that the pair passed has no reason."""

    kept: bool
    reasons: Mapping[Filter, str | None]


@dataclasses.dataclass(frozen=True)
class Counts:
    """What the filters did to some pairs; a pair that fails several filters counts in each."""

    pairs: int
    kept: int
    rejected: Mapping[Filter, int]


def _consistency(scores: Scores, thresholds: Thresholds) -> str | None:
    least = min(scores.entails, scores.entailed)
    if least >= thresholds.entailment:
        return None
    if scores.entails <= scores.entailed:
        return (
            f"another meaning: the original implies it with {scores.entails:.2f}, less than {thresholds.entailment:.2f}"
        )
    return f"another meaning: it implies the original with {scores.entailed:.2f}, less than {thresholds.entailment:.2f}"


def _diversity(scores: Scores, thresholds: Thresholds) -> str | None:
    if scores.rouge_l <= thresholds.rouge_l:
        return None
    return f"too alike: ROUGE-L {scores.rouge_l:.2f}, more than {thresholds.rouge_l:.2f}"


def _length(scores: Scores, thresholds: Thresholds) -> str | None:
    if scores.length_ratio < thresholds.shortest:
        return f"too short: {scores.length_ratio:.2f} times the original, less than {thresholds.shortest:.2f}"
    if scores.length_ratio > thresholds.longest:
        return f"too long: {scores.length_ratio:.2f} times the original, more than {thresholds.longest:.2f}"
    return None


def _safety(found: Sequence[str]) -> str | None:
    return f"it holds what your record does not: {', '.join(found)}" if found else None


def judge(scores: Scores, thresholds: Thresholds, found: Sequence[str] = ()) -> Verdict:
    """The verdict of the three filters (the source's equations for S_scf, S_tdf and S_lcf), and of the safety check.

    `found` is what `safety.added` says of the pair's texts; the source has no such check.
    """
    reasons: dict[Filter, str | None] = {
        "consistency": _consistency(scores, thresholds),
        "diversity": _diversity(scores, thresholds),
        "length": _length(scores, thresholds),
        "safety": _safety(found),
    }
    return Verdict(kept=not any(reasons.values()), reasons=reasons)


def judge_pair(pair: Pair | NewPair, record: Record, thresholds: Thresholds) -> Verdict:
    """The verdict on a pair that was written from that record."""
    return judge(pair.scores, thresholds, added((pair.input, pair.output), (record.input, record.output)))


def count(verdicts: Iterable[Verdict]) -> Counts:
    """How many pairs were kept, and how many each filter rejected."""
    listed = tuple(verdicts)
    rejected = {name: sum(verdict.reasons[name] is not None for verdict in listed) for name in FILTERS}
    return Counts(len(listed), sum(verdict.kept for verdict in listed), rejected)


def _load(store: Store) -> Thresholds:
    return Thresholds(**preferences.get(store, PREFERENCE, dataclasses.asdict(Thresholds())))


def load_thresholds(workspace: Workspace) -> Thresholds:
    """The person's thresholds, the same for the page and the command line."""
    with workspace.store() as store:
        return _load(store)


def _steps(store: Store) -> list[dict[str, Any]]:
    """What the thresholds were before each of the last changes, the latest one last."""
    found: list[dict[str, Any]] = preferences.get(store, BEFORE, [])
    return found


def _changed(before: Thresholds, after: Thresholds) -> list[str]:
    """Which of them differ."""
    return [
        field.name for field in dataclasses.fields(before) if getattr(before, field.name) != getattr(after, field.name)
    ]


def _is_same_step(step: Mapping[str, Any], moment: str, present: Thresholds, wanted: Thresholds) -> bool:
    """Whether the last change was of the same threshold, and just now."""
    passed = datetime.datetime.fromisoformat(moment) - datetime.datetime.fromisoformat(step["at"])
    return passed < SETTLING and _changed(Thresholds(**step["thresholds"]), present) == _changed(present, wanted)


def _remember(store: Store, present: Thresholds, wanted: Thresholds) -> None:
    """Put what the thresholds are down as what they were, unless one is being moved just now."""
    steps, moment = _steps(store), now()
    if steps and _is_same_step(steps[-1], moment, present, wanted):
        steps[-1]["at"] = moment
    else:
        steps.append({"at": moment, "thresholds": dataclasses.asdict(present)})
    preferences.put(store, BEFORE, steps[-MOST_BEFORE:])


def moved_at(workspace: Workspace) -> str:
    """When the thresholds were changed last, in ISO 8601; empty where no change is left to take back."""
    with workspace.store() as store:
        steps = _steps(store)
    return str(steps[-1]["at"]) if steps else ""


def take_thresholds_back(workspace: Workspace) -> Thresholds | None:
    """Put the thresholds back where they were before the last change; None where there is none left."""
    with workspace.store() as store, store.change():
        if not (steps := _steps(store)):
            return None
        *earlier, last = steps
        preferences.put(store, PREFERENCE, last["thresholds"])
        preferences.put(store, BEFORE, earlier)
    return Thresholds(**last["thresholds"])


def save_thresholds(workspace: Workspace, thresholds: Thresholds) -> None:
    """Keep these thresholds; raises BadInput when no pair could ever pass them."""
    if not (0 <= thresholds.entailment <= 1 and 0 <= thresholds.rouge_l <= 1):
        raise BadInput("Entailment and ROUGE-L thresholds lie between 0 and 1; choose values in that range.")
    if not 0 <= thresholds.shortest <= thresholds.longest:
        raise BadInput(
            "The shortest length ratio must be 0 or more and no larger than the longest; change one of them."
        )
    with workspace.store() as store, store.change():
        present = _load(store)
        if present != thresholds:
            _remember(store, present, thresholds)
            preferences.put(store, PREFERENCE, dataclasses.asdict(thresholds))
