"""The training script on a handful of rows and the real body."""

import gzip
import json
import sys
from pathlib import Path

import pytest
import safetensors.torch

from cloud_stub import nli_averaging, nli_training

ROWS = [
    {"premise": f"{number} men walk a dog by the sea.", "hypothesis": hypothesis, "label": label, "source": "mnli_part"}
    for number in range(2, 5)
    for hypothesis, label in zip(
        ("Somebody is outside.", "They are friends.", "Nobody is there."), nli_training.LABELS, strict=True
    )
]
SMALL = ["--rank", "2", "--epochs", "1", "--repeats", "1", "--batch", "3", "--max-tokens", "24"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("train", "mnli_dev_matched", "snli_test"):
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in ROWS)
    return tmp_path


# peft still asks for a name that transformers is about to change.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_run_keeps_its_end_and_the_step_that_was_named_and_both_can_be_averaged(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = data / "run"
    paths = ["--data", str(data), "--out", str(out), "--checkpoint", str(data / "checkpoint.pt")]
    monkeypatch.setattr(sys, "argv", ["nli_training", *paths, *SMALL, "--also-at", "2"])
    nli_training.main()
    half, end = data / "run-2", out
    assert json.loads((half / "manifest.json").read_text())["steps"] == 2
    assert "steps" not in json.loads((end / "manifest.json").read_text())
    first, last = (safetensors.torch.load_file(folder / "adapter_model.safetensors") for folder in (half, end))
    assert any((first[name] != last[name]).any() for name in first)

    runs = [str(end), str(end), str(half)]
    monkeypatch.setattr(sys, "argv", ["nli_averaging", *runs, "--data", str(data), "--out", str(data / "mean")])
    nli_averaging.main()
    told = json.loads((data / "mean" / "manifest.json").read_text())
    assert [part.get("steps") for part in told["mean_of"]] == [None, None, 2]
    assert all(0 <= value <= 1 for value in told["accuracy"].values())
