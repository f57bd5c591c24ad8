"""`cdcda serve` from the command line: what it prints, which token it takes, and how it ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from app.cli import main
from tests.tiny import tiny_gguf


@contextlib.contextmanager
def running(folder: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--data-dir", str(folder / "data"), *options]
    environment = {**os.environ, "CDCDA_DEVICE_MODEL": str(tiny_gguf(folder)), **environment}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def ask(url: str, token: str) -> Any:
    return requests.get(f"{url}/models", headers={"Authorization": f"Bearer {token}"}, timeout=10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_one_line_of_json_answers_and_ends_quietly(tmp_path: Path, number: int) -> None:
    with running(tmp_path, "--json") as process:
        told = json.loads(first_line(process))
        assert told["models"] == ["tiny-llama-0"]
        assert ask(told["url"], told["token"]).json()["data"][0]["id"] == "tiny-llama-0"
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_the_environment_s_token_is_taken_and_not_printed(tmp_path: Path) -> None:
    with running(tmp_path, CDCDA_SERVE_TOKEN="hush hush") as process:
        url = first_line(process).split()[-1]
        assert "hush" not in url + first_line(process)
        assert (ask(url, "hush hush").status_code, ask(url, "other").status_code) == (200, 401)


def test_a_port_that_is_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"cdcda: Port {port} should be free")


@pytest.mark.parametrize("given", [("--port", "70000"), ("--context", "5"), ("--port", "a")])
def test_bad_options_are_refused(given: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serve", *given])
    assert left.value.code == 2
