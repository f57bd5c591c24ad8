"""The whole journey on the command line, each step a process of its own, with the real service and the models that come
with the install."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import tiny_gguf

SAMPLE = Path(__file__).resolve().parent.parent / "assets" / "sample" / "history.csv"
ENDS = (slice(0, 24), slice(-24, None))


class Person:
    """Types commands, in an environment of their own."""

    def __init__(self, folder: Path, model: Path | None) -> None:
        self.data_dir = folder / "data"
        self.environment = {**os.environ, "CDCDA_DATA_DIR": str(self.data_dir)}
        if model is not None:
            self.environment |= {"CDCDA_CLOUD_MODEL": str(model), "CDCDA_DEVICE_MODEL": str(model)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments, "--json"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever runs the tests in the background has Ctrl-C ignored, and the command would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def types(self, *arguments: str, code: int = 0) -> Any:
        """The JSON that a command prints, or its sentence where it should fail."""
        with self.start(*arguments) as process:
            out, error = process.communicate()
        assert process.returncode == code, error
        return json.loads(out) if code == 0 else error


def children_of(data_dir: Path) -> list[str]:
    """Commands of processes that still work on this data folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(data_dir) in command and ("app.pipeline.worker" in command or "cloud_stub" in command):
            found.append(command)
    return found


def small_history(folder: Path, count: int) -> Path:
    """The first records of the sample."""
    with SAMPLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[: count + 1]
    path = folder / "history.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def approve(person: Person, k: int) -> str:
    return str(person.types("payload", "--k", str(k))["approval"])


def assert_private(person: Person, canaries: list[str]) -> None:
    """No text of the person is in any file beside the store, and none that was not shared in what was sent."""
    for path in person.data_dir.rglob("*"):
        if path.is_file() and not path.name.startswith("store.db"):
            content = path.read_bytes()
            assert not any(canary.encode() in content for canary in canaries), path


def journey(person: Person, history: Path, shared: int, k: int, epochs: int) -> dict[str, Any]:
    """From a file to before and after; the result of each step."""
    imported = person.types("import", str(history))
    records = person.types("records", "--limit", "200")["records"]
    ids = sorted(record["id"] for record in records)[:shared]
    assert person.types("share", "--ids", ",".join(map(str, ids)))["shared"] == ids
    payload = person.types("payload", "--k", str(k))
    others = [record["input"] for record in records if record["id"] not in ids]
    assert not any(text in json.dumps(payload["body"], ensure_ascii=False) for text in others)

    augmented = person.types("augment", "--k", str(k), "--approve", payload["approval"])
    (upload,) = person.types("ledger")["uploads"]
    assert (upload["sha256"], upload["bytes"], upload["record_ids"]) == (payload["sha256"], payload["bytes"], ids)
    assert "approve" in person.types("augment", "--k", str(k), "--approve", payload["approval"], code=1)

    pairs = person.types("review", "--list")["pairs"]
    assert len(pairs) == augmented["pairs"]
    if pairs:
        person.types("review", "--accept", str(pairs[0]["id"]))
    trained = person.types("train", "--epochs", str(epochs))
    text = records[0]["input"]
    base = person.types("generate", text, "--task", "title", "--adapter", "none", "--max-tokens", "24")
    personal = person.types("generate", text, "--task", "title", "--adapter", "latest", "--max-tokens", "24")
    compared = person.types("compare", text, "--task", "title", "--max-tokens", "24")
    assert (base["adapter"], personal["adapter"]) == (None, trained["adapter"])
    assert (compared["before"]["text"], compared["after"]["text"]) == (base["text"], personal["text"])
    assert_private(person, [record["input"] for record in records])
    assert children_of(person.data_dir) == []
    return {"imported": imported, "augmented": augmented, "pairs": pairs, "trained": trained, "compared": compared}


def assert_forgotten_without_a_trace(person: Person) -> None:
    """After every record was forgotten, nothing of their texts is in any file, the store and its log too."""
    records = person.types("records", "--limit", "200")["records"]
    # Ends of texts: a long one need not lie in one piece.
    ends = [text[part] for record in records for text in (record["input"], record["output"]) for part in ENDS]
    store = b"".join(path.read_bytes() for path in person.data_dir.glob("store.db*"))
    assert any(end.encode() in store for end in ends)
    person.types("forget", ",".join(str(record["id"]) for record in records))
    left = {path: path.read_bytes() for path in person.data_dir.rglob("*") if path.is_file()}
    assert [(end, path) for end in ends for path, content in left.items() if end.encode() in content] == []


@pytest.mark.slow
def test_ctrl_c_stops_the_training_keeps_its_work_and_leaves_no_process(tmp_path: Path) -> None:
    person = Person(tmp_path, tiny_gguf(tmp_path))
    person.types("import", str(small_history(tmp_path, 30)))
    with person.start("train", "--epochs", "100") as process:
        until = time.monotonic() + 120
        while not _has_started(person):
            assert time.monotonic() < until
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    (job,) = person.types("jobs")["jobs"]
    assert job["state"] == "stopped"
    assert children_of(person.data_dir) == []


def _has_started(person: Person) -> bool:
    from app.pipeline import jobs
    from app.pipeline.workspace import open_workspace

    workspace = open_workspace(person.data_dir)
    found = jobs.listing(workspace)
    return bool(found) and any(event.kind == "progress" for event in jobs.events(workspace, found[0].id))


@pytest.mark.slow
def test_the_journey_on_the_models_that_come_with_the_install(tmp_path: Path) -> None:
    person = Person(tmp_path, None)
    steps = journey(person, small_history(tmp_path, 16), shared=2, k=2, epochs=2)
    trained = steps["trained"]
    assert steps["augmented"]["model"] == "smollm2-135m"
    assert steps["augmented"]["pairs"] + steps["augmented"]["failed"] == 4
    assert trained["held_out_loss"] < trained["base_held_out_loss"]
    assert trained["activated"]
    assert {"adapter", "final_loss", "tokens_per_second", "peak_memory_mb", "seconds"} <= set(trained)
    assert steps["compared"]["before"]["text"] != steps["compared"]["after"]["text"]
    assert_forgotten_without_a_trace(person)
