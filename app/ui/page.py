"""The whole page: the header, the tabs in the way of the data, and the one timer that redraws what changes by itself.

Importing this module does nothing but import Gradio; `build_ui` makes the page, app/__main__ launches it.
"""

import os
from typing import Any

import gradio as gr

from app.pipeline import jobs
from app.ui import strings
from app.ui.header import header_view
from app.ui.history import HistoryTab, build_history
from app.ui.insights import InsightsTab, build_insights
from app.ui.notices import shown
from app.ui.parts import drawn
from app.ui.personalise import PersonaliseTab, build_personalise
from app.ui.review import ReviewTab, build_review
from app.ui.services import Services
from app.ui.settings import SettingsTab, build_settings
from app.ui.share import ShareTab, build_share
from app.ui.theme import make_theme, page_head
from app.ui.uploads import session_of
from app.ui.write import WriteTab, build_write

EVERY = 1.0
"""Seconds between two looks at the whole state."""
AT_ONCE = 16
"""Handlers of one kind that may run together; Gradio's own limit of one would make two tabs wait for each other."""


def _keep_no_statistics() -> None:
    """Gradio would make a pandas table of its last 10,000 events after every one of them: each tick slower than the one
    before, and pandas in memory. The table is drawn at a route that is not open here.
    """
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"


def _say_nothing_of_progress(page: gr.Blocks, header: gr.HTML) -> None:
    """Where no progress is shown, Gradio still tells it at each step of each event to every part that any event ever
    wrote to: with all tabs seen, a third of what the browser does for a click. The header is told in their place.
    """
    for wired in page.fns.values():
        if wired.show_progress == "hidden":
            wired.show_progress_on = [header]


def _wire_loading(tabs: dict[str, gr.Tab], history: HistoryTab, share: ShareTab, review: ReviewTab) -> None:
    """Draw a list again whenever its tab is opened."""
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    tabs["history"].select(history.load, history.query, history.listing, **quiet)
    tabs["history"].select(history.choices, None, history.query[1], **quiet)
    tabs["share"].select(share.load, share.query, [share.listing, share.weak, share.task], **quiet)
    tabs["review"].select(review.load, review.query, review.cards, **quiet)


def _wire_states(
    tabs: dict[str, gr.Tab], personalise: PersonaliseTab, write: WriteTab, insights: InsightsTab, settings: SettingsTab
) -> None:
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    opened = tabs["personalise"].select(personalise.load, None, personalise.loaded, **quiet)
    # After the lists: counting tokens takes a moment when the history is new.
    opened.then(personalise.start.actions.foresee, personalise.settings, personalise.start.drawn, **quiet)
    tabs["insights"].select(insights.load, None, insights.loaded, **quiet)
    tabs["write"].select(write.load, write.task, write.loaded, **quiet)
    tabs["settings"].select(settings.load, None, settings.loaded, **quiet)


def _name_pages(history: HistoryTab, review: ReviewTab) -> None:
    """Any page of a list by its number, for whoever has no buttons to press."""
    gr.api(history.load, api_name="page_of_records")
    gr.api(review.load, api_name="page_of_pairs")


def build_ui(services: Services) -> gr.Blocks:
    """The page as Gradio blocks; launch it with `launch_options()`."""
    tabs: dict[str, gr.Tab] = {}
    _keep_no_statistics()
    with gr.Blocks(title=strings.APP, analytics_enabled=False, fill_width=True) as page:
        with gr.Row(elem_classes="page-header"):
            header = drawn("header", elem_id="header")
        with gr.Tabs(elem_id="way", overflow_behavior="wrap"):
            with gr.Tab(strings.HISTORY, id="history") as tabs["history"]:
                history = build_history(services)
            with gr.Tab(strings.SHARE, id="share") as tabs["share"]:
                share = build_share(services)
            with gr.Tab(strings.REVIEW, id="review") as tabs["review"]:
                review = build_review(services)
            with gr.Tab(strings.PERSONALISE, id="personalise") as tabs["personalise"]:
                personalise = build_personalise(services)
            with gr.Tab(strings.WRITE, id="write") as tabs["write"]:
                write = build_write(services)
            with gr.Tab(strings.INSIGHTS, id="insights", alignment="right") as tabs["insights"]:
                insights = build_insights(services)
            with gr.Tab(strings.SETTINGS, id="settings", alignment="right", render_children=True) as tabs["settings"]:
                settings = build_settings(services)

        def look() -> tuple[Any, ...]:
            """The header and the state of every job, as it is now."""
            jobs.refresh(services.workspace)
            return (
                header_view(services),
                *history.poll(),
                *share.poll(),
                *review.poll(),
                *personalise.poll(),
                *write.poll(),
                *insights.poll(),
                *settings.poll(),
            )

        def leave(request: gr.Request) -> None:
            """The window is closed: copies of files that were chosen there go."""
            services.uploads.end(session_of(request))

        parts = (history, share, review, personalise, write, insights, settings)
        seen = [header, *(part for tab in parts for part in tab.polled)]
        timer = gr.Timer(EVERY)
        gr.on(
            [timer.tick, page.load],
            shown(look),
            None,
            seen,
            api_name="state",
            show_progress="hidden",
            trigger_mode="once",
        )
        page.load(history.load, history.query, history.listing, show_progress="hidden", api_visibility="private")
        _wire_loading(tabs, history, share, review)
        _name_pages(history, review)
        _wire_states(tabs, personalise, write, insights, settings)
        page.unload(leave)
        _say_nothing_of_progress(page, header)
    page.queue(default_concurrency_limit=AT_ONCE, api_open=False)
    return page


def launch_options() -> dict[str, Any]:
    """What `launch` needs for the page as it is meant: own theme and head, nothing recorded, no links elsewhere."""
    return {
        "theme": make_theme(),
        "head": page_head(),
        "footer_links": [],
        "run_history": False,
        "show_error": False,
        "share": False,
        "quiet": True,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "enable_monitoring": False,
    }
