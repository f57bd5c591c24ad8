"""The Insights tab: whether it got better, what sharing brought, votes, and what left this computer."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from app.errors import SHOWN
from app.evaluation import curve
from app.pipeline import insights, jobs
from app.pipeline.insights import Score, Scored
from app.pipeline.workspace import Workspace
from app.ui import state, strings, views
from app.ui.header import standing_of
from app.ui.notices import shown
from app.ui.parts import drawn, stop_and_resume
from app.ui.services import Services
from app.wording import counted
from personal_store.nouns import Job, Votes

MOST_TICKS = 5
"""Adapters that are named below the chart; of more, the first and the last are."""


@dataclasses.dataclass(frozen=True)
class InsightsTab:
    """What the page needs of this tab."""

    loaded: list[gr.components.Component]
    load: Callable[[], tuple[views.View, ...]]
    """Draws what is known, and what measuring would take."""
    polled: list[gr.components.Component]
    poll: Callable[[], tuple[Any, ...]]
    """Draws `polled` from the whole state."""


def _number(score: Score | None) -> str:
    if score is None:
        return ""
    interval = "" if score.low is None or score.high is None else f" ({score.low:.2f} to {score.high:.2f})"
    return f"{score.value:.2f}{interval}"


def _point(across: float, score: Score) -> views.View:
    return {"x": across, "y": score.value, "low": score.low, "high": score.high}


def _better(higher: bool) -> str:
    return strings.HIGHER if higher else strings.LOWER


def _first_and_last(found: Sequence[Scored]) -> str:
    """What the chart shows, in a sentence."""
    last = found[-1]
    base, own = last.scores.get("base"), last.scores.get("personal")
    if base is None or own is None:
        return ""
    return strings.SCORES_SENTENCE.format(
        name=last.adapter.name, metric=last.metric, base=f"{base.value:.2f}", own=f"{own.value:.2f}"
    )


def scores_view(workspace: Workspace) -> views.View:
    """Held-out scores of base, base with retrieval and personal, adapter by adapter."""
    found = insights.scores_over_time(workspace)
    if not found:
        return {"empty": views.empty(strings.NO_SCORES, "personalise")}
    steps = max(1, len(found) - 1)
    places = [number / steps if len(found) > 1 else 0.5 for number in range(len(found))]
    series = [
        {
            "id": system,
            "name": strings.SYSTEMS[system],
            "points": [
                _point(x, one.scores[system]) for x, one in zip(places, found, strict=True) if system in one.scores
            ],
        }
        for system in insights.SYSTEMS
    ]
    rows = [
        [one.adapter.name, one.adapter.created_at[:10], *(_number(one.scores.get(name)) for name in insights.SYSTEMS)]
        for one in found
    ]
    return {
        "title": f"{found[-1].metric}, {_better(found[-1].higher_is_better)}",
        "description": _first_and_last(found),
        "series": [one for one in series if one["points"]],
        "ticks": [
            {"x": x, "label": one.adapter.name}
            for x, one in zip(places, found, strict=True)
            if len(found) <= MOST_TICKS or x in (0, 1)
        ],
        "table": {"columns": [*strings.SCORE_COLUMNS, *strings.SYSTEMS.values()], "rows": rows},
    }


def _curve_points(workspace: Workspace, job: Job) -> dict[str, Mapping[str, Any]]:
    """Points that were measured so far, by name."""
    return {event.data["name"]: event.data for event in jobs.events(workspace, job.id) if event.kind == "point"}


def _of(point: Mapping[str, Any]) -> Score:
    return Score(point["score"], point["low"], point["high"])


def _curve_sentence(shares: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> str:
    """What the curve says, and whether that is more than chance."""
    if "gain" not in result:
        return strings.CURVE_GROWING
    first, last = shares[0], shares[-1]
    words = strings.CURVE_SENTENCE.format(
        first=first["score"], last=last["score"], left=counted(last["left"], "record")
    )
    return words + strings.CURVE_OUTCOMES[curve.outcome(result)]


def curve_view(workspace: Workspace, job: Job | None) -> views.View:
    """Score against the part of the shared records that left, as far as it is measured."""
    points = _curve_points(workspace, job) if job else {}
    shares = sorted((point for point in points.values() if "share" in point), key=lambda point: point["share"])
    if job is None or not points:
        return {"empty": views.empty(strings.NO_CURVE)} if job is None else {}
    result = job.result or {}
    metric, higher = result.get("metric", ""), result.get("higher_is_better", True)
    levels = [
        {"id": name, "name": strings.SYSTEMS[name], "y": points[name]["score"]}
        for name in ("base", "retrieval")
        if name in points
    ]
    rows = [
        [strings.SYSTEMS[name], "", "", _number(_of(points[name]))] for name in ("base", "retrieval") if name in points
    ]
    rows += [[f"{p['share']:.0%}", str(p["left"]), str(p["pairs"]), _number(_of(p))] for p in shares]
    return {
        "title": f"{metric}, {_better(higher)}" if metric else "",
        "description": _curve_sentence(shares, result),
        "series": [
            {
                "id": "personal",
                "name": strings.SYSTEMS["personal"],
                "points": [_point(point["share"], _of(point)) for point in shares],
            }
        ],
        "levels": levels,
        "ticks": [{"x": share, "label": words} for share, words in zip(curve.SHARES, strings.SHARE_WORDS, strict=True)],
        "table": {"columns": list(strings.CURVE_COLUMNS), "rows": rows},
    }


def plan_view(workspace: Workspace) -> views.View:
    """What measuring would do and about how long it takes, or why it cannot."""
    try:
        made = curve.plan(workspace)
    except SHOWN as error:
        return views.notice(strings.CANNOT_MEASURE, str(error), tab="share")
    text = strings.PLAN_TEXT.format(
        held_out=counted(len(made.data.held_out), "held-out record"),
        metric=made.metric,
        left=counted(made.parts[-1].left, "record"),
        pairs=counted(made.parts[-1].pairs, "pair"),
    )
    return views.notice(strings.PLAN_TITLE.format(time=views.duration(made.seconds)), text)


def _job_view(workspace: Workspace, job: Job | None) -> views.View:
    """Progress of the measuring, while there is something to say of it."""
    if job is None or job.state == "done":
        return {}
    standing = standing_of(workspace, job)
    share = round((standing.share or 0) * 100)
    return state.job_view(workspace, job, share, 100, state.state_words(workspace, job), standing.words)


def _vote_row(name: str, found: Votes) -> views.View:
    title = strings.BLIND_VOTED if found.blind else strings.OPEN_VOTED
    counts = [found.before, found.same, found.after]
    labels = [strings.BEFORE, strings.SAME, strings.AFTER]
    return {
        "id": f"{found.adapter_id} {found.blind}",
        "name": name,
        "detail": f"{title}, {sum(counts)}",
        "parts": [{"label": label, "count": count} for label, count in zip(labels, counts, strict=True)],
    }


def votes_view(workspace: Workspace) -> views.View:
    """Votes by adapter, blind ones first."""
    rows = [_vote_row(name, found) for name, found in insights.votes(workspace)]
    return {
        "rows": rows,
        "empty": None if rows else views.empty(strings.NO_VOTES, "write"),
    }


def brought_view(workspace: Workspace) -> views.View:
    """What left, where to, and what came of it."""
    found = insights.brought(workspace)
    if not found.places and not found.drawn:
        return {"empty": views.empty(strings.NOTHING_LEFT, "share")}
    learned = found.adapter.name if found.adapter else strings.NO_ADAPTER
    steps = [
        {"id": "records", "label": strings.LEFT, "count": found.records, "detail": views.bytes_text(found.bytes)},
        {"id": "drawn", "label": strings.DRAWN, "count": found.drawn, "detail": ""},
        {"id": "kept", "label": strings.KEPT_PAIRS, "count": found.kept, "detail": ""},
        {"id": "used", "label": strings.USED_PAIRS, "count": found.used, "detail": learned},
    ]
    rows = [
        [place.destination, str(place.uploads), str(place.records), views.bytes_text(place.bytes), place.last[:10]]
        for place in found.places
    ]
    return {"steps": steps, "table": {"columns": list(strings.PLACE_COLUMNS), "rows": rows}}


class Actions:
    """What a person can do here; each is one call."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def load(self) -> tuple[views.View, ...]:
        """Everything that changes by a person's doing alone."""
        at = self._workspace
        return scores_view(at), plan_view(at), votes_view(at), brought_view(at)

    def known(self) -> dict[str, Any]:
        """The same by name."""
        return dict(zip(("scores", "plan", "votes", "brought"), self.load(), strict=True))

    def measure(self) -> tuple[Any, ...]:
        """Start to measure."""
        curve.start(self._workspace)
        return self.poll()

    def stop(self) -> tuple[Any, ...]:
        """Stop measuring; points that are there stay."""
        if job := state.present_job(self._workspace, "curve"):
            jobs.stop_job(self._workspace, job.id)
        return self.poll()

    def resume(self) -> tuple[Any, ...]:
        """Go on behind the last point."""
        if job := state.present_job(self._workspace, "curve"):
            jobs.resume_job(self._workspace, job.id)
        return self.poll()

    def poll(self) -> tuple[Any, ...]:
        """The measuring and its curve, from the whole state."""
        job = state.present_job(self._workspace, "curve")
        ready = gr.Button(interactive=not state.is_active(job))
        seen = _job_view(self._workspace, job), curve_view(self._workspace, job)
        return *seen, ready, *state.job_buttons(self._workspace, job)


def build_insights(services: Services) -> InsightsTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    actions = Actions(services.workspace)
    gr.Markdown(strings.INSIGHTS_LEAD, elem_classes="lead")
    gr.Markdown(strings.SCORES_TITLE, elem_classes="lead")
    scores = drawn("plot", elem_id="scores")
    gr.Markdown(strings.CURVE_TITLE, elem_classes="lead")
    plan = drawn("notice", elem_id="curve-plan")
    with gr.Row():
        measure = gr.Button(strings.MEASURE, variant="primary", elem_id="measure-button", min_width=140)
        job_buttons = stop_and_resume()
    progress = drawn("working", elem_id="measuring")
    plot = drawn("plot", elem_id="share-curve")
    gr.Markdown(strings.VOTES_TITLE, elem_classes="lead")
    votes = drawn("votes", elem_id="vote-counts")
    gr.Markdown(strings.BROUGHT_TITLE, elem_classes="lead")
    brought = drawn("brought", elem_id="brought")
    polled: list[gr.components.Component] = [progress, plot, measure, *job_buttons]
    measure.click(shown(actions.measure), None, polled, api_name="measure")
    job_buttons[0].click(shown(actions.stop), None, polled, api_name="stop_measuring")
    job_buttons[1].click(shown(actions.resume), None, polled, api_name="resume_measuring")
    gr.api(shown(actions.known), api_name="insights")
    return InsightsTab([scores, plan, votes, brought], shown(actions.load), polled, actions.poll)
