"""llama.cpp's own server as upstream, which nobody here wrote, with the embedded model."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests

from cloud_stub.models import embedded_model
from tests.cloud_stub.fakes import record, request_body
from tests.cloud_stub.programs import PATIENCE, ready, started, wait_until_ready


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port that no other program is given meanwhile, and that a server takes all the same."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(int(PATIENCE * 5)):
        assert process.poll() is None
        try:
            if requests.get(f"{url}/models", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise AssertionError("llama.cpp's server did not start")


@pytest.fixture(scope="module")
def llama_server() -> Iterator[str]:
    pytest.importorskip("sse_starlette")
    with free_port() as port:
        command = [sys.executable, "-m", "llama_cpp.server", "--model", str(embedded_model().path)]
        command += ["--model_alias", "smollm2", "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with process:
            try:
                wait_until_it_answers(f"http://127.0.0.1:{port}/v1", process)
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                process.kill()


@pytest.mark.slow
def test_llama_cpps_own_server_writes_pairs_for_the_service(llama_server: str) -> None:
    records = [
        record(1, "The ferry to the island was cancelled on Friday because of strong winds.", "no ferry on friday"),
        record(2, "The library opens an hour later in August.", "library: later in august"),
    ]
    command = ("--upstream", llama_server, "--model", "smollm2", "--concurrency", "2")
    with started(*command) as process:
        url = ready(process)
        wait_until_ready(url)
        answer = requests.post(
            f"{url}/v1/augment",
            json=request_body(*records, k=2, prompt="sentences"),
            headers={"Authorization": "Bearer secret"},
            timeout=300,
        )
        process.terminate()
        _, error = process.communicate(timeout=PATIENCE)
    assert error == ""
    lines = [json.loads(line) for line in answer.text.splitlines()]
    pairs = [line for line in lines if line["type"] == "pair"]
    assert lines[-1]["records"] == 2
    assert lines[-1]["generated_tokens"] > 50
    assert pairs
    assert {pair["model"] for pair in pairs} == {"smollm2"}
    assert all(pair["scores"]["rouge_l"] > 0 for pair in pairs)
