"""The doctor on the page."""

import pytest

from tests.ui.conftest import Page

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_each_finding_is_good_or_says_what_to_do(page: Page) -> None:
    rows = page.client.predict(api_name="/doctor")["rows"]
    assert [row["name"] for row in rows][-3:] == ["NF4", "llama.cpp", "Models"]
    assert all(row["detail"] for row in rows)
    assert all(row["good"] or row["advice"] for row in rows)
