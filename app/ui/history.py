"""The History tab: bring records in, see and search them, change them by hand, make tasks of one's own."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from app.errors import BadInput
from app.pipeline import editing, forgetting, jobs, sharing, tasks
from app.pipeline.workspace import Workspace
from app.tasks import TASKS
from app.ui import bringing, strings, views
from app.ui.listing import filter_of, known, left_so_far, list_records
from app.ui.notices import answered, shown
from app.ui.parts import QUIET, UNCHECKED, WITHOUT_ITEMS, drawn, lead
from app.ui.services import Services
from app.wording import counted, still_held, verb
from personal_store import changes, records
from personal_store.nouns import RecordQuery

TASK_CHOICES = [(task.title, task.name) for task in TASKS]


@dataclasses.dataclass(frozen=True)
class HistoryTab:
    """What the page needs of this tab."""

    listing: gr.HTML
    query: list[gr.components.Component]
    """Inputs of `load`: search, task, order, filter."""
    load: Callable[..., views.View]
    """Draws the first page of the list."""
    choices: Callable[[], Any]
    """Offers the tasks that there are now in `query[1]`."""
    polled: list[gr.components.Component]
    """Redrawn by the page's timer from `poll`."""
    poll: Callable[[], tuple[Any, ...]]


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def _query(self, text: str, task: str, order: Any, only: str) -> RecordQuery:
        """What is asked for; raises BadInput."""
        shared, sensitive = filter_of(only)
        order = known("order", order, [name for _, name in strings.ORDERS])
        name = tasks.find_task(self._workspace, str(task)).name if task else None
        return RecordQuery(str(text or ""), name, shared, order, sensitive=sensitive)

    def load(self, text: str, task: str, order: Any, only: str, page: int = 1) -> views.View:
        """One page of the records that match."""
        query = self._query(text, task, order, only)
        drawn = list_records(self._workspace, query, page, strings.NO_RECORDS)
        with self._workspace.store() as store:
            last = changes.last_change(store)
        if not drawn["all"]:
            drawn["empty"] |= {"steps": strings.THE_WAY}
        undo = f"{strings.UNDO_CHANGE}: {len(last.record_ids)} {last.kind}" if last else ""
        # What was picked is picked among these records; other ones begin anew.
        among = [query.text, query.task, only or ""]
        return {**drawn, "among": among, "undo": undo, "tasks": bringing.task_choices(self._workspace)}

    def turn(self, text: str, task: str, order: Any, only: str, event: gr.EventData) -> views.View:
        """The page that a list's buttons ask for."""
        return self.load(text, task, order, only, int(event.page))

    def redraw(self, text: str, task: str, order: Any, only: str, drawn: views.View) -> views.View:
        """The page that is open, with what has left since; nothing before the list was drawn once."""
        # What the person does meanwhile is newer.
        began = views.stamp()
        return self.load(text, task, order, only, drawn["page"]) | {"stamp": began} if "page" in drawn else gr.skip()

    def forget_record(self, record_id: int) -> dict[str, Any]:
        """Delete a record and everything made from it, without a trace."""
        return self._forget([record_id])

    def _forget(self, ids: list[int]) -> dict[str, Any]:
        gone = forgetting.forget_all(self._workspace, ids)
        held = still_held(all(item.erased for item in gone), forgetting.archives(self._workspace))
        stale = {adapter for item in gone for adapter in item.adapters}
        pairs, answers = sum(item.pairs for item in gone), sum(item.answers for item in gone)
        them, their = verb(len(gone), "it", "them"), verb(len(gone), "its", "their")
        said = f"{counted(len(gone), 'record')} and {counted(pairs, 'pair')} made from {them} are gone"
        said += "" if held else strings.NO_TRACE
        said += f", with {counted(answers, 'answer')} to {their} texts" if answers else ""
        said += (
            f"; {counted(len(stale), 'adapter')} that learned from {them} {verb(len(stale), 'is', 'are')} marked stale."
            if stale
            else "."
        )
        return {"message": " ".join([said, *held]), "train": forgetting.retrain_task(self._workspace)}

    def _delete(self, ids: list[int]) -> dict[str, Any]:
        editing.delete(self._workspace, ids)
        said = f"{counted(len(ids), 'record')} deleted; {strings.UNDO_CHANGE} brings back what was there."
        return {"message": said, "train": forgetting.retrain_task(self._workspace)}

    def _write(self, ids: list[int], asked: Mapping[str, Any]) -> dict[str, Any]:
        texts = {name: asked.get(name) for name in ("task", "input", "output")}
        if not ids:
            record = editing.add(self._workspace, *(str(text or "") for text in texts.values()))
            return {"message": f"Record {record.id} is added; it is not shared."}
        record = editing.edit(self._workspace, ids[0], **texts)
        return {"message": f"Record {record.id} is changed."}

    def _undo(self) -> dict[str, Any]:
        change = editing.undo(self._workspace)
        if change is None:
            return {"message": strings.NOTHING_TO_TAKE_BACK}
        taken = f"Taken back: {counted(len(change.record_ids), 'record')} {change.kind}."
        said = f"{taken} Nothing is shared by undoing."
        return {"message": said, "train": forgetting.retrain_task(self._workspace)}

    def _still_here(self, ids: list[int]) -> list[int]:
        with self._workspace.store() as store:
            here = records.present_ids(store, ids)
        return [id for id in ids if id in here]

    def change_records(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the list's buttons ask for: an action, the ids that it is for, and texts.

        An action for many records leaves out those that are gone, forgotten in another window perhaps.
        """
        ids = [int(id) for id in asked.get("ids", ())]
        if ids and asked.get("action") != "write":
            ids = self._still_here(ids)
            if not ids:
                return {"message": strings.GONE_ALREADY}
        match asked.get("action"):
            case "write":
                return self._write(ids, asked)
            case "delete":
                return self._delete(ids)
            case "forget":
                return self._forget(ids)
            case "task":
                editing.set_task(self._workspace, ids, str(asked.get("task")))
                return {"message": f"{counted(len(ids), 'record')} {verb(len(ids), 'has', 'have')} another task."}
            case "share" | "keep":
                sharing.share_ids(self._workspace, ids, asked["action"] == "share")
                state = "shared" if asked["action"] == "share" else "kept at home"
                return {"message": f"{counted(len(ids), 'record')} {verb(len(ids), 'is', 'are')} {state}."}
            case "undo":
                return self._undo()
            case "train":
                jobs.start_train(self._workspace, jobs.TrainSettings(task=str(asked.get("task"))))
                return {"message": strings.TRAINING_BEGAN}
        raise BadInput(f"There is no action {asked.get('action')!r}; reload the page.")

    def change(self, asked: Any) -> dict[str, Any]:
        """The same for the list's own buttons."""
        return self.change_records(dict(asked))

    def make_task(self, name: str, title: str, template: str, answer: Any, labels: str, metric: Any) -> Any:
        """Keep a task of the person's own."""
        named = tuple((labels or "").split(","))
        made = tasks.make_task(
            self._workspace,
            name or "",
            template or "",
            title=title or "",
            answer=answer,
            labels=named,
            metric=metric or None,
        )
        gr.Info(strings.TASK_MADE.format(name=made.name))
        return self.all_choices()

    def delete_task(self, name: str) -> Any:
        """Take a task of the person's own away."""
        tasks.delete_task(self._workspace, name or "")
        return self.all_choices()

    def choices(self) -> list[tuple[str, str]]:
        """The tasks that the list can be narrowed to, the person's own too."""
        return [(strings.ANY_TASK, ""), *bringing.task_choices(self._workspace)]

    def all_choices(self) -> Any:
        """The same, for the list's own choice."""
        return gr.Dropdown(choices=self.choices())


def _lay_out_query(actions: Actions) -> list[gr.components.Component]:
    with gr.Row():
        return [
            gr.Textbox(label=strings.SEARCH, placeholder=strings.SEARCH_HINT, scale=3, min_width=180),
            gr.Dropdown(actions.choices(), value="", label=strings.TASK, min_width=154),
            gr.Dropdown(list(strings.ORDERS), value="newest", label=strings.ORDER, min_width=154),
            gr.Dropdown(list(strings.RECORD_FILTERS), value="", label=strings.SHOW, min_width=154),
        ]


def _lay_out_tasks() -> tuple[list[gr.components.Component], gr.Button, gr.Button]:
    with gr.Accordion(strings.OWN_TASKS, open=False):
        gr.Markdown(strings.OWN_TASKS_LEAD, elem_classes="lead")
        with gr.Row():
            name = gr.Textbox(label=strings.TASK_NAME, min_width=140)
            title = gr.Textbox(label=strings.TASK_TITLE, min_width=140)
            answer = gr.Dropdown(list(strings.ANSWERS), value="text", label=strings.TASK_ANSWER, min_width=140)
            metric = gr.Dropdown(list(strings.METRICS), value="", label=strings.TASK_METRIC, min_width=140)
        template = gr.Textbox(label=strings.TASK_TEMPLATE, value="{input}", lines=2)
        labels = gr.Textbox(label=strings.TASK_LABELS)
        with gr.Row():
            make = gr.Button(strings.MAKE_TASK, variant="primary", min_width=120)
            delete = gr.Button(strings.DELETE_TASK, min_width=120)
    return [name, title, template, answer, labels, metric], make, delete


def build_history(services: Services) -> HistoryTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    actions = Actions(services.workspace)
    lead(strings.HISTORY_LEAD)
    upper = bringing.lay_out()
    query = _lay_out_query(actions)
    listing = drawn("records", server_functions=[answered(actions.change)], elem_id="history-records")
    fields, make, delete = _lay_out_tasks()
    load = shown(actions.load)
    bringing.wire(upper, services, query, listing, load)
    gr.on([part.change for part in query], load, query, listing, api_name="find_records", **QUIET, **UNCHECKED)
    listing.select(shown(actions.turn), query, listing, api_visibility="private", **QUIET)
    make.click(shown(actions.make_task), fields, query[1], api_name="make_task")
    delete.click(shown(actions.delete_task), fields[0], query[1], api_name="delete_task")
    gr.api(shown(actions.forget_record), api_name="forget_record")
    gr.api(shown(actions.change_records), api_name="change_records")

    def poll() -> tuple[Any, ...]:
        return *bringing.poll(services), left_so_far(services.workspace)

    # Never seen.
    left = gr.Textbox(visible=False)
    left.change(
        shown(actions.redraw), [*query, listing], listing, js=WITHOUT_ITEMS, api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
    polled: list[gr.components.Component] = [upper.stop_button, upper.ended, left]
    return HistoryTab(listing, query, load, shown(actions.all_choices), polled, poll)
