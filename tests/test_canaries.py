"""Records that were not shared carry planted strings: after the journey none of them is anywhere it should not be."""

import csv
import os
import subprocess
import sys
from pathlib import Path

from tests.pipeline.recording_service import RecordingService, encoded, recording_service
from tests.test_journey import Person

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
    sha256 = person.types("payload", "--k", "1")["sha256"]
    return str(person.types("augment", "--k", "1", "--approve", sha256, code=code))


def files(*folders: Path) -> list[Path]:
    """Every file below the folders but the store's own."""
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if not path.name.startswith("store.db")]


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
