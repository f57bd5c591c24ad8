"""The augmentation service as a child process on this computer: a free loopback port and a token of its own.

It ends when it is closed, and also when the program is killed, because it watches the pipe that the program holds.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from app.device.catalogue import find_model
from app.device.threads import environment
from app.errors import CloudError
from app.pipeline.workspace import Workspace
from personal_store import preferences

TOKEN_VARIABLE = "CDCDA_CLOUD_TOKEN"
URL_VARIABLE = "CDCDA_CLOUD_URL"
MODEL_VARIABLE = "CDCDA_CLOUD_MODEL"
MODEL_PREFERENCE = "cloud_model"
READY = "cdcda-cloud listening on "
START_SECONDS = 120.0
END_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class CloudAddress:
    """Where an augmentation service is, and what opens it."""

    url: str
    token: str = dataclasses.field(repr=False)
    local: bool = False
    """Started by this program, so that nothing leaves the computer."""


class LocalService:
    """A running service; a context manager that ends it."""

    def __init__(self, process: subprocess.Popen[str], address: CloudAddress) -> None:
        self._process = process
        self.address = address

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the service; harmless when it has ended."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            _kill(self._process)

    def __enter__(self) -> Self:
        """The running service."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the service."""
        self.close()


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def child_environment() -> dict[str, str]:
    """The environment for our own child processes: no model hub, this very code on the path, threads that share."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return os.environ | environment() | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": path}


def configured_model(workspace: Workspace) -> str | None:
    """The service's model as chosen by environment or preference; None lets the service take the strongest present."""
    if named := os.environ.get(MODEL_VARIABLE):
        return named
    with workspace.store() as store:
        chosen: str = preferences.get(store, MODEL_PREFERENCE, "")
    return chosen or None


def _command(workspace: Workspace, model: str | Path | None) -> list[str]:
    if named := model or configured_model(workspace):
        model = find_model(str(named), workspace.models).path
    command = [sys.executable, "-m", "cloud_stub", "--host", "127.0.0.1", "--port", "0", "--exit-with-parent"]
    command += ["--models-dir", str(workspace.models), "--bases-dir", str(workspace.bases)]
    return [*command, "--model", str(model)] if model else command


def _keep_reading(stream: IO[str], into: collections.deque[str]) -> threading.Thread:
    """Empty a pipe for as long as it is open, keeping the last lines: a full pipe would stop the child."""

    def read() -> None:
        with contextlib.suppress(ValueError, OSError), stream:
            into.extend(stream)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _wait_until_ready(process: subprocess.Popen[str]) -> str | None:
    """The address that the service prints once it answers; None when it ends or takes too long instead."""
    assert process.stdout is not None
    timer = threading.Timer(START_SECONDS, lambda: _kill(process))
    timer.daemon = True
    timer.start()
    try:
        for line in process.stdout:
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
        return None
    finally:
        timer.cancel()


def _started(process: subprocess.Popen[str], token: str) -> LocalService:
    assert process.stdout is not None
    assert process.stderr is not None
    last_words: collections.deque[str] = collections.deque(maxlen=5)
    errors = _keep_reading(process.stderr, last_words)
    url = _wait_until_ready(process)
    if url is None:
        errors.join(1.0)
        said = (last_words[-1].strip() if last_words else "it said nothing").rstrip(".")
        raise CloudError(f"The local augmentation service did not start ({said}); run `cdcda doctor` to see why.")
    _keep_reading(process.stdout, collections.deque(maxlen=1))
    return LocalService(process, CloudAddress(url, token, local=True))


def start_local_service(workspace: Workspace, model: str | Path | None = None) -> LocalService:
    """Start the service and wait until it answers; raises CloudError with its last words where it does not.

    `model` is a name or a GGUF path; without one the configured model, else the strongest that is present.
    """
    command = _command(workspace, model)
    token = secrets.token_hex(32)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment() | {TOKEN_VARIABLE: token},
        process_group=0,
    )
    try:
        return _started(process, token)
    except BaseException:
        _kill(process)
        raise


class OwnService:
    """The service of a program that runs on: started again where its process has ended."""

    def __init__(self, workspace: Workspace, model: str | Path | None = None) -> None:
        """Start it; raises as `start_local_service` does."""
        self._start = functools.partial(start_local_service, workspace, model)
        self._service = self._start()
        self._starting = threading.Lock()

    @property
    def address(self) -> CloudAddress:
        """Where it answers, or answered before it ended."""
        return self._service.address

    def revive(self) -> CloudAddress:
        """Start it again where it has ended, at another address (seconds); where it answers. Raises CloudError."""
        with self._starting:
            if not self._service.running:
                self._service.close()
                self._service = self._start()
            return self.address

    def close(self) -> None:
        """End it."""
        self._service.close()


def named_address() -> CloudAddress | None:
    """The service named by environment, None where none is."""
    url = os.environ.get(URL_VARIABLE)
    return CloudAddress(url, os.environ.get(TOKEN_VARIABLE, "")) if url else None
