"""The Share tab: choose records, see exactly what would leave, approve it, and watch the pairs arrive."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.device.catalogue import EMBEDDED, find_entry
from app.errors import BadInput, CloudError, NeedsConsent
from app.pipeline import cloud, estimating, jobs, models, network, payload, sharing
from app.pipeline.local_service import CloudAddress
from app.ui import state, strings, views
from app.ui.arriving import augment_view
from app.ui.bringing import task_choices
from app.ui.left import newest_view
from app.ui.listing import filter_of, left_so_far, list_records
from app.ui.notices import answered, shown
from app.ui.parts import QUIET, UNCHECKED, WITHOUT_ITEMS, drawn, lead, stop_and_resume
from app.ui.services import Services
from personal_store.nouns import RecordQuery

BETTER_MODEL = "qwen2.5-coder-1.5b"
"""What a weak service is told to use: it writes good pairs on two cores and can be had without a model hub."""


@dataclasses.dataclass(frozen=True)
class ShareTab:
    """What the page needs of this tab."""

    listing: gr.HTML
    weak: gr.HTML
    query: list[gr.components.Component]
    task: gr.components.Component
    load: Callable[..., tuple[Any, ...]]
    """Draws the list, the note on a weak service and the choices of `task`."""
    polled: list[gr.components.Component]
    poll: Callable[[], tuple[Any, ...]]
    """Draws `polled` from the whole state."""


def payload_view(built: payload.Payload, cost: str) -> views.View:
    """Where to, how much, which hash, and every byte of it."""
    others = ", ".join(f"{count} of {views.task_title(task)}" for task, count in built.other_tasks.items())
    facts = [
        views.fact("Goes to", str(built.destination)),
        views.fact("Records", str(len(built.record_ids))),
        views.fact("Size", f"{len(built.body):,} bytes"),
        views.fact("Task", views.task_title(built.task) + (f" (not in this one: {others})" if others else "")),
        views.fact("Asks for", built.asked),
        views.fact("Estimate", cost),
        views.fact("SHA-256 of the body", built.sha256, code=True),
    ]
    return {
        "sha256": built.sha256,
        "bytes": len(built.body),
        "facts": facts,
        "readable": json.dumps(built.request, indent=2, ensure_ascii=False),
        "exact": built.body.decode("utf-8"),
    }


def weak_view(services: Services) -> views.View:
    """A note when the service on this computer writes with the built-in model alone, as it says itself."""
    if not services.cloud.local:
        return {}
    try:
        writes = cloud.capabilities(services.workspace, services.reached()).models
    except CloudError:
        return {}
    if not all(model.embedded for model in writes):
        return {}
    next_time = next((row for row in models.model_rows(services.workspace) if row.cloud), None)
    if next_time is not None and next_time.name != EMBEDDED:
        title = next_time.entry.title if next_time.entry else next_time.name
        return views.notice(strings.WEAK_TITLE, strings.WEAK_UNTIL_RESTART.format(title=title), "warn")
    best = find_entry(BETTER_MODEL)
    text = strings.WEAK_TEXT.format(title=best.title, size=views.bytes_text(best.bytes or 0), licence=best.licence)
    return views.notice(strings.WEAK_TITLE, text, "warn", tab="settings")


@dataclasses.dataclass(frozen=True)
class _Layout:
    query: list[gr.components.Component]
    """Search, filter."""
    listing: gr.HTML
    proposal: list[gr.components.Component]
    """Ratio, strategy, seed."""
    propose_button: gr.Button
    none_button: gr.Button
    request: list[gr.components.Component]
    """Pairs for each record, task."""
    weak: gr.HTML
    preview_button: gr.Button
    previewed: list[gr.components.Component]
    """The payload, its hash, the button that approves it."""
    polled: list[gr.components.Component]
    """Progress, Stop, Resume, the newest lines of the ledger, how many there are."""


def _consent(word: Any) -> Any:
    """What the person said to what was found; None: nothing."""
    return str(word) if word else None


def _shown(things: Sequence[Sequence[Any]]) -> list[sharing.Found]:
    """What the person was shown: of each thing the record's id, its kind and its text; raises BadInput."""
    try:
        return [sharing.Found(int(record_id), ((str(text), str(kind)),), ()) for record_id, kind, text in things]
    except (TypeError, ValueError):
        raise BadInput(
            "What was found is a list of lists of a record's id, a kind and a text; give what found_in_records answers."
        ) from None


class Actions:
    """What a person can do here; each is one call of the pipeline."""

    def __init__(self, services: Services) -> None:
        self._services, self._workspace = services, services.workspace

    def rows(self, text: str, only: Any = "", page: int = 1) -> views.View:
        """One page of the records that match."""
        shared, sensitive = filter_of(only)
        query = RecordQuery(text or "", shared=shared, sensitive=sensitive)
        return list_records(self._workspace, query, page, strings.NO_SHARE_YET, "history", marked=True)

    def choices(self) -> list[tuple[str, str]]:
        """The tasks that can be sent, the person's own too."""
        return [(strings.MOST_SHARED, ""), *task_choices(self._workspace)]

    def load(self, text: str, only: Any) -> tuple[Any, ...]:
        """The first page, whether the service is weak, and the tasks there are."""
        return self.rows(text, only), weak_view(self._services), gr.Dropdown(choices=self.choices())

    def turn(self, text: str, only: Any, event: gr.EventData) -> views.View:
        """The page that the list's buttons ask for."""
        return self.rows(text, only, int(event.page))

    def redraw(self, text: str, only: Any, drawn: views.View) -> views.View:
        """The page that is open, with what has left since; nothing before the list was drawn once."""
        # What the person does meanwhile is newer.
        began = views.stamp()
        return self.rows(text, only, drawn["page"]) | {"stamp": began} if "page" in drawn else gr.skip()

    def propose(self, ratio: float, strategy: Any, seed: float, text: str, only: Any = "") -> views.View:
        """Share that part of the records; what a hand has ticked or unticked stays."""
        sharing.share_ratio(self._workspace, ratio, strategy, int(seed))
        return self.rows(text, only)

    def share_none(self, text: str, only: Any = "") -> views.View:
        """Untick everything."""
        sharing.share_none(self._workspace)
        return self.rows(text, only)

    def found_in_records(self, ids: list[int]) -> list[list[Any]]:
        """What looks personal in records: of each thing the record's id, its kind and the text itself."""
        found = sharing.found_in(self._workspace, ids)
        return [[item.record_id, *thing] for item in found for thing in item.things]

    def share_records(
        self, ids: list[int], shared: bool, consent: str = "", found: list[list[Any]] | None = None
    ) -> dict[str, Any]:
        """Tick or untick records by id.

        One that looks personal is shared with a consent alone: "redacted" for placeholders, or "confirmed" for all as
        it is, which names in `found` what `found_in_records` answered.
        """
        now = sharing.share_ids(self._workspace, ids, shared, _consent(consent), _shown(found or []))
        return {"shared": list(now.shared), "total": now.total}

    def set_shared(self, arguments: Any) -> dict[str, Any]:
        """The same for one box of the list: its id, the wish, what the person said to what was found, and that.

        Without their word on findings the box stays as it is and the answer asks for it.
        """
        record_id, wish, consent = int(arguments[0]), bool(arguments[1]), _consent(arguments[2])
        shown = _shown([[record_id, *thing] for thing in arguments[3]])
        try:
            now = sharing.share_ids(self._workspace, [record_id], wish, consent, shown)
        except NeedsConsent:
            now = sharing.shared_now(self._workspace)
            (found,) = sharing.found_in(self._workspace, [record_id])
            return {"now": record_id in now.shared, "ask": views.found_things(found)}
        return {"now": record_id in now.shared, "shared": len(now.shared), "total": now.total, "stamp": views.stamp()}

    def _build(self, address: CloudAddress, pairs_each: float, task: str) -> payload.Payload:
        destination = cloud.find_destination(self._workspace, address)
        if not address.local:
            self._services.passes_on_to[address.url] = destination.passes_on_to
        return payload.build_payload(self._workspace, destination, k=int(pairs_each), task=task or None)

    def preview(self, pairs_each: float, task: str) -> tuple[Any, ...]:
        """Exactly what would leave and where to, and the hash to approve, which is of both."""
        built = self._build(self._services.cloud, pairs_each, task)
        cost = estimating.in_words(estimating.estimate(self._workspace, built))
        return payload_view(built, cost), built.approval, gr.Button(visible=True)

    def approve(self, approved: str, pairs_each: float, task: str) -> tuple[Any, ...]:
        """Send precisely what has this hash; refused when the choice, or where it goes, has changed since."""
        address = self._services.reached()
        network.require_allowed(self._workspace, address.url)
        jobs.start_augment(self._workspace, self._build(address, pairs_each, task), approved, address)
        return {}, "", gr.Button(visible=False), *self.poll()

    def stop(self) -> tuple[Any, ...]:
        """Stop the running augmentation; pairs that arrived are kept."""
        job = state.present_job(self._workspace, "augment")
        if job is not None:
            jobs.stop_job(self._workspace, job.id)
        return self.poll()

    def resume(self) -> tuple[Any, ...]:
        """Go on where the last augmentation ended."""
        job = state.present_job(self._workspace, "augment")
        if job is not None:
            jobs.resume_job(self._workspace, job.id, self._services.reached())
        return self.poll()

    def poll(self) -> tuple[Any, ...]:
        """Progress and its buttons, from the whole state."""
        job = state.present_job(self._workspace, "augment")
        buttons = state.job_buttons(self._workspace, job)
        return augment_view(self._workspace), *buttons, newest_view(self._workspace), left_so_far(self._workspace)


def _lay_out_list(actions: Actions) -> tuple[list[gr.components.Component], gr.HTML]:
    with gr.Column(scale=3, min_width=320):
        with gr.Row(elem_classes="for-records"):
            search = gr.Textbox(label=strings.SEARCH, placeholder=strings.SEARCH_HINT, scale=3, min_width=180)
            only = gr.Dropdown(list(strings.SHARE_FILTERS), value="", label=strings.SHOW, min_width=130)
        boxes = [answered(actions.set_shared)]
        return [search, only], drawn("shareList", server_functions=boxes, elem_id="share-records")


def _lay_out_proposal() -> tuple[list[gr.components.Component], gr.Button, gr.Button]:
    with gr.Group():
        ratio = gr.Slider(0, 1, value=0.5, step=0.05, label=strings.RATIO)
        strategy = gr.Dropdown(list(strings.STRATEGIES), value="random", label=strings.STRATEGY)
        seed = gr.Number(0, label=strings.SEED, precision=0, visible="hidden")
    with gr.Row():
        propose, none = gr.Button(strings.PROPOSE, min_width=100), gr.Button(strings.SHARE_NONE, min_width=100)
    return [ratio, strategy, seed], propose, none


def _lay_out_request(actions: Actions) -> list[gr.components.Component]:
    with gr.Group():
        return [
            gr.Slider(1, 10, value=5, step=1, label=strings.PAIRS_EACH),
            gr.Dropdown(actions.choices(), value="", label=strings.TASK),
        ]


def _lay_out_preview() -> list[gr.components.Component]:
    return [
        drawn("payload", elem_id="payload"),
        gr.Textbox(visible="hidden", label="Approval"),
        gr.Button(strings.APPROVE, variant="primary", visible=False, elem_id="approve-button"),
    ]


def _lay_out_progress() -> list[gr.components.Component]:
    progress, buttons = drawn("augmenting", elem_id="augmenting"), stop_and_resume()
    with gr.Accordion(strings.LEFT_TITLE, open=False):
        # The last one is never seen.
        return [progress, *buttons, drawn("left", elem_id="newest-left"), gr.Textbox(visible=False)]


def _lay_out(actions: Actions) -> _Layout:
    lead(strings.SHARE_LEAD)
    with gr.Row():
        query, listing = _lay_out_list(actions)
        with gr.Column(scale=2, min_width=320, elem_classes="for-records"):
            proposal, propose_button, none_button = _lay_out_proposal()
            return _Layout(
                query=query,
                listing=listing,
                proposal=proposal,
                propose_button=propose_button,
                none_button=none_button,
                request=_lay_out_request(actions),
                weak=drawn("notice"),
                preview_button=gr.Button(strings.PREVIEW_PAYLOAD, variant="primary", elem_id="preview-button"),
                previewed=_lay_out_preview(),
                polled=_lay_out_progress(),
            )


def _wire_choice(at: _Layout, actions: Actions) -> None:
    changed = [part.change for part in at.query]
    gr.on(changed, shown(actions.rows), at.query, at.listing, api_name="find_to_share", **QUIET, **UNCHECKED)
    at.listing.select(shown(actions.turn), at.query, at.listing, api_visibility="private", **QUIET)
    at.propose_button.click(shown(actions.propose), [*at.proposal, *at.query], at.listing, api_name="propose")
    at.none_button.click(shown(actions.share_none), at.query, at.listing, api_name="share_none")
    gr.api(shown(actions.share_records), api_name="share_records")
    gr.api(shown(actions.found_in_records), api_name="found_in_records")


def _wire_sending(at: _Layout, actions: Actions) -> None:
    approved = [at.previewed[1], *at.request]
    results = [*at.previewed, *at.polled]
    at.preview_button.click(shown(actions.preview), at.request, at.previewed, api_name="preview_payload", **UNCHECKED)
    at.previewed[2].click(shown(actions.approve), approved, results, api_name="approve", **UNCHECKED)
    at.polled[-1].change(
        shown(actions.redraw), [*at.query, at.listing], at.listing, js=WITHOUT_ITEMS, api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
    at.polled[1].click(shown(actions.stop), None, at.polled, api_name="stop_augmenting")
    at.polled[2].click(shown(actions.resume), None, at.polled, api_name="resume_augmenting")


def build_share(services: Services) -> ShareTab:
    """Lay out and wire the tab; must stand inside a gr.Tab."""
    actions = Actions(services)
    at = _lay_out(actions)
    _wire_choice(at, actions)
    _wire_sending(at, actions)
    return ShareTab(at.listing, at.weak, at.query, at.request[1], shown(actions.load), at.polled, actions.poll)
