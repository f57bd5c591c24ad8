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
