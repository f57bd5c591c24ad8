"""Fetches in threads: each comes to an end that can be seen, whatever ended it."""

import threading

import pytest

from app.errors import DiskFull
from app.pipeline.pulling import Listener, PullProgress
from app.ui import strings
from app.ui.downloads import Download, Downloads, Pull


def ended(pull: Pull) -> Download:
    """How a fetch stands when its thread is done."""
    downloads = Downloads()
    downloads.start("m", pull)
    for thread in threading.enumerate():
        if thread.name == "fetch m":
            thread.join()
    state = downloads.state("m")
    assert state is not None
    return state


def test_a_fetch_tells_how_far_it_is_and_finishes() -> None:
    def pull(listen: Listener) -> None:
        listen(PullProgress(3, 4, "here", "half"))

    assert ended(pull) == Download(3, 4, "half", finished=True)


def test_what_cannot_be_fetched_says_why() -> None:
    def pull(listen: Listener) -> None:
        raise DiskFull("There is no room.")

    assert ended(pull).error == "There is no room."


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fetch_that_fails_unexpectedly_does_not_run_for_ever() -> None:
    def pull(listen: Listener) -> None:
        raise ZeroDivisionError

    state = ended(pull)
    assert (state.error, state.running) == (strings.FETCH_BROKE_OFF, False)
