"""The task panels of the Write tab: the same text without and with the adapter side by side, or blind."""

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.device.engines import Sampling
from app.errors import BadInput
from app.pipeline import comparison
from app.pipeline.comparison import Drafts, Place
from app.pipeline.generation import Draft, keep_answer, retrieve
from app.pipeline.retrieval import RETRIEVED
from app.pipeline.tasks import all_tasks
from app.pipeline.workspace import Workspace
from app.tasks import TASKS
from app.ui import strings, views
from app.ui.going import Going, paced
from app.ui.notices import answered, shown
from app.ui.parts import QUIET, UNCHECKED, drawn
from app.ui.services import Services
from app.wording import counted
from personal_store import records
from personal_store.nouns import RecordQuery

PROMPTS = importlib.resources.files("assets") / "sample" / "prompts.json"
SAMPLES = 5
WARMTH = 0.8
"""Temperature of an answer that is written again: at 0 it would be the same one."""
PLACES: tuple[Place, ...] = ("first", "same", "second")
CHAT = "chat"
FIRST_TASK = "title"


@dataclasses.dataclass(frozen=True)
class Panels:
    """What the page needs of the task panels."""

    task: gr.Radio
    text: gr.Textbox
    write_button: gr.Button
    again_button: gr.Button
    stop_button: gr.Button
    blind: gr.Checkbox
    look_up: gr.Checkbox
    samples: gr.HTML
    answers: gr.HTML
    comparison_id: gr.Number
    attempt: gr.State
    """How often this text was written again."""
    votes: list[gr.Button]
    compared: gr.State
    """The comparison's id once more: a hidden number may not reach the page before its first vote."""

    @property
    def results(self) -> list[Any]:
        """What writing fills in."""
        return [self.answers, self.comparison_id, self.attempt, self.again_button, *self.votes, self.compared]


def task_choices(workspace: Workspace | None = None) -> list[tuple[str, str]]:
    """Tasks that have a panel, the person's own last; conversation has one of its own."""
    return [(task.title, task.name) for task in all_tasks(workspace) if task.name != CHAT]


def wrote(draft: Draft) -> str:
    """Who wrote an answer."""
    adapter = draft.adapter_name or strings.BASE_MODEL
    return f"{adapter}, base {draft.base_name}" if draft.base_name else adapter


def speed_of(draft: Draft) -> str:
    """With which model, how fast, and what had no room in the prompt."""
    speed = draft.tokens / draft.seconds if draft.seconds else 0.0
    left_out = strings.NO_ROOM.format(what=draft.left_out) if draft.left_out else ""
    return f"{draft.model}, {counted(draft.tokens, 'token')}" + (f", {speed:.0f} tokens/s" if speed else "") + left_out


def _side(key: str, title: str, draft: Draft, other: Draft, waiting: bool) -> views.View:
    """One answer as it stands, which adapter was really active, and where it differs from the other."""
    return {
        "id": key,
        "title": title,
        "adapter": wrote(draft),
        "text": draft.text,
        "runs": [] if waiting else views.differing(other.text, draft.text),
        "speed": speed_of(draft),
        "waiting": waiting,
        "answer": draft.generation.id if draft.generation and not waiting else None,
    }


def _hidden(side: views.View) -> views.View:
    """The same with nothing that tells whose it is: no name, no speed, no id, which grows in the order of writing."""
    return {**side, "adapter": "", "speed": "", "answer": None}


def _titles(drafts: Drafts, hidden: bool) -> tuple[str, str]:
    if hidden:
        return strings.ANSWER_A, strings.ANSWER_B
    return (strings.AFTER, strings.BEFORE) if drafts.after_first else (strings.BEFORE, strings.AFTER)


def _chosen(drafts: Drafts) -> tuple[bool, bool]:
    """Which of the two, as they stand, was voted for."""
    vote = drafts.comparison.vote if drafts.comparison else None
    order = ("after", "before") if drafts.after_first else ("before", "after")
    return vote == order[0], vote == order[1]


def looked_up(workspace: Workspace, task: str, text: str, count: int) -> views.View:
    """The records that stood in the prompt: what looking up added."""
    if not count:
        return {"title": strings.NOTHING_LOOKED_UP, "rows": []}
    found = retrieve(workspace, task, text, count)
    rows = [{"id": place, "output": output, "input": source} for place, (source, output) in enumerate(found)]
    return {"title": strings.LOOKED_UP.format(count=len(rows)), "rows": rows}


def answers_view(drafts: Drafts | None, waiting: bool = False) -> views.View:
    """Both answers; those of a blind comparison without names until the vote."""
    if drafts is None:
        return {"sides": [], "empty": views.empty(strings.NO_ANSWERS)}
    hidden = drafts.blind and (drafts.comparison is None or drafts.comparison.vote is None)
    first, second = drafts.in_order
    titles, chosen = _titles(drafts, hidden), _chosen(drafts)
    sides = [
        {**_side("first", titles[0], first, second, waiting), "chosen": chosen[0]},
        {**_side("second", titles[1], second, first, waiting), "chosen": chosen[1]},
    ]
    return {"sides": [_hidden(side) for side in sides] if hidden else sides, "done": not waiting}


def vote_buttons(on: bool, blind: bool) -> tuple[Any, ...]:
    """The three of them, named for what can be seen."""
    words = strings.BLIND_VOTES if blind else strings.OPEN_VOTES
    return tuple(gr.Button(value=word, interactive=on, visible=True) for word in words)


def sample_texts(workspace: Workspace, task: str | None) -> list[str]:
    """Texts to try: the sample history's own new ones, else inputs of the newest records, which are held out."""
    with workspace.store() as store:
        found = records.find_records(store, RecordQuery(task=task or None, limit=SAMPLES)).records
    if found and found[0].source == strings.SAMPLE_SOURCE:
        return list(json.loads(PROMPTS.read_text(encoding="utf-8")).get(found[0].task, []))
    return [record.input for record in found]


class Comparing:
    """What a person can do in the task panels; each is one call of the pipeline."""

    def __init__(self, services: Services, going: Going) -> None:
        self._writer, self._workspace, self._going = services.writer, services.workspace, going

    def load(self, task: str | None) -> tuple[Any, ...]:
        """The tasks there are, what the chosen one asks for, and texts of it to try."""
        choices = task_choices(self._workspace)
        if task not in {name for _, name in choices}:
            task = FIRST_TASK
        samples = {"texts": sample_texts(self._workspace, task)}
        label, hint = strings.TASK_TEXTS.get(task or "", (strings.TEXT, strings.TEXT_HINT))
        return (
            gr.Radio(choices=choices, value=task),
            gr.Textbox(label=label, placeholder=hint),
            samples,
        )

    def choose(self, task: str | None) -> tuple[Any, ...]:
        """The same for a task that was just chosen."""
        return self.load(task)[1:]

    def _added(self, text: str, task: str, look_up: bool, last: Drafts) -> views.View:
        if not look_up:
            return {}
        return {"added": looked_up(self._workspace, task, text, last.after.records)}

    def _write(self, text: str, task: str, blind: bool, look_up: bool, attempt: int) -> Iterator[tuple[Any, ...]]:
        if not (text or "").strip():
            raise BadInput("There is no text to write about; paste one, or choose one of your records.")
        sampling = Sampling(temperature=WARMTH, seed=attempt) if attempt else None
        wait, last = (gr.Button(interactive=False), *vote_buttons(False, blind)), None
        with self._going.begin() as writing:
            growing = comparison.stream_comparison(
                self._writer, text, task, "personal", sampling, RETRIEVED if look_up else 0, blind, writing.stop.is_set
            )
            for last in paced(growing):
                if last.comparison is None:
                    yield answers_view(last, waiting=True), None, attempt, *wait, None
        assert last is not None
        assert last.comparison is not None
        again = gr.Button(interactive=True)
        shown = answers_view(last) | self._added(text, task, look_up, last)
        yield shown, last.comparison.id, attempt, again, *vote_buttons(True, blind), last.comparison.id

    def write(self, text: str, task: str, blind: bool = False, look_up: bool = False) -> Iterator[tuple[Any, ...]]:
        """Both answers as they grow; the comparison's id when they are done."""
        yield from self._write(text, task, blind, look_up, 0)

    def again(self, text: str, task: str, blind: bool, look_up: bool, attempt: int) -> Iterator[tuple[Any, ...]]:
        """Two other answers to the same text."""
        yield from self._write(text, task, blind, look_up, int(attempt) + 1)

    def vote(self, place: Place, comparison_id: float | None, compared: int | None = None) -> tuple[Any, ...]:
        """Say which answer is better; a blind comparison then shows which is which."""
        comparison_id = comparison_id or compared
        if not comparison_id:
            raise BadInput("There is nothing to vote on yet; press Write first.")
        voted = comparison.vote_by_place(self._workspace, int(comparison_id), place)
        gr.Info(strings.VOTED_BLIND if voted.blind else strings.VOTED)
        drafts = comparison.reveal(self._workspace, voted.id)
        asked = drafts.after.generation
        assert asked is not None
        added = self._added(asked.prompt, asked.task, drafts.after.records > 0, drafts)
        return answers_view(drafts) | added, *vote_buttons(False, voted.blind)

    def keep(self, answer_id: int, text: str = "") -> dict[str, Any]:
        """Store an answer, or the person's own version of it, as a record."""
        kept = keep_answer(self._workspace, int(answer_id), text or None)
        return {"message": strings.KEPT if kept is not None else strings.KEPT_BEFORE, "record": kept}

    def keep_shown(self, argument: Any) -> dict[str, Any]:
        """The same for the buttons of an answer: `[id, text]`."""
        answer_id, text = argument
        return self.keep(answer_id, text)


def lay_out_panels(actions: Comparing) -> Panels:
    """The panels; must stand inside a gr.Tab."""
    task = gr.Radio(
        [(known.title, known.name) for known in TASKS if known.name != CHAT],
        value=FIRST_TASK, label=strings.TASK, elem_id="write-task",
    )  # fmt: skip
    label, hint = strings.TASK_TEXTS[FIRST_TASK]
    text = gr.Textbox(label=label, placeholder=hint, lines=4, max_lines=12, elem_id="write-text")
    samples = drawn("samples", elem_id="samples")
    with gr.Row(elem_classes="write-bar"):
        write_button = gr.Button(strings.WRITE_BUTTON, variant="primary", elem_id="write-button", min_width=120)
        again = gr.Button(strings.WRITE_AGAIN, interactive=False, scale=0, min_width=130, elem_classes="write-again")
        stop = gr.Button(strings.STOP, scale=0, min_width=90, elem_classes="stop-writing")
        look_up = gr.Checkbox(label=strings.LOOK_UP, scale=0, min_width=220, container=False)
        blind = gr.Checkbox(label=strings.BLIND, scale=0, min_width=240, container=False)
    answers = drawn("answers", answers_view(None), server_functions=[answered(actions.keep_shown)], elem_id="answers")
    comparison_id, attempt = gr.Number(visible="hidden", label="Comparison", precision=0), gr.State(0)
    with gr.Row(elem_id="votes"):
        votes = [gr.Button(word, interactive=False, visible=False, min_width=140) for word in strings.OPEN_VOTES]
    return Panels(
        task,
        text,
        write_button,
        again,
        stop,
        blind,
        look_up,
        samples,
        answers,
        comparison_id,
        attempt,
        votes,
        gr.State(None),
    )


def wire_panels(at: Panels, actions: Comparing) -> None:
    """Connect the panels with what they do."""
    asked: dict[str, Any] = {"show_progress": "hidden", **UNCHECKED}
    given = [at.text, at.task, at.blind, at.look_up]
    gr.on([at.write_button.click, at.text.submit], shown(actions.write), given, at.results, api_name="write", **asked)
    at.again_button.click(shown(actions.again), [*given, at.attempt], at.results, api_name="write_again", **asked)
    for button, place in zip(at.votes, PLACES, strict=True):
        vote = functools.partial(actions.vote, place)
        # From the page it is always the comparison that stands there; other programs say which.
        button.click(
            shown(vote), [at.comparison_id, at.compared], [at.answers, *at.votes],
            api_name=f"vote_{place}", js="() => [null, null]",
        )  # fmt: skip
    at.task.input(shown(actions.choose), at.task, [at.text, at.samples], api_name="choose_task", **QUIET, **UNCHECKED)
    gr.api(shown(actions.keep), api_name="keep_answer")
