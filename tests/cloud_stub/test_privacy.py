"""The service writes nothing that a person sent: every byte that the real program writes is read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from cloud_stub.schemas import MAX_TEXT
from tests import tiny
from tests.cloud_stub.fakes import record, reference
from tests.cloud_stub.programs import PATIENCE, ready, started, wait_until_ready
from tests.cloud_stub.stand_in import MISBEHAVIOURS, standing_in

MARK = "PlantedWords"
"""In everything that is sent, in other letters in the token of a wrong guess."""


def planted(number: int, order: str | None = None) -> dict[str, Any]:
    """A record that would be known anywhere."""
    said = f" [[stand-in: {order}]]" if order else ""
    return record(number, f"{MARK} in a text number {number}{said}", f"{MARK} title").model_dump()


def requests_of_all_kinds() -> Iterator[dict[str, Any]]:
    """Good ones, and one for each way in which a request or an upstream can go wrong."""
    records = [planted(1), *(planted(2 + place, order) for place, order in enumerate(MISBEHAVIOURS))]
    yield {"json": {"records": records, "k": 2}}
    yield {"json": {"records": [planted(1)], "k": 2, "prompt": "paper", "answer": "label"}}
    yield {"json": {"records": [planted(1)], "k": 2, "prompt": "sentences"}}
    yield {"data": f"{MARK} is no JSON".encode()}
    yield {"data": f'{{"records": "{MARK}'.encode()}
    yield {"json": {"records": [{**planted(1), MARK: MARK}]}}
    yield {"json": {"records": [planted(1), planted(1)]}}
    yield {"json": {"records": [{"reference": MARK, "input": MARK, "output": MARK}]}}
    yield {"json": {"records": [{"reference": reference(1), "input": MARK * MAX_TEXT, "output": MARK}]}}
    yield {"json": {"records": [planted(1)]}, "headers": {"X-Cdcda-Skip": MARK}}
    yield {"json": {"records": [planted(1)]}, "headers": {"Authorization": f"Bearer {MARK}"}}


def visit(url: str) -> list[int]:
    """Send all of them, and leave in the middle of one; their statuses."""
    statuses = []
    for sent in requests_of_all_kinds():
        headers = {"Authorization": "Bearer secret", **sent.pop("headers", {})}
        answer = requests.post(f"{url}/v1/augment", headers=headers, timeout=PATIENCE, **sent)
        statuses.append(answer.status_code)
    requests.get(f"{url}/{MARK}?{MARK}={MARK}", headers={"Authorization": "Bearer secret"}, timeout=PATIENCE)
    body = {"records": [planted(1, "hang")]}
    with requests.post(
        f"{url}/v1/augment", json=body, headers={"Authorization": "Bearer secret"}, timeout=PATIENCE, stream=True
    ):
        pass
    return statuses


def files_with(folder: Path, words: str) -> list[Path]:
    """Files below a folder that hold the words, as text or as JSON would write them."""
    wanted = (words.encode(), words.encode("utf-16-le"), json.dumps(words).encode())
    return [path for path in folder.rglob("*") if path.is_file() and any(form in path.read_bytes() for form in wanted)]


def environment(folder: Path) -> dict[str, str]:
    """Everything that tells a program where to write points below the folder; whoever can log, logs all it can."""
    places = {}
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "HF_HOME"):
        (folder / name).mkdir()
        places[name] = str(folder / name)
    return places | {"OPENAI_LOG": "debug", "HTTPX_LOG_LEVEL": "trace", "TRANSFORMERS_VERBOSITY": "debug"}


def assert_nothing_is_kept(folder: Path, *options: object) -> list[int]:
    """Run the program with these options, send it everything, read all that it wrote; the answers' statuses."""
    (folder / "cwd").mkdir()
    with started(*options, cwd=folder / "cwd", environment=environment(folder)) as process:
        url = ready(process)
        wait_until_ready(url)
        statuses = visit(url)
        process.terminate()
        out, error = process.communicate(timeout=PATIENCE)
    assert MARK not in out + error
    assert files_with(folder, MARK) == []
    return statuses


def test_files_with_planted_words_are_found(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"... {MARK} ...")
    assert files_with(tmp_path, MARK) == [tmp_path / "log"]


@pytest.mark.slow
def test_in_front_of_an_upstream_server_nothing_is_kept(tmp_path: Path) -> None:
    with standing_in(retry_after="0.01") as upstream:
        options = ("--upstream", upstream.url, "--model", "stand-in", "--answer-seconds", "2")
        statuses = assert_nothing_is_kept(tmp_path, *options)
        assert any(MARK in json.dumps(body) for body in upstream.bodies)
    assert statuses == [200, 200, 200, 422, 422, 422, 422, 422, 200, 200, 401]


@pytest.mark.slow
def test_with_a_model_in_process_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    gguf = tiny.tiny_gguf(tmp_path / "model")
    (tmp_path / "empty").mkdir()
    statuses = assert_nothing_is_kept(tmp_path / "empty", "--model", gguf, "--record-seconds", "5")
    assert statuses == [200, 200, 200, 422, 422, 422, 422, 422, 200, 200, 401]
