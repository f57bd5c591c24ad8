"""What an adapter learned from, as its line in the list unfolds it, and two adapters side by side."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from app.pipeline import adapters, lineage
from app.pipeline.lineage import Run, TwoRuns
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.ui.notices import shown
from app.ui.parts import drawn
from app.ui.services import Services
from app.wording import counted
from personal_store.nouns import Adapter, Record

LEARNED = 20
"""Records on a page of what an adapter learned from."""
POINTS = 300
"""Of a curve, at most."""


def _text(record: Record | None) -> views.View:
    return {"input": record.input[:300], "output": record.output} if record else {"forgotten": strings.FORGOTTEN}


def learned_view(workspace: Workspace, adapter_id: int, page: int = 1) -> views.View:
    """One page of the records that an adapter learned from, each with its pairs."""
    offset = (max(1, page) - 1) * LEARNED
    told = lineage.lineage(workspace, adapter_id, offset, LEARNED)
    if not told.known:
        return {"id": adapter_id, "summary": strings.LINEAGE_UNKNOWN, "rows": [], "total": 0}
    words = strings.LINEAGE.format(
        records=told.records, pairs=counted(told.pairs, "pair"), held_out=counted(told.held_out, "record")
    )
    if told.forgotten_records or told.forgotten_pairs:
        words += strings.LINEAGE_GONE.format(
            records=counted(told.forgotten_records, "record"), pairs=counted(told.forgotten_pairs, "pair")
        )
    rows = [
        {"id": learned.record_id, **_text(learned.record)}
        | {"pairs": [{"id": item.pair.id, "input": item.input[:300], "output": item.output} for item in learned.pairs]}
        for learned in told.learned
    ]
    return {"id": adapter_id, "summary": words, "rows": rows, **views.pages(told.records, page, LEARNED)}


def _score(run: Run) -> str:
    if run.scored is None or "personal" not in run.scored.scores:
        return strings.NOT_MEASURED
    score = run.scored.scores["personal"]
    between = f" ({score.low:.2f} to {score.high:.2f})" if score.low is not None and score.high is not None else ""
    return f"{run.scored.metric} {score.value:.2f}{between}"


def _last(losses: lineage.Losses) -> str:
    return f"{losses[-1][1]:.2f}" if losses else strings.NOT_MEASURED


def _said(value: Any, nothing: str = strings.NOT_SET) -> str:
    if isinstance(value, Mapping | list | tuple):
        return ", ".join(map(str, value))
    return nothing if value is None else str(value)


def _facts(run: Run) -> dict[str, str]:
    return {
        strings.RUN_MADE: run.adapter.created_at[:16].replace("T", " "),
        strings.RUN_RECORDS: _said(run.records, strings.UNKNOWN),
        strings.RUN_PAIRS: _said(run.pairs, strings.UNKNOWN),
        strings.RUN_LOSS: _last(run.losses),
        strings.RUN_HELD_OUT_LOSS: _last(run.held_out_losses),
        strings.RUN_SCORE: _score(run),
        strings.RUN_VERDICT: strings.VERDICTS.get(run.verdict, strings.NOT_MEASURED),
    }


def _thinned(losses: lineage.Losses) -> list[tuple[int, float]]:
    stride = max(1, len(losses) // POINTS)
    return [*losses[:-1:stride], losses[-1]] if losses else []


def _curves(two: TwoRuns) -> views.View | None:
    """Both losses over their steps; None where neither was kept."""
    runs = [run for run in (two.first, two.second) if len(run.losses) > 1]
    if not runs:
        return None
    ends = (f"{run.adapter.name} from {run.losses[0][1]:.2f} to {run.losses[-1][1]:.2f}" for run in runs)
    return {
        "runs": [
            {"name": label(run.adapter), "losses": _thinned(run.losses), "held_out": list(run.held_out_losses)}
            for run in (two.first, two.second)
        ],
        "steps": max(run.losses[-1][0] for run in runs),
        "description": f"Losses: {'; '.join(ends)}",
    }


def _alone(run: Run) -> views.View:
    listed = [{"id": id, **_text(record)} for id, record in run.only_here[: views.LISTED]]
    return {
        "title": strings.ONLY_IN.format(records=counted(len(run.only_here), "record"), name=label(run.adapter)),
        "rows": listed,
        "more": strings.AND_MORE.format(count=len(run.only_here) - len(listed))
        if len(run.only_here) > len(listed)
        else "",
    }


def two_view(two: TwoRuns) -> views.View:
    """Two adapters side by side."""
    one, other = _facts(two.first), _facts(two.second)
    settings = [[strings.SETTING_NAMES.get(name, name), *map(_said, pair)] for name, pair in two.differing.items()]
    return {
        "columns": ["", label(two.first.adapter), label(two.second.adapter)],
        "rows": [[name, one[name], other[name]] for name in one] + settings,
        "same": "" if settings else strings.SAME_SETTINGS,
        "curves": _curves(two),
        "both": strings.BOTH_UNKNOWN
        if two.in_both is None
        else strings.IN_BOTH.format(records=counted(two.in_both, "record")),
        "alone": [] if two.in_both is None else [_alone(two.first), _alone(two.second)],
    }


def label(adapter: Adapter) -> str:
    """An adapter's name, with its number because names may repeat."""
    return f"{adapter.name} (number {adapter.id})"


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services) -> None:
        self._workspace = services.workspace

    def compare(self, first: float | None, second: float | None) -> views.View:
        """Two adapters side by side."""
        if first is None or second is None:
            return {"empty": views.empty(strings.NOTHING_TO_COMPARE)}
        return two_view(lineage.compare_runs(self._workspace, int(first), int(second)))

    def choices(self, first: float | None, second: float | None) -> tuple[Any, ...]:
        """The adapters to choose from, the two newest ones chosen where none are, and these side by side."""
        found = adapters.listing(self._workspace)
        named, ids = [(label(each), each.id) for each in found], [each.id for each in found]
        newest = [*ids, None, None]
        one = first if first in ids else newest[1]
        two = second if second in ids else newest[0]
        drawn = self.compare(one, two)
        return gr.Dropdown(choices=named, value=one), gr.Dropdown(choices=named, value=two), drawn


def build_runs(services: Services) -> None:
    """Lay out and wire the part that compares two adapters; must stand inside the Personalise tab."""
    actions = Actions(services)
    with gr.Accordion(strings.COMPARE_ADAPTERS, open=False, elem_id="compare-adapters") as part:
        with gr.Row():
            first = gr.Dropdown([], label=strings.FIRST_ADAPTER, min_width=200)
            second = gr.Dropdown([], label=strings.SECOND_ADAPTER, min_width=200)
        told = drawn("twoRuns", elem_id="two-runs")
    both: list[gr.components.Component] = [first, second]
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    part.expand(shown(actions.choices), both, [*both, told], api_visibility="private", **quiet)
    gr.on([first.input, second.input], shown(actions.compare), both, told, api_visibility="private", **quiet)
    gr.api(shown(actions.compare), api_name="compare_adapters")
