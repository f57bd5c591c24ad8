"""Choices that came since the page was started, made by name from a window that never drew them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from app.pipeline import adapters, bases
from app.pipeline.local_service import CloudAddress
from app.pipeline.models import DEVICE_PREFERENCE
from app.tasks import find_task
from personal_store import preferences
from tests.cloud_stub.fakes import TOKEN, FakeModel, loaded, serving
from tests.device.random_base import random_base
from tests.pipeline.support import usable_adapter
from tests.tiny import tiny_gguf
from tests.ui.conftest import Page
from tests.ui.test_driving import Person

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

TASK = "letter"


@pytest.fixture
def newcomer(page: Page) -> Callable[..., Any]:
    """Does one thing in a window of its own."""

    def does(action: str, *arguments: Any) -> Any:
        # Another session is another window to the page; a client of its own would take a second to be closed.
        page.client.reset_session()
        return page.client.predict(*arguments, api_name=f"/{action}")

    return does


@pytest.fixture
def letters(page: Page, newcomer: Callable[..., Any], tmp_path: Path) -> list[int]:
    """A task of the person's own and three records of it, imported with columns of names of their own."""
    newcomer("make_task", TASK, "Letter", "Write the letter: {input}", "text", "", "")
    file = tmp_path / "letters.csv"
    rows = "".join(f"note {n} about the lamp,Dear all number {n}\n" for n in range(3))
    file.write_text(f"what it was,what I wrote\n{rows}")
    given = [handle_file(str(file))]
    report = newcomer("import_history", given, "", "", TASK, "what it was", "what I wrote", "")
    assert report["headline"] == "3 imported."
    found = newcomer("find_records", "", TASK, "newest", "")
    return sorted(int(row["id"]) for row in found["rows"])


@pytest.mark.slow
@pytest.mark.usefixtures("letters")
def test_each_column_of_a_preview_is_chosen_by_name(newcomer: Callable[..., Any], tmp_path: Path) -> None:
    given = [handle_file(str(tmp_path / "letters.csv"))]
    guessed = newcomer("preview_task", given, "", "", TASK)
    assert guessed[1]["value"] == TASK
    for action in ("preview_input", "preview_output", "preview_date"):
        shown = newcomer(action, given, "", "", TASK, "what I wrote", "what it was", "")
        assert [part["value"] for part in shown[1:5]] == [TASK, "what I wrote", "what it was", ""]


@pytest.mark.slow
def test_records_of_a_new_task_are_shared_and_sent(
    page: Page, newcomer: Callable[..., Any], letters: list[int]
) -> None:
    assert newcomer("share_records", letters, True)["shared"] == letters
    with serving(loaded(FakeModel())) as service:
        page.services.cloud = CloudAddress(service.url, TOKEN, local=True)
        _, approval, *_ = newcomer("preview_payload", 1, TASK)
        newcomer("approve", approval, 1, TASK)
        Person(page).waits()
    assert len(newcomer("list_pairs", "all")["cards"]) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("letters")
def test_a_new_task_is_written_for(page: Page, newcomer: Callable[..., Any]) -> None:
    usable_adapter(page.workspace)
    answers, *_ = newcomer("write", "A lamp", TASK, False, False)
    assert len(answers["sides"]) == 2
    answers, *_ = newcomer("write_again", "A lamp", TASK, False, False)
    assert len(answers["sides"]) == 2
    assert newcomer("choose_task", TASK)[1]["texts"]


def test_models_and_bases_are_chosen_by_name(page: Page, newcomer: Callable[..., Any], tmp_path: Path) -> None:
    model = tiny_gguf(tmp_path)
    random_base(page.workspace.bases, model, "mine")
    newcomer("use_base", "title", "mine")
    assert bases.chosen(page.workspace, find_task("title")) == "mine"
    newcomer("use_model", str(model))
    with page.workspace.store() as store:
        assert preferences.get(store, DEVICE_PREFERENCE, None) == str(model)


@pytest.mark.slow
def test_an_adapter_is_named_and_deleted_by_its_number(page: Page, newcomer: Callable[..., Any]) -> None:
    adapter = usable_adapter(page.workspace)
    saved = newcomer("save_adapter", adapter.id, "Mine", "for letters")
    assert saved[1:3] == ("Mine", "for letters")
    assert newcomer("show_adapter", adapter.id)[1:3] == ("Mine", "for letters")
    newcomer("delete_adapter", adapter.id)
    assert adapters.listing(page.workspace) == ()


@pytest.mark.parametrize(
    ("action", "arguments", "says"),
    [
        ("find_records", ("", "poem", "newest", ""), "There is no task 'poem'; the tasks are"),
        ("find_records", ("", "", "shortest", ""), "There is no order 'shortest'; choose one of newest, oldest"),
        ("find_records", ("", "", "newest", "odd"), "There is no choice of what to show 'odd'; choose one of"),
        ("preview_task", (None, "one\nA text of one.", "", "poem"), "There is no task 'poem'"),
        ("preview_input", (None, "one\nA text.", "", "title", "poem", "", ""), "There is no column 'poem'"),
        ("write", ("A lamp", "poem", False, False), "There is no task 'poem'"),
        ("use_model", ("poem",), "There is no model 'poem'"),
        ("base_choices", ("poem",), "There is no task 'poem'"),
        ("use_base", ("title", "poem"), "There is no base 'poem'"),
        ("export_adapter", (1, "poem"), "An adapter is exported as one of peft, gguf, merged, ollama"),
        ("delete_adapter", ("poem",), "An adapter is chosen by its number, got 'poem'"),
        ("show_adapter", ("poem",), "An adapter is chosen by its number, got 'poem'"),
    ],
)
def test_a_choice_that_is_not_there_is_refused_in_a_sentence(
    page: Page, newcomer: Callable[..., Any], action: str, arguments: tuple[Any, ...], says: str
) -> None:
    usable_adapter(page.workspace)
    with pytest.raises(AppError) as refused:
        newcomer(action, *arguments)
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)
