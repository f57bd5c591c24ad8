"""Records that were not shared carry planted strings: after the journey none of them is anywhere it should not be.

Once on the command line, and, marked slow, through the page: the app, its workers and the service are processes of
their own, and the app is killed in the end, so that nothing is tidied up.
"""

import contextlib
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from gradio_client import Client, handle_file

from app.pipeline import jobs
from app.pipeline.workspace import open_workspace
from personal_store.nouns import ENDED
from tests.cloud_stub import programs
from tests.pipeline.recording_service import RecordingService, encoded, recording_service
from tests.test_journey import Person
from tests.tiny import tiny_gguf

SHARED, KEPT = "canary-shared-qzxj", "canary-kept-wvqk"


def history(folder: Path) -> Path:
    """Ten records, each with a canary of its own."""
    path = folder / "history.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "abstract", "title"])
        for number in range(10):
            canary = SHARED if number < 3 else KEPT
            writer.writerow(
                [f"2024-01-{number + 1:02}", f"{canary}-{number} sang at the mill.", f"{canary}-{number} title"]
            )
    return path


def approve(person: Person, service: RecordingService, code: int = 0) -> str:
    """Preview and send, as a person would; what the command said."""
    approval = person.types("payload", "--k", "1")["approval"]
    return str(person.types("augment", "--k", "1", "--approve", approval, code=code))


def files(*folders: Path) -> list[Path]:
    """Every file below the folders but the store's own."""
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if not path.name.startswith("store.db")]


@pytest.mark.slow
def test_no_canary_of_a_kept_record_is_anywhere(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    person = Person(tmp_path, None)
    with recording_service() as service:
        person.environment |= {
            "TMPDIR": str(temporary),
            "CDCDA_CLOUD_URL": service.url,
            "CDCDA_CLOUD_TOKEN": "token",
        }
        person.types("import", str(history(tmp_path)))
        ids = sorted(record["id"] for record in person.types("records")["records"])
        person.types("share", "--ids", ",".join(map(str, ids[:3])))
        said = [approve(person, service)]
        service.answer = lambda request, skip: encoded({"type": "nonsense"})
        said.append(approve(person, service, code=1))
        said.append(str(person.types("jobs")))
        assert len(service.bodies) == 2
    for body in service.bodies:
        assert body.count(SHARED.encode()) == 6
        assert KEPT.encode() not in body
    assert not any(KEPT in text or SHARED in text for text in said)
    for path in files(person.data_dir, temporary):
        content = path.read_bytes()
        assert KEPT.encode() not in content, path
        assert SHARED.encode() not in content, path
    crashed = subprocess.run(
        [sys.executable, "-m", "app.pipeline.worker", "1", "--data-dir", str(person.data_dir)],
        env={**os.environ, **person.environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert KEPT not in crashed.stdout + crashed.stderr


def passed_on(url: str) -> Callable[[dict[str, Any], list[str]], Iterator[bytes]]:
    """Answers what the real service at that address answers."""

    def answer(request: dict[str, Any], skip: list[str]) -> Iterator[bytes]:
        headers = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
        with requests.post(f"{url}/v1/augment", json.dumps(request), headers=headers, stream=True, timeout=120) as told:
            assert told.status_code == 200, told.text
            yield from (line + b"\n" for line in told.iter_lines())

    return answer


@contextlib.contextmanager
def running_app(person: Person, service: RecordingService, said: Path) -> Iterator[Client]:
    """The app as people start it, and a client of its page; it is killed in the end."""
    arguments = ["--port", "0", "--no-browser", "--cloud-url", service.url, "--cloud-token", "token"]
    with said.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", *arguments],
            env=person.environment, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
        )  # fmt: skip
    with process:
        assert process.stdout is not None
        try:
            address = next(line for line in process.stdout if "ready at" in line).split()[-1]
            client = Client(address, verbose=False)
            yield client
            client.close()
        finally:
            process.kill()


def wait_until_ended(client: Client, folder: Path, job_id: int) -> str:
    """Wait for a job while the page polls; what is kept of it then."""
    until = time.monotonic() + 400
    workspace = open_workspace(folder)
    while jobs.get(workspace, job_id).state not in ENDED:
        state = client.predict(api_name="/state")
        assert time.monotonic() < until, state
        time.sleep(0.3)
    return str(jobs.get(workspace, job_id))


def through_the_page(client: Client, service: RecordingService, folder: Path, data_dir: Path) -> list[str]:
    """Import, look, tick, preview, approve, fail once, forget; what is kept of the jobs."""
    given = handle_file(str(history(folder)))
    client.predict([given], "", "", api_name="/preview_history")
    columns = ("title", "abstract", "title", "date")
    assert client.predict([given], "", "", *columns, api_name="/import_history")["headline"] == "10 imported."
    rows = client.predict("", "", "oldest", "", api_name="/find_records")["rows"]
    ids = [row["id"] for row in rows]
    client.predict(ids[:3], True, api_name="/share_records")
    said = []
    for job_id in (1, 2):
        if job_id == 2:
            service.answer = lambda request, skip: encoded({"type": "nonsense"})
        approval = client.predict(1, "", api_name="/preview_payload")[1]
        client.predict(approval, 1, "", api_name="/approve")
        said.append(wait_until_ended(client, data_dir, job_id))
    client.predict(ids[4], api_name="/forget_record")
    return said


# Gradio leaves event loops and their sockets to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_no_canary_of_a_kept_record_is_anywhere_after_the_page(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("temporary", "home", "said")}
    for place in places.values():
        place.mkdir()
    person = Person(tmp_path, tiny_gguf(tmp_path))
    person.environment |= {"TMPDIR": str(places["temporary"]), "HOME": str(places["home"]), "PYTHONFAULTHANDLER": "1"}
    with programs.started(environment=person.environment) as real, recording_service() as service:
        url = programs.ready(real)
        programs.wait_until_ready(url)
        service.answer = passed_on(url)
        with running_app(person, service, places["said"] / "app") as client:
            said = through_the_page(client, service, tmp_path, person.data_dir)
        real.kill()
        out, errors = real.communicate()
    person.types("train", "--epochs", "1")
    said += [out, errors]
    assert len(service.bodies) == 2
    for body in service.bodies:
        assert body.count(SHARED.encode()) == 6
        assert KEPT.encode() not in body
    assert not any(KEPT in text or SHARED in text for text in said)
    for path in files(person.data_dir, *places.values()):
        content = path.read_bytes()
        assert KEPT.encode() not in content, path
        assert SHARED.encode() not in content, path
