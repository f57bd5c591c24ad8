"""A history as untidy as real exports are, from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.pipeline.workspace import open_workspace
from personal_store import records
from tests.data.messy_history import write_messy_history


def run(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> Any:
    assert main([*arguments, "--data-dir", str(folder), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_messy_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_messy_history(tmp_path / "messy.csv")
    columns = ("--input", "what happened", "--output", "my headline", "--task", "headline")
    done = run(capsys, tmp_path / "data", "import", str(path), *columns)
    assert (done["imported"], done["duplicates"]) == (9, 1)
    assert [row["reason"] for row in done["near"]] == ["almost the same as line 2"]
    assert [row["reason"] for row in done["rejected"]] == [
        "2 fields where the header has 4",
        "6 fields where the header has 4",
        "the input (What happened) is empty",
        "the output (My headline) is empty",
        "the input (What happened) has 116,999 characters, more than 20,000",
    ]
    with open_workspace(tmp_path / "data").store() as store:
        found = {record.output: record for record in records.all_records(store)}
    assert found["Weg ist weg"].input == 'Straße gesperrt,\nseit Montag; "Umleitung" über den Hügel.'
    assert found["Café sleeps in"].created_at == "2024-05-05"
    assert found["=1+1"].created_at == "2024-05-12T06:30:00+00:00"
    assert found["Time off"].created_at is None
    assert found["Dog has no phone"].findings == ("e-mail address", "phone number")
    assert found["Bench pays by card"].findings == ("card number",)
    assert found["駅の新しい看板"].findings == ()
