"""What an adapter learned from and two adapters side by side, on the page and on the command line."""

import json

import pytest
from gradio_client.exceptions import AppError

from app.cli import main
from app.pipeline import forgetting
from personal_store import records, training
from personal_store.nouns import RecordQuery
from tests.ui import stages
from tests.ui.conftest import Page

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def adapters(page: Page) -> list[int]:
    """Two adapters that learned from the same records, and a third one from all."""
    stages.lived_in(page.workspace)
    with page.workspace.store() as store:
        every = [record.id for record in records.find_records(store, RecordQuery(limit=200)).records]
        learned = training.save_training_set(store, every, [], [], 0, "cd" * 32)
        training.add_adapter(store, "All", "all", "other", learned.id, None, {"task": "title"})
        return sorted(adapter.id for adapter in training.adapters(store))


def test_each_record_that_an_adapter_learned_from_is_listed_with_its_text(page: Page, adapters: list[int]) -> None:
    told = page.client.predict(adapters[0], 1, api_name="/adapter_sources")
    assert (told["total"], told["pages"], len(told["rows"])) == (12, 1, 12)
    assert all(row["output"] and row["input"] for row in told["rows"])
    forgetting.forget(page.workspace, told["rows"][0]["id"])
    again = page.client.predict(adapters[0], 1, api_name="/adapter_sources")
    assert again["rows"][0] == {"id": told["rows"][0]["id"], "forgotten": "forgotten", "pairs": []}
    assert again["summary"].endswith("Forgotten since: 1 record, 0 pairs.")


def test_many_records_are_listed_a_page_at_a_time(page: Page, adapters: list[int]) -> None:
    told = page.client.predict(adapters[2], 6, api_name="/adapter_sources")
    assert (told["total"], told["pages"], told["first"], len(told["rows"])) == (120, 6, 101, 20)


def test_two_adapters_stand_side_by_side(page: Page, adapters: list[int]) -> None:
    told = page.client.predict(adapters[0], adapters[2], api_name="/compare_adapters")
    facts = {row[0]: row[1:] for row in told["rows"]}
    assert facts["Records learned"] == ["12", "120"]
    assert facts["Model"][1] == "other"
    assert [len(run["losses"]) for run in told["curves"]["runs"]] == [stages.STEPS, 0]
    assert told["both"] == "Both learned from 12 records."
    assert [len(alone["rows"]) for alone in told["alone"]] == [0, 50]
    assert told["alone"][1]["more"] == "and 58 more"


def test_one_adapter_alone_cannot_be_compared(page: Page, adapters: list[int]) -> None:
    assert page.client.predict(None, None, api_name="/compare_adapters")["empty"]["title"] == "Nothing to compare yet"
    with pytest.raises(AppError, match="Two different adapters"):
        page.client.predict(adapters[0], adapters[0], api_name="/compare_adapters")


@pytest.mark.parametrize("action", ["show", "compare"])
def test_the_command_line_tells_the_same(
    page: Page, adapters: list[int], capsys: pytest.CaptureFixture[str], action: str
) -> None:
    ids = map(str, adapters[1:] if action == "compare" else adapters[2:])
    command = ["adapters", action, *ids, "--data-dir", str(page.workspace.data_dir)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    if action == "show":
        assert "learned from 120 records and 0 pairs" in said
        assert len(told["lineage"]["learned"]) == 20
    else:
        assert "Both learned from 12 records." in said
        assert told["compared"]["differing"]["model"] == ["smollm2-135m", "other"]
