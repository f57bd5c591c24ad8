"""The service as people start it, for tests: a process of its own, from the command line."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests

from cloud_stub.options import TOKEN_VARIABLE

READY = "cdcda-cloud listening on "
PATIENCE = 60.0
ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def started(
    *options: object,
    token: str | None = "secret",
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """The program with these options on a free port."""
    inherited = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_stub", "--port", "0", *map(str, options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=inherited
        | ({TOKEN_VARIABLE: token} if token else {})
        | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
        | dict(environment or {}),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: subprocess.Popen[str]) -> str:
    """Its address, once it answers."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(READY), line
    return line.removeprefix(READY).strip()


def wait_until_ready(url: str) -> None:
    """Wait until its models are loaded."""
    for _ in range(int(PATIENCE * 5)):
        if requests.get(f"{url}/v1/health", timeout=10).json()["status"] == "ready":
            return
        time.sleep(0.2)
    raise AssertionError("the model did not load")
