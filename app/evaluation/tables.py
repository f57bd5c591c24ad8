"""The source's tables from stored results, as Markdown, every score with its interval.

Table 1 has every method, Table 2 the ablations, Table 3 the share ratios; two more have what Figure 2 draws, score
against k, and what the filters kept.
Scores are over all questions together, whatever the number of seeds: a user's seeds are averaged. Intervals are paired
bootstraps over users. A table compares on the users who have a result in each of its rows, and says so where some are
missing; where there is no such user, a sentence stands in its place. Knows no model but BERTScore's encoder.
"""

import collections
import dataclasses
import functools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from app.evaluation import bootstrap
from app.evaluation.measured import Measured, Measurements
from app.evaluation.methods import METHODS
from app.evaluation.metrics import Metric, bert_score, metrics_of
from app.tasks import find_task
from app.wording import counted, verb

MAIN = ("cdcda", "cdcda-neutral")
"""CDCDA-PLM, and what stands for it in a run of neutral rewrites alone."""
ABLATIONS = ("cdcda", "cdcda-rs", "cdcda-nods", "direct")
USUAL_K = 5
NOBODY = (
    "Left out: no user has a result in each of its rows, so these cannot be compared; run `cdcda lamp run` for the same"
    " users with every method and setting."
)

Value = TypeVar("Value", int, float)
Setting = tuple[str, float | None, int | None]
"""Method, share ratio and k; None where the method does not depend on it."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table to print."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The table as Markdown, notes below it; the notes alone where it has no rows."""
        lines = [_line(self.columns), _line(["---"] * len(self.columns)), *map(_line, self.rows)] if self.rows else []
        return "\n\n".join("\n".join(part) for part in ([f"**{self.title}**"], lines, self.notes) if part)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def setting_of(unit: Mapping[str, Any]) -> Setting:
    """The setting of a stored unit."""
    return unit["method"], unit["share"], unit["k"]


def _measured_already(answers: Sequence[str], golds: Sequence[str]) -> Sequence[float]:
    raise ValueError("scores that were measured already have no texts to measure")


def _in_words(seeds: Mapping[int, int]) -> str:
    return ", ".join(f"{seed} ({counted(users, 'user')})" for seed, users in sorted(seeds.items()))


def _told_of_intervals(users: int) -> str:
    if users < 2:
        return "Without intervals: these are drawn from users, and one user is no sample of them."
    return f"In brackets: 95 % intervals, paired bootstrap over users, {bootstrap.DRAWS} draws."


class Scores:
    """What a run came to, by setting and user."""

    def __init__(self, found: Measurements) -> None:
        self.plan, self.units, self.outdated = found.plan, found.units, found.outdated
        self.task = find_task(found.plan.task)
        bert = bert_score(found.encoder, _measured_already) if found.encoder else None
        self.metrics: tuple[Metric, ...] = metrics_of(self.task, found.people["labels"], bert)

    @functools.cached_property
    def by_setting(self) -> dict[Setting, dict[str, list[Measured]]]:
        """Results by setting and user, one a seed."""
        found: dict[Setting, dict[str, list[Measured]]] = {}
        for measured in self.units:
            found.setdefault(setting_of(measured.unit), {}).setdefault(measured.unit["user"], []).append(measured)
        return found

    @functools.cached_property
    def main(self) -> str | None:
        """The method that the others are compared with; None where it was not run."""
        run = {setting[0] for setting in self.by_setting}
        return next((method for method in MAIN if method in run), None)

    def _of_main(self, named: Iterable[tuple[str, Value | None]]) -> list[Value]:
        """The values of CDCDA-PLM; those of every method where it has none, not having been run."""
        there = [(method, value) for method, value in named if value is not None]
        return [value for method, value in there if method == self.main] or [value for _, value in there]

    @property
    def main_share(self) -> float | None:
        """The largest share that CDCDA-PLM, else any method, was run with."""
        return max(self._of_main((method, share) for method, share, _ in self.by_setting), default=None)

    @property
    def main_k(self) -> int | None:
        """5, as in the source, else the largest k that CDCDA-PLM, else any method, was run with."""
        ks = self._of_main((method, k) for method, _, k in self.by_setting)
        return USUAL_K if USUAL_K in ks else max(ks, default=None)

    def main_setting(self, method: str) -> Setting | None:
        """A method's setting with the main share and k; None where it was not run."""
        wanted = [
            setting
            for setting in self.by_setting
            if setting[0] == method and setting[1] in (None, self.main_share) and setting[2] in (None, self.main_k)
        ]
        return wanted[0] if wanted else None

    def sums(self, setting: Setting, metric: Metric, users: Sequence[str]) -> Any:
        """Each user's statistics, summed over questions and averaged over the user's seeds, [users, statistics]."""
        import numpy as np

        of_users = [self.by_setting[setting][user] for user in users]
        return np.stack([np.mean([one.sums[metric.name] for one in of_user], axis=0) for of_user in of_users])

    def unusable(self, setting: Setting, users: Sequence[str]) -> float:
        """Answers that are empty, no rating or no label, averaged over each user's seeds."""
        return sum(statistics.fmean(one.unusable for one in self.by_setting[setting][user]) for user in users)

    def _seeds(self, named: Sequence[tuple[str, Setting]], users: Sequence[str]) -> dict[str, dict[int, int]]:
        """How many of the users have each seed, by row; rows that do not depend on it left out."""
        held = {
            name: collections.Counter(one.unit["seed"] for user in users for one in self.by_setting[setting][user])
            for name, setting in named
        }
        return {name: seeds for name, seeds in held.items() if None not in seeds}

    def common(self, settings: Sequence[Setting]) -> tuple[str, ...]:
        """Users with a result in every setting."""
        return tuple(sorted(set.intersection(*(set(self.by_setting[setting]) for setting in settings))))

    def about(self, named: Sequence[tuple[str, Setting]], users: Sequence[str]) -> tuple[str, ...]:
        """Sentences that stand below a table of these rows."""
        settings = [setting for _, setting in named]
        every = {user for setting in settings for user in self.by_setting[setting]}
        compared = [one for setting in settings for user in users for one in self.by_setting[setting][user]]
        devices, clouds = (sorted({getattr(one, side) for one in compared}) for side in ("device", "cloud"))
        questions = sum(self.by_setting[settings[0]][user][0].questions for user in users)
        by_row = self._seeds(named, users)
        seeds = sorted({seed for held in by_row.values() for seed in held})
        asked = f"{counted(len(users), 'user')}, {counted(questions, 'question')}"
        counts = f"{asked}, {verb(len(seeds), 'seed', 'seeds')} {', '.join(map(str, seeds))}" if seeds else asked
        notes = [
            (
                f"{self.task.lamp}, {counts}; on the device {' or '.join(devices)}, in the cloud {' or '.join(clouds)}."
                f" {_told_of_intervals(len(users))}"
            )
        ]
        if any(held != dict.fromkeys(seeds, len(users)) for held in by_row.values()):
            notes.append(
                "Not every row has every seed of every user; a user's seeds are averaged. By row:"
                f" {'; '.join(f'{name} {_in_words(held)}' for name, held in by_row.items())}."
            )
        if missing := sorted(every - set(users)):
            notes.append(f"Left out, because a row has no result of theirs yet: {', '.join(missing)}.")
        if self.outdated:
            notes.append(
                "Left out, because the data of their targets or their M_base have changed since:"
                f" {counted(self.outdated, 'result')};"
                " let `cdcda lamp run` go on."
            )
        if self.task.answer == "rating":
            notes.append(
                "An answer that is not a number from 1 to 5 alone counts as the worst possible error for its gold."
            )
        return tuple(notes)


def title_of(method: str) -> str:
    """A method's name in tables."""
    return next((known.title for known in METHODS if known.name == method), method)


def _cell(found: bootstrap.Estimate | bootstrap.Difference, users: Sequence[str], sign: str = "") -> str:
    """The value, and its interval where there is more than one user to draw."""
    interval = f" [{found.low:{sign}.3f}, {found.high:{sign}.3f}]" if len(users) > 1 else ""
    return f"{found.value:{sign}.3f}{interval}"


def _gain(scores: Scores, setting: Setting, main: Setting, users: Sequence[str]) -> str:
    """How much better CDCDA-PLM is by the first metric; above 0 is better whichever way the metric points."""
    if setting == main:
        return ""
    metric = scores.metrics[0]
    sides = [main, setting] if metric.higher_is_better else [setting, main]
    one, other = (scores.sums(side, metric, users) for side in sides)
    return _cell(bootstrap.compare(one, other, metric.finish), users, "+")


def _compared(scores: Scores, title: str, named: Sequence[tuple[str, Setting]], first: str = "Method") -> Table:
    """A table with a row for each named setting, and with what CDCDA-PLM gains where it is one of them.

    Without rows where no user has them all.
    """
    settings = [setting for _, setting in named]
    users = scores.common(settings)
    if not users:
        return Table(title, (), (), (NOBODY,))
    main = next((setting for setting in settings if scores.main and setting == scores.main_setting(scores.main)), None)
    gains = [f"Gain of {title_of(main[0])} ({scores.metrics[0].title})"] if main else []
    columns = (first, *(metric.title for metric in scores.metrics), *gains, "Unusable")
    rows = []
    for name, setting in named:
        estimates = [
            bootstrap.estimate(scores.sums(setting, metric, users), metric.finish) for metric in scores.metrics
        ]
        gained = [_gain(scores, setting, main, users)] if main else []
        scored = [_cell(estimate, users) for estimate in estimates]
        rows.append((name, *scored, *gained, f"{round(scores.unusable(setting, users), 1):g}"))
    return Table(title, columns, tuple(rows), scores.about(named, users))


def _named(scores: Scores, methods: Sequence[str]) -> list[tuple[str, Setting]]:
    return [(title_of(method), setting) for method in methods if (setting := scores.main_setting(method))]


def _at(scores: Scores) -> str:
    share, k = scores.main_share, scores.main_k
    told = [] if share is None else [f"share ratio {share:g}"]
    told += [] if k is None else [f"k = {k}"]
    return f" ({', '.join(told)})" if told else ""


def table_1(scores: Scores) -> Table | None:
    """Every method at the main setting."""
    named = _named(scores, [method.name for method in METHODS])
    if not named:
        return None
    table = _compared(scores, f"Table 1: all methods{_at(scores)}", named)
    absent = {title_of(setting[0]) for setting in scores.by_setting} - {title for title, _ in named}
    if not absent:
        return table
    note = f"Not in this table, being run with other share ratios or k alone: {', '.join(sorted(absent))}."
    return dataclasses.replace(table, notes=(*table.notes, note))


def table_2(scores: Scores) -> Table | None:
    """The ablations: random selection, no selection, no augmentation."""
    named = _named(scores, ABLATIONS)
    title = f"Table 2: ablations{_at(scores)}"
    return _compared(scores, title, named) if len(named) > 1 else None


def table_3(scores: Scores) -> Table | None:
    """The methods that depend on the share ratio, by ratio; a ratio of 0 is Direct-FT."""
    settings = sorted(
        (
            setting
            for setting in scores.by_setting
            if setting[1] is not None and setting[0] in (scores.main, "rkd") and setting[2] in (None, scores.main_k)
        ),
        key=lambda setting: (setting[0], setting[1] or 0.0),
    )
    named = [(f"{title_of(setting[0])}, {setting[1]:g}", setting) for setting in settings]
    named = [*_named(scores, ["direct"]), *named]
    title = "Table 3: share ratio" + (f" (k = {scores.main_k})" if any(setting[2] for setting in settings) else "")
    return _compared(scores, title, named, "Method, ratio") if settings else None


def table_of_ks(scores: Scores) -> Table | None:
    """Figure 2 in numbers: every method that was run with two values of k or more at the main share, by k."""
    at_share = [setting for setting in scores.by_setting if setting[2] and setting[1] in (None, scores.main_share)]
    named: list[tuple[str, Setting]] = []
    for method in METHODS:
        settings = sorted(
            (setting for setting in at_share if setting[0] == method.name), key=lambda found: found[2] or 0
        )
        named += [(f"{method.title}, {setting[2]}", setting) for setting in settings if len(settings) > 1]
    share = "" if scores.main_share is None else f" (share ratio {scores.main_share:g})"
    title = f"Figure 2 in numbers: pairs for each shared record{share}"
    return _compared(scores, title, named, "Method, k") if named else None


def table_of_pairs(scores: Scores) -> Table | None:
    """What was written and what the filters kept, by share ratio and k."""
    settings = sorted(
        (setting for setting in scores.by_setting if setting[0] == scores.main),
        key=lambda setting: (setting[1] or 0, setting[2]),
    )
    rows = []
    for setting in settings:
        listed = [one for of_user in scores.by_setting[setting].values() for one in of_user]
        written, kept = (sum(one.facts.get(name, 0) for one in listed) for name in ("written", "kept"))
        of_history = kept / max(1, sum(one.records for one in listed) * (setting[2] or 1))
        share = f"{kept / written:.1%}" if written else "-"
        users = str(len(scores.by_setting[setting]))
        rows.append((f"{setting[1]:g}", str(setting[2]), users, str(written), str(kept), share, f"{of_history:.1%}"))
    columns = ("Share ratio", "k", "Users", "Pairs written", "Kept", "of those written", "of k x history")
    limits = dataclasses.asdict(scores.plan.thresholds)
    note = "Thresholds: " + ", ".join(f"{name} {value:g}" for name, value in limits.items()) + "."
    return Table("What the filters kept", columns, tuple(rows), (note,)) if rows else None


TABLES: tuple[Callable[[Scores], Table | None], ...] = (table_1, table_2, table_3, table_of_ks, table_of_pairs)


def tables(scores: Scores) -> tuple[Table, ...]:
    """Every table that the results suffice for."""
    return tuple(table for make in TABLES if (table := make(scores)) is not None)
