"""The whole journey without a browser: every action by its `api_name`, through gradio_client, on tiny random models."""

import time
from typing import Any

import pytest
from gradio_client import Client

from tests.browser.conftest import App
from tests.tiny import tiny_gguf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

SECONDS = 600.0


def until(client: Client, kind: str) -> dict[str, Any]:
    """The job's view once it says that it is done."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        views = client.predict(api_name="/state")
        found: dict[str, Any] = next(
            (view for view in views if isinstance(view, dict) and view.get("title") == kind), {}
        )
        if found.get("state", "").endswith("done"):
            return found
        assert found.get("tone") != "bad", found
        time.sleep(0.5)
    pytest.fail(f"{kind} is not done after {SECONDS:.0f} s")


def test_journey_from_the_sample_to_both_answers_by_name(app: App) -> None:
    app.environment["CDCDA_CLOUD_MODEL"] = str(tiny_gguf(app.data_dir.parent / "cloud"))
    client = Client(app.start(), verbose=False)
    client.predict(api_name="/import_sample")
    rows = client.predict("", "", "newest", "", api_name="/find_records")["rows"]
    ids = [row["id"] for row in rows[20:22]]
    assert sorted(client.predict(ids, True, api_name="/share_records")["shared"]) == sorted(ids)
    payload, sha256, *_ = client.predict(1, "", api_name="/preview_payload")
    assert payload["sha256"] == sha256
    client.predict(sha256, 1, "", api_name="/approve")
    until(client, "Augmenting")
    cards = client.predict("all", api_name="/list_pairs")["cards"]
    if cards:
        decided = client.predict(cards[0]["id"], "accepted", api_name="/decide")
        assert decided["card"]["kept"]
    client.predict(1, 4, 8, 0, api_name="/train")
    assert until(client, "Training")["curve"]["losses"]
    written = client.predict("The lane flooded on Monday night.", "title", api_name="/write")[0]
    assert len(written["sides"]) == 2
    client.close()
