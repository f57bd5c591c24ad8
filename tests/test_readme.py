"""The README's own commands, and what the other documents promise of the code."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
INSTALL = (
    "python3 -m venv .venv && .venv/bin/pip install torch==2.13.0 && "
    'CMAKE_ARGS="-DLLAVA_BUILD=OFF -DCMAKE_C_FLAGS=-U__AMX_INT8__ -DCMAKE_CXX_FLAGS=-U__AMX_INT8__" '
    ".venv/bin/pip install -c constraints.txt "
)


def members(session: int) -> list[str]:
    """The living processes of a session, by `ps`."""
    listing = subprocess.run(["ps", "-e", "-o", "sid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if line.split()[0] == str(session) and "Z" not in line.split()[1]]


def wait_for(pattern: str, log: pathlib.Path, seconds: float) -> str:
    """The first match in a growing log; fails with what the log says."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := re.search(pattern, log.read_text()):
            return found[0]
        time.sleep(0.1)
    pytest.fail(f"no {pattern} within {seconds} s: {log.read_text()}")


def test_two_command_blocks_stand_before_line_30() -> None:
    assert len(BLOCKS) == 2
    assert README.index(BLOCKS[1]) < len("\n".join(README.splitlines()[:30]))


def test_both_blocks_install_the_same_way() -> None:
    run, check = BLOCKS
    assert run == f"{INSTALL}. && .venv/bin/cdcda-app\n"
    assert check == f"{INSTALL}-e '.[test]' && .venv/bin/python tests/check.py\n"


def test_continuous_integration_runs_the_second_block_as_it_stands() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    extract = next(line for line in script.splitlines() if line.startswith("command=")).removeprefix("command=$(")[:-1]
    found = subprocess.run(["bash", "-c", extract], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found == BLOCKS[1]


@pytest.mark.slow
def test_the_launch_command_brings_up_a_page_and_ctrl_c_leaves_no_process(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    command = [os.path.join(sysconfig.get_path("scripts"), "cdcda-app"), "--port", "0"]
    environment = os.environ | {"HOME": str(tmp_path), "BROWSER": "true", "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out:
        shell = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        url = wait_for(r"http://127\.0\.0\.1:\d+", log, 60)
        assert urllib.request.urlopen(url, timeout=10).status == 200
        os.killpg(shell.pid, signal.SIGINT)
        assert shell.wait(30) == 0, log.read_text()
        assert members(shell.pid) == []
        assert "Traceback" not in log.read_text()
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)


def test_every_command_of_the_readme_exists() -> None:
    named = re.findall(r"^    cdcda (lamp |adapters )?([a-z |]+?)(?: +[A-Z\-\[]| {2,}|$)", README, re.M)
    commands = {(group, word) for group, words in named for word in re.split(r"[ |]+", words) if word}
    helped = {
        group: subprocess.run(
            [sys.executable, "-m", "app.cli", *group.split(), "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for group in ("", "lamp ", "adapters ")
    }
    needed = {"import", "share", "payload", "augment", "review", "train", "generate", "compare", "doctor"}
    assert {word for _, word in commands} >= needed | {"run", "table", "export"}
    assert {word for group, word in commands if not re.search(rf"\b{word}\b", helped[group])} == set()


def test_every_payload_field_stands_on_the_privacy_page() -> None:
    from cloud_stub.schemas import AugmentRequest, SharedRecord

    privacy = (ROOT / "docs" / "privacy.md").read_text()
    fields = {f"records[].{name}" for name in SharedRecord.model_fields} | set(AugmentRequest.model_fields) - {
        "records"
    }
    assert {field for field in fields if f"`{field}`" not in privacy} == set()
