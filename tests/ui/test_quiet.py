"""What the page tells the browser to redraw: no part hears of progress that is not shown."""

import pytest

from tests.ui.conftest import Page

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_progress_that_is_not_shown_is_told_to_the_header_alone(page: Page) -> None:
    config = page.client.config
    (header,) = (each["id"] for each in config["components"] if each["props"].get("elem_id") == "header")
    quiet = [wired for wired in config["dependencies"] if wired["show_progress"] == "hidden"]
    assert len(quiet) > 20
    assert all(wired["show_progress_on"] == [header] for wired in quiet)
    shown = [wired for wired in config["dependencies"] if wired["show_progress"] != "hidden"]
    assert shown
    assert all(wired["show_progress_on"] is None for wired in shown)
