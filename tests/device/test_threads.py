"""What OpenMP itself says of its settings when the engine loads it in a program of its own."""

import os
import re
import subprocess
import sys

import pytest

LOADS = "from app.device.llama_library import library; library()"


def said(code: str, **own: str) -> set[str]:
    """GOMP_SPINCOUNT in the words of each OpenMP library that the code loads."""
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment = {**clean, **own, "OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(re.findall(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr))


def test_the_engine_s_threads_spin_briefly() -> None:
    assert said(LOADS) == {"3000"}


@pytest.mark.parametrize(
    ("own", "expected"), [({"GOMP_SPINCOUNT": "77"}, {"77"}), ({"OMP_WAIT_POLICY": "PASSIVE"}, {"0"})]
)
def test_what_the_person_has_set_stays(own: dict[str, str], expected: set[str]) -> None:
    assert said(LOADS, **own) == expected


def test_child_processes_get_it_unless_the_person_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.pipeline.local_service import child_environment

    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert child_environment()["GOMP_SPINCOUNT"] == "3000"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert "GOMP_SPINCOUNT" not in child_environment()
