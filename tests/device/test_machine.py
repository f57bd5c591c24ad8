import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from app.device import machine
from tests.tiny import tiny_gguf


def test_everything_is_good_here_and_nf4_and_llama_were_really_tried(tmp_path: Path) -> None:
    models = tmp_path / "models"
    tiny_gguf(models)
    findings = {finding.name: finding for finding in machine.examine(models, tmp_path / "data")}
    assert list(findings) == ["Python", "CPU", "Memory", "Disk", "PyTorch", "GPU", "NF4", "llama.cpp", "Models"]
    assert findings["NF4"].good
    assert "% off the exact result" in findings["NF4"].detail
    assert findings["llama.cpp"].good
    assert "serves adapters" in findings["llama.cpp"].detail
    assert "tiny-llama-0" in findings["Models"].detail
    assert all(finding.detail for finding in findings.values())
    assert all(finding.advice == "" for finding in findings.values() if finding.good)
    assert not (tmp_path / "data").exists()


def test_a_full_disk_is_a_finding_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    finding = machine._disk(tmp_path)
    assert not finding.good
    assert "free some space" in finding.advice


def test_what_fails_is_a_finding_and_not_an_error() -> None:
    def fail() -> machine.Finding:
        raise RuntimeError("no kernel for this CPU")

    finding = machine._try("NF4", fail, "Install it again.")
    assert finding == machine.Finding("NF4", False, "failed: no kernel for this CPU", "Install it again.")


def test_a_model_that_was_cut_short_is_a_finding_that_says_what_to_do(tmp_path: Path) -> None:
    path = tiny_gguf(tmp_path)
    path.write_bytes(path.read_bytes()[:-5_000])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    finding = machine._models(tmp_path)
    assert (finding.good, finding.detail) == (False, "smollm2-135m")
    assert "was cut short; delete it and fetch the model again" in finding.advice
    assert "lacks tokenizer.json" in finding.advice


@pytest.mark.parametrize(("output", "version"), [("570.86.15\n570.86.15\n", "570.86.15"), ("", "unknown")])
def test_the_driver_is_what_its_own_tool_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, version: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{output}'\n")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert machine._driver() == version


def test_without_the_tool_the_driver_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine._driver() == "unknown"
