"""What looks personal is marked where it stands, in the Share list and in the question before a record is shared."""

from typing import Any

import pytest

from app.pipeline.sensitivity import pieces
from app.pipeline.sharing import shared_now
from app.pipeline.workspace import Workspace
from app.ui.share import Actions
from personal_store import records
from personal_store.nouns import NewRecord
from tests.ui.conftest import HOSTILE, Page

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

FOUND = [["jo@example.org", "e-mail address"], [" or ", ""], ["+44 20 7946 0958", "phone number"]]


def one_record(workspace: Workspace, input: str, output: str) -> int:
    with workspace.store() as store:
        (added,) = records.add_records(store, [NewRecord("title", input, output, "2024-01-01", "test")]).added
        return added


def shared_rows(page: Page) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = page.client.predict("", api_name="/find_to_share")["rows"]
    return rows


@pytest.mark.parametrize("text", ["", "harmless", "jo@example.org", "é jo@example.org, 😀 +44 20 7946 0958.", HOSTILE])
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    alone, first, second = *pieces(text), *pieces(text, f"{text} again")
    assert ["".join(piece for piece, _ in cut) for cut in (alone, first, second)] == [text, text, f"{text} again"]
    assert all(piece for piece, _ in (*alone, *first, *second))


def test_share_list_marks_what_was_found_where_it_stands(page: Page) -> None:
    one_record(page.workspace, "😀 Ask jo@example.org or +44 20 7946 0958", "The dog")
    (row,) = shared_rows(page)
    assert row["input_pieces"] == [["😀 Ask ", ""], *FOUND]
    assert row["output_pieces"] is None


def test_a_record_without_findings_has_no_marks(page: Page) -> None:
    one_record(page.workspace, f"Nothing {HOSTILE}", "The dog")
    (row,) = shared_rows(page)
    assert (row["input_pieces"], row["output_pieces"]) == (None, None)


def test_the_question_before_sharing_shows_where_it_stands(page: Page) -> None:
    workspace = page.workspace
    id = one_record(workspace, "Ask jo@example.org or +44 20 7946 0958", "The dog")
    asked = Actions(page.services).set_shared([id, True, "", []])["ask"]
    assert asked["input"] == [["Ask ", ""], *FOUND]
    assert asked["output"] == [["The dog", ""]]
    assert asked["things"] == [["e-mail address", "jo@example.org"], ["phone number", "+44 20 7946 0958"]]
    assert shared_now(workspace).shared == ()
