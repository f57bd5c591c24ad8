"""Many pairs decided by a score: a part of the Review tab. Its buttons say how many pairs each would decide."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.errors import BadInput
from app.pipeline import review
from app.pipeline.review import Direction, ReviewedPair, Score
from app.pipeline.workspace import Workspace
from app.ui import strings, views
from app.ui.notices import shown
from app.ui.parts import QUIET, WITHOUT_ITEMS, drawn
from app.wording import counted

HIGHEST: dict[str, float] = {"entailment": 1.0, "rouge_l": 1.0, "length_ratio": 3.0}
"""The greatest bound that can be chosen for a score."""
FIRST: dict[str, float] = {"entailment": 0.9, "rouge_l": 0.5, "length_ratio": 1.0}
"""The bound that a score begins with."""


@dataclasses.dataclass(frozen=True)
class ByScore:
    """What stands in the part."""

    part: gr.Accordion
    fields: list[gr.components.Component]
    """Score, direction, bound."""
    counted: list[gr.components.Component]
    """How many pairs have such a score, and the two buttons."""


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(
        self,
        workspace: Workspace,
        matching: Callable[[Sequence[ReviewedPair], Any, int | None], tuple[ReviewedPair, ...]],
        draw: Callable[[Sequence[ReviewedPair], Any], views.View],
    ) -> None:
        self._workspace, self._matching, self._draw = workspace, matching, draw

    def _chosen(self, kind: Any, items: tuple[ReviewedPair, ...]) -> list[int]:
        return [item.pair.id for item in review.undecided_as(items, kind)]

    def count(self, score: Score, direction: Direction, bound: float, show: Any, drawn: views.View) -> tuple[Any, ...]:
        """How many of the pairs shown have such a score, and how many each button would decide.

        Of a list that was drawn already, pairs that arrived since are not counted.
        """
        items = self._matching(review.reviewed_pairs(self._workspace), show, drawn.get("newest"))
        found = review.by_score(items, score, direction, bound)
        words = strings.HAVE_SUCH_A_SCORE.format(found=len(found), items=counted(len(items), "pair")) if items else ""
        accept, reject = (len(self._chosen(kind, found)) for kind in ("accepted", "rejected"))
        return (
            {"text": words, "accept": accept, "reject": reject},
            gr.Button(strings.ACCEPT_COUNT.format(count=accept), interactive=accept > 0),
            gr.Button(strings.REJECT_COUNT.format(count=reject), interactive=reject > 0),
        )

    def choose(self, score: Score, direction: Direction, show: Any, drawn: views.View) -> tuple[Any, ...]:
        """A score's own bounds, and what that would decide."""
        bound = FIRST[score]
        return gr.Slider(maximum=HIGHEST[score], value=bound), *self.count(score, direction, bound, show, drawn)

    def decide(
        self, score: Score, direction: Direction, bound: float, show: Any, kind: Any, newest: int | None = None
    ) -> views.View:
        """Accept or reject all of them in one step; a text that the person edited stays accepted with it.

        With `newest`, pairs of higher ids are left as they are.
        """
        act = {"accepted": review.accept, "rejected": review.reject}.get(kind)
        if act is None:
            raise BadInput(f"Pairs can be accepted or rejected by a score, not {kind!r}; use one of these.")
        items = review.reviewed_pairs(self._workspace)
        ids = self._chosen(kind, review.by_score(self._matching(items, show, newest), score, direction, bound))
        act(self._workspace, ids)
        gr.Info(strings.DECIDED_TOGETHER.format(pairs=counted(len(ids), "pair"), kind=kind))
        return self._draw(review.decided_since(self._workspace, items), show)

    def decide_drawn(
        self, score: Score, direction: Direction, bound: float, show: Any, drawn: views.View, kind: Any
    ) -> views.View:
        """The same for the buttons, which are for the list as it was drawn."""
        return self.decide(score, direction, bound, show, kind, drawn.get("newest", 0))


def lay_out_by_score() -> ByScore:
    """The part, folded."""
    scores = [(title, name) for name, title in strings.SCORE_CHOICES.items()]
    directions = [(each.capitalize(), each) for each in review.DIRECTIONS]
    with gr.Accordion(strings.BY_SCORE, open=False, elem_id="by-score", elem_classes="for-pairs") as part, gr.Row():
        fields: list[gr.components.Component] = [
            gr.Radio(scores, value="entailment", label=strings.SCORE, min_width=360, scale=4),
            gr.Radio(directions, value="at least", label=strings.DIRECTION, min_width=190, scale=2),
            gr.Slider(0, 1, value=FIRST["entailment"], step=0.01, label=strings.BOUND, min_width=200, scale=3),
        ]
        with gr.Column(min_width=240, scale=3):
            said = drawn("words")
            with gr.Row():
                accept = gr.Button(strings.ACCEPT_COUNT.format(count=0), size="sm", interactive=False, min_width=110)
                reject = gr.Button(strings.REJECT_COUNT.format(count=0), size="sm", interactive=False, min_width=110)
    return ByScore(part, fields, [said, accept, reject])


def wire_by_score(at: ByScore, actions: Actions, show: gr.Radio, cards: gr.HTML) -> None:
    """Count at every change of the fields and of the list, and decide at a press."""
    asked = [*at.fields, show, cards]
    here: dict[str, Any] = {"js": WITHOUT_ITEMS, **QUIET}
    moved = [at.part.expand, *(field.input for field in at.fields[1:]), cards.change, cards.input]
    gr.on(moved, shown(actions.count), asked, at.counted, api_name="count_by_score", **here)
    chosen = [at.fields[0], at.fields[1], show, cards]
    at.fields[0].input(shown(actions.choose), chosen, [at.fields[2], *at.counted], api_name="choose_score", **here)
    for button, kind in zip(at.counted[1:], ("accepted", "rejected"), strict=True):
        decide = shown(functools.partial(actions.decide_drawn, kind=kind))
        button.click(decide, asked, cards, api_visibility="private", **here)
    gr.api(shown(actions.decide), api_name="decide_by_score")
