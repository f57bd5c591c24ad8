"""Naming, exporting, deleting and importing adapters on the page."""

import os
from pathlib import Path
from typing import Any

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from app.pipeline import adapters
from app.pipeline.models import device_model
from app.ui import strings
from app.ui.header import header_view
from app.ui.personalise import Actions
from tests.pipeline.support import personal_adapter
from tests.tiny import tiny_gguf
from tests.ui.conftest import Page

# Gradio leaves event loops and their sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def adapter_id(page: Page) -> int:
    return personal_adapter(page.workspace, device_model(page.workspace).path).id


def listed(choice: Any) -> list[str]:
    return [label for label, _ in choice["choices"]]


def test_a_name_and_a_note_are_kept(page: Page, adapter_id: int) -> None:
    choice, name, note = page.client.predict(None, api_name="/show_adapter")
    assert (listed(choice), choice["value"], name, note) == (["Mine 1 (number 1)"], adapter_id, "Mine 1", "")
    saved = page.client.predict(adapter_id, "Letters", "for Jo", api_name="/save_adapter")
    assert (listed(saved[0]), saved[3]["title"]) == (["Letters (number 1), for Jo"], "Saved")
    with pytest.raises(AppError, match="needs a name"):
        page.client.predict(adapter_id, " ", "", api_name="/save_adapter")


def test_an_adapter_goes_out_is_deleted_and_comes_back(page: Page, adapter_id: int, tmp_path: Path) -> None:
    page.client.predict(None, api_name="/show_adapter")
    said = page.client.predict(adapter_id, "peft", api_name="/export_adapter")
    exported = page.workspace.data_dir / "exports" / "mine-1-peft"
    assert said["text"].startswith(str(exported))
    assert page.client.predict(adapter_id, api_name="/delete_adapter")[0]["choices"] == []
    files = [handle_file(str(path)) for path in sorted(exported.iterdir())]
    assert page.client.predict(files, api_name="/import_adapter")[3]["title"] == "Imported"
    (back,) = adapters.listing(page.workspace)
    assert back.id == adapter_id + 1
    with pytest.raises(AppError, match="is here already"):
        page.client.predict(files, api_name="/import_adapter")


def test_copies_of_a_folder_go_once_it_was_imported_or_refused(page: Page, adapter_id: int) -> None:
    def copies() -> list[Path]:
        return [path for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("adapter_*") if path.is_file()]

    exported = Path(adapters.export(page.workspace, adapter_id, "peft").path)
    files = [handle_file(str(path)) for path in sorted(exported.iterdir())]
    with pytest.raises(AppError, match="is here already"):
        page.client.predict(files, api_name="/import_adapter")
    assert copies() == []
    adapters.delete(page.workspace, adapter_id)
    page.client.predict(files, api_name="/import_adapter")
    assert copies() == []


def test_an_adapter_of_another_model_is_off_and_stays_so(
    page: Page, adapter_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = page.client.predict(adapter_id, api_name="/use_adapter")["rows"]
    facts = {fact["label"]: fact["value"] for fact in header_view(page.services)["facts"]}
    assert (row["on"], facts[strings.ADAPTER]) == (True, "Mine 1")
    monkeypatch.setenv("CDCDA_DEVICE_MODEL", str(tiny_gguf(tmp_path, "qwen2", 1)))
    (row,) = Actions(page.services, lambda settings: None).load()[1]["rows"]
    facts = {fact["label"]: fact["value"] for fact in header_view(page.services)["facts"]}
    assert (row["on"], facts[strings.ADAPTER]) == (False, strings.NO_ADAPTER)
    with pytest.raises(AppError, match="Mine 1 was trained on"):
        page.client.predict(adapter_id, api_name="/use_adapter")


def test_without_an_adapter_it_is_said_that_none_is_chosen(page: Page) -> None:
    assert page.client.predict(None, api_name="/show_adapter")[1:] == ("", "")
    for name, given in (("/delete_adapter", [None]), ("/export_adapter", [None, "gguf"])):
        with pytest.raises(AppError, match="No adapter is chosen"):
            page.client.predict(*given, api_name=name)
