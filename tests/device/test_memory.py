import subprocess
import sys

from app.device import memory

LARGE = 400 * 10**6
"""Bytes; several times what a bare interpreter takes."""


def test_a_process_does_not_count_the_memory_of_the_one_that_started_it() -> None:
    held = bytearray(b"x" * LARGE)
    code = "from app.device import memory; print(memory.peak_mb('cpu'))"
    child = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert float(child.stdout) < len(held) / 1e6 < memory.peak_mb("cpu")
