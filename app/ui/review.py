"""The Review tab: every synthetic pair with its scores and verdict, thresholds that re-judge, and the person's word."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.errors import BadInput
from app.pipeline import jobs, judging, review
from app.pipeline.review import ReviewedPair
from app.pipeline.workspace import Workspace
from app.ui import state, strings, views
from app.ui.by_score import Actions as ScoreActions
from app.ui.by_score import lay_out_by_score, wire_by_score
from app.ui.notices import answered, shown
from app.ui.parts import QUIET, WITHOUT_ITEMS, drawn, lead
from app.ui.services import Services
from app.ui.thresholds import LENGTH_TOP, STANDARD, histograms
from app.wording import counted

MATCHES: dict[str, Callable[[ReviewedPair], bool]] = {
    "all": lambda item: True,
    "kept": lambda item: item.kept,
    "rejected": lambda item: not item.kept,
    "undecided": lambda item: item.decision is None,
}


@dataclasses.dataclass(frozen=True)
class ReviewTab:
    """What the page needs of this tab."""

    cards: gr.HTML
    query: list[gr.components.Component]
    load: Callable[..., views.View]
    polled: list[gr.components.Component]
    poll: Callable[[], tuple[Any, ...]]
    """Draws `polled` from the whole state."""


def _score(label: str, value: float, share: float, good: bool, detail: str) -> views.View:
    return {"label": label, "shown": f"{value:.2f}", "share": share, "good": good, "detail": detail}


def score_bars(item: ReviewedPair) -> list[views.View]:
    """The four scores; a bar is red where its filter rejects the pair."""
    scores, failed = item.pair.scores, item.verdict.reasons
    least = min(scores.entails, scores.entailed)

    def means(value: float) -> bool:
        """Of the two ways of entailment, only the weaker one fails the pair."""
        return not failed["consistency"] or value > least

    length_share = scores.length_ratio / LENGTH_TOP
    return [
        _score("Follows", scores.entails, scores.entails, means(scores.entails), strings.ENTAILS_HELP),
        _score("Leads back", scores.entailed, scores.entailed, means(scores.entailed), strings.ENTAILED_HELP),
        _score("Overlap", scores.rouge_l, scores.rouge_l, not failed["diversity"], strings.ROUGE_HELP),
        _score("Length", scores.length_ratio, length_share, not failed["length"], strings.LENGTH_HELP),
    ]


def _verdict_words(item: ReviewedPair) -> tuple[str, list[str]]:
    if item.decision is not None:
        return {"accepted": "kept by you", "edited": "kept, edited by you", "rejected": "rejected by you"}[
            item.decision.kind
        ], []
    reasons = [reason for reason in item.verdict.reasons.values() if reason]
    return ("kept" if item.kept else "rejected"), reasons


def card(item: ReviewedPair) -> views.View:
    """One pair beside the record it was written from."""
    verdict, reasons = _verdict_words(item)
    edited = item.decision is not None and item.decision.kind == "edited"
    return {
        "id": item.pair.id,
        "kept": item.kept,
        "verdict": verdict,
        "reasons": reasons,
        "origin": f"pair {item.pair.number} of record {item.record.id}, by {item.pair.model}",
        "decision": item.decision.kind if item.decision else None,
        "original": {"input": item.record.input, "output": item.record.output},
        "synthetic": {
            "title": strings.YOUR_EDIT if edited else strings.SYNTHETIC,
            "input": item.input,
            "output": item.output,
            "input_runs": views.differing(item.record.input, item.input),
            "output_runs": views.differing(item.record.output, item.output),
        },
        "scores": score_bars(item),
    }


def counts_words(items: Sequence[ReviewedPair]) -> str:
    """How many were kept, and what each filter says; empty without pairs."""
    if not items:
        return ""
    found = judging.count(item.verdict for item in items)
    filters = ", ".join(f"{strings.FILTER_NAMES[name]} {number}" for name, number in found.rejected.items())
    decided = sum(item.decision is not None for item in items)
    kept = sum(item.kept for item in items)
    return f"{kept} of {counted(len(items), 'pair')} kept. Filters rejected: {filters}. Decided by you: {decided}."


def _nothing_here(hidden: bool) -> views.View:
    """Why no card is there: the filter hides all, or there are none yet."""
    return views.empty(strings.NO_SUCH_PAIRS) if hidden else views.empty(strings.NO_PAIRS, "share")


def matching(items: Sequence[ReviewedPair], show: Any, newest: int | None = None) -> tuple[ReviewedPair, ...]:
    """The pairs that the filter shows, on all its pages.

    With `newest`, those of higher ids are left out: they have arrived since the list was drawn.
    """
    return tuple(item for item in items if MATCHES[show](item) and (newest is None or item.pair.id <= newest))


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def draw(self, items: Sequence[ReviewedPair], show: Any, page: int = 1) -> views.View:
        """One page of those of the pairs that the filter shows, and the counts of all."""
        found = matching(items, show)
        place = views.pages(len(found), page, views.CARDS)
        start = (place["page"] - 1) * views.CARDS
        thresholds = judging.load_thresholds(self._workspace)
        return place | {
            "cards": [card(item) for item in found[start : start + views.CARDS]],
            "counts": counts_words(items),
            "histograms": histograms(items, thresholds),
            "standard": list(STANDARD),
            "is_standard": dataclasses.astuple(thresholds) == STANDARD,
            "show": show,
            "newest": max((item.pair.id for item in items), default=0),
            "empty": None if found else _nothing_here(bool(items)),
            "stamp": views.stamp(),
        }

    def load(self, show: Any, page: int = 1) -> views.View:
        """One page of the pairs that the filter shows, under the present thresholds."""
        return self.draw(review.reviewed_pairs(self._workspace), show, page)

    def turn(self, show: Any, event: gr.EventData) -> views.View:
        """The page that the list's buttons ask for."""
        return self.load(show, int(event.page))

    def judge(
        self, entailment: float, rouge_l: float, shortest: float, longest: float, show: Any, page: int = 1
    ) -> views.View:
        """Keep these thresholds, and judge every pair under them."""
        judging.save_thresholds(self._workspace, judging.Thresholds(entailment, rouge_l, shortest, longest))
        return self.load(show, page)

    def judge_here(self, arguments: Any) -> views.View:
        """The same for the sliders under the histograms."""
        entailment, rouge_l, shortest, longest, show, page = arguments
        return self.judge(float(entailment), float(rouge_l), float(shortest), float(longest), show, int(page))

    def thresholds(self) -> list[float]:
        """The person's thresholds."""
        return list(dataclasses.astuple(judging.load_thresholds(self._workspace)))

    def _say(self, pair_id: int, kind: str, output: str | None, input: str | None) -> None:
        if kind == "accepted":
            review.accept(self._workspace, [pair_id])
        elif kind == "rejected":
            review.reject(self._workspace, [pair_id])
        elif kind == "edited":
            review.edit(self._workspace, pair_id, input=input, output=output)
        else:
            raise BadInput(f"A pair can be accepted, edited or rejected, not {kind!r}; use one of these.")

    def decide_pair(
        self, pair_id: int, kind: str, output: str | None = None, input: str | None = None
    ) -> dict[str, Any]:
        """Accept, edit or reject a pair; the card as it is now, and the counts."""
        self._say(pair_id, kind, output, input)
        items = review.reviewed_pairs(self._workspace)
        return {"card": next(card(item) for item in items if item.pair.id == pair_id), "counts": counts_words(items)}

    def decide(self, arguments: Any) -> dict[str, Any]:
        """The same for the cards' buttons: id, kind, and of an edited pair output and input."""
        pair_id, kind, output, input = arguments
        return self.decide_pair(int(pair_id), str(kind), output, input)

    def decide_shown(self, show: Any, kind: str, newest: int | None = None) -> views.View:
        """Accept or reject every pair that the filter shows, on all its pages, at once; `newest` as in `matching`."""
        items = review.reviewed_pairs(self._workspace)
        found = matching(items, show, newest)
        act = {"accepted": review.accept, "rejected": review.reject}.get(kind)
        if act is None:
            raise BadInput(f"Pairs can be accepted or rejected together, not {kind!r}; use one of these.")
        act(self._workspace, [item.pair.id for item in found])
        gr.Info(strings.DECIDED_TOGETHER.format(pairs=counted(len(found), "pair"), kind=kind))
        return self.draw(review.decided_since(self._workspace, items), show)

    def decide_drawn(self, show: Any, drawn: views.View, kind: str) -> views.View:
        """The same for the buttons above the list, which are for what stands in it."""
        return self.decide_shown(show, kind, drawn.get("newest", 0))

    def redraw(self, show: Any, drawn: views.View) -> views.View:
        """The page that is open, with the pairs that arrived since; nothing before the list was drawn once."""
        # What the person decides meanwhile is newer.
        began = views.stamp()
        return self.load(show, drawn["page"]) | {"stamp": began} if "page" in drawn else gr.skip()

    def poll(self) -> str:
        """Which augmentations have ended; a change draws the list again."""
        found = jobs.listing(self._workspace, "augment")
        return " ".join(str(job.id) for job in found if not state.is_active(job))

    def undo(self, show: Any) -> views.View:
        """Take the last step back: decisions, or a change of the thresholds."""
        back = review.take_back(self._workspace)
        if back.thresholds is not None:
            gr.Info(strings.THRESHOLDS_BACK)
        elif not back.decisions:
            gr.Info(strings.NOTHING_TO_UNDO)
        return self.load(show)


def build_review(services: Services) -> ReviewTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    actions = Actions(services.workspace)
    lead(strings.REVIEW_LEAD)
    with gr.Row(elem_classes="for-pairs"):
        show = gr.Radio(list(strings.SHOWS), value="all", label=strings.SHOW, scale=3, min_width=280)
        accept_button = gr.Button(strings.ACCEPT_SHOWN, size="sm", scale=0, min_width=124)
        reject_button = gr.Button(strings.REJECT_SHOWN, size="sm", scale=0, min_width=124)
        undo_button = gr.Button(strings.UNDO, size="sm", scale=0, min_width=90, elem_id="review-undo")
    by_score = lay_out_by_score()
    # Until the tab is opened: the first look at thousands of pairs takes half a second.
    waiting = {"counts": strings.JUDGING}
    called = [answered(actions.decide), answered(actions.judge_here)]
    cards = drawn("review", waiting, server_functions=called, elem_id="review-cards")

    # Never seen.
    ended = gr.Textbox(visible=False)

    show.input(shown(actions.load), show, cards, api_name="list_pairs", **QUIET)
    cards.select(shown(actions.turn), show, cards, api_visibility="private", **QUIET)
    undo_button.click(shown(actions.undo), show, cards, api_name="undo", show_progress="hidden")
    for button, kind in ((accept_button, "accepted"), (reject_button, "rejected")):
        button.click(
            shown(functools.partial(actions.decide_drawn, kind=kind)), [show, cards], cards,
            js=WITHOUT_ITEMS, api_visibility="private", **QUIET,
        )  # fmt: skip
    ended.change(
        shown(actions.redraw), [show, cards], cards, js=WITHOUT_ITEMS, api_visibility="private", show_progress="hidden"
    )
    wire_by_score(by_score, ScoreActions(services.workspace, matching, actions.draw), show, cards)
    gr.api(shown(actions.judge), api_name="judge")
    gr.api(shown(actions.thresholds), api_name="thresholds")
    gr.api(shown(actions.decide_pair), api_name="decide")
    gr.api(shown(actions.decide_shown), api_name="decide_shown")
    return ReviewTab(cards, [show], shown(actions.load), [ended], lambda: (actions.poll(),))
