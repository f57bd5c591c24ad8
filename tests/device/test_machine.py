import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from app.device import machine, memory, weights
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


def test_little_memory_is_a_finding_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1_500_000_000)
    finding = machine._memory()
    assert (finding.good, finding.detail) == (False, "1.5 GB free")
    assert "close other programs" in finding.advice


def test_a_processor_without_vector_features_is_a_finding_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_VECTORS", ("no such feature",))
    finding = machine._cpu()
    assert not finding.good
    assert "slowly" in finding.advice


def test_an_old_python_is_a_finding_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert (machine._python().good, machine._python().advice) == (False, "Use 3.11.")


def test_a_gpu_that_torch_cannot_use_is_a_finding_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 570.86.15\n")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(weights, "best_device", lambda: "cpu")
    finding = machine._gpu()
    assert (finding.good, "570.86.15" in finding.detail) == (False, True)
    assert "CUDA build of torch" in finding.advice


def test_an_apple_gpu_is_good_and_says_that_nf4_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "best_device", lambda: "mps")
    finding = machine._gpu()
    assert finding.good
    assert "NF4 weights are not available" in finding.detail


def test_weights_that_let_no_gradient_through_are_a_finding_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    import bitsandbytes
    import torch

    def broken(self: object, given: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(given), 64) + 0 * given.sum()

    monkeypatch.setattr(bitsandbytes.nn.Linear4bit, "forward", broken)
    finding = machine._nf4()
    assert not finding.good
    assert "100% off" in finding.detail
    assert "Install bitsandbytes again" in finding.advice


def test_a_llama_cpp_that_cannot_serve_adapters_is_a_finding_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        llama_supports_gpu_offload = staticmethod(lambda: False)
        llama_print_system_info = staticmethod(lambda: b"AVX2 = 1 | NEON = 0")

    monkeypatch.setattr(machine, "library", Old)
    finding = machine._llama()
    assert not finding.good
    # Whether AMX stands between the two depends on the library that is really installed.
    assert "built for AVX2" in finding.detail
    assert finding.detail.endswith("; cannot serve adapters")
    assert "Install llama-cpp-python again" in finding.advice


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
