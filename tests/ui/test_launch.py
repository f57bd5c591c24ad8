"""`cdcda-app` as a process: it becomes ready, refuses a taken port, and ends quietly."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from app.__main__ import claim_port
from app.errors import PortNotOpened
from personal_store import forgetting
from tests.limits import no_more_files
from tests.pipeline.support import workspace_with
from tests.pipeline.test_unfinished import training_job
from tests.tiny import tiny_gguf

READY = "CDCDA is ready at "
SECONDS = 60.0


def command(data_dir: Path, *more: str) -> list[str]:
    arguments = ["--port", "0", "--data-dir", str(data_dir), "--no-browser", "--cloud-url", "http://127.0.0.1:9", *more]
    return [sys.executable, "-m", "app", *arguments]


def wait_until_ready(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(READY):
            return line.removeprefix(READY).strip()
    pytest.fail(f"the app ended with {process.wait()} before it was ready")


@pytest.fixture
def app(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        command(tmp_path / "data"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        yield process
        if process.poll() is None:
            process.kill()


SENTENCE = "The lamps were the best actors."


def look_at_a_file(address: str, file: Path) -> Client:
    """Choose a file in a window of the page, and import nothing."""
    file.write_text(f"review,score\n{SENTENCE},4\n")
    client = Client(address, verbose=False)
    client.predict([handle_file(str(file))], "", "", api_name="/preview_history")
    return client


def copies(folder: Path) -> list[Path]:
    """Files below the folder in which that sentence stands."""
    return [path for path in folder.rglob("*") if path.is_file() and SENTENCE.encode() in path.read_bytes()]


@pytest.mark.slow
# Gradio leaves event loops and their sockets to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_only_looked_at_goes_with_the_app_and_after_a_kill_with_the_next_start(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    for kind in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(
            command(tmp_path / "data"), env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            address = wait_until_ready(process)
            assert not copies(temporary)
            client = look_at_a_file(address, tmp_path / "reviews.csv")
            assert copies(temporary)
            process.send_signal(kind)
            process.communicate(timeout=SECONDS)
            client.close()
    assert not list(temporary.glob("cdcda-*"))
    assert not copies(temporary)


@pytest.mark.slow
def test_what_a_killed_training_learned_from_a_forgotten_record_goes_with_the_next_start(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path / "data", 12)
    _, folder = training_job(workspace, "interrupted")
    with workspace.store() as store:
        forgetting.forget_record(store, ids[0])
    with subprocess.Popen(command(workspace.data_dir), stdout=subprocess.PIPE, text=True) as process:
        wait_until_ready(process)
        process.terminate()
    assert not folder.exists()


def group_is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_once_it_says_so_and_ends_quietly(app: "subprocess.Popen[str]", kind: signal.Signals) -> None:
    address = wait_until_ready(app)
    with urllib.request.urlopen(address, timeout=10) as page:
        assert page.status == 200
    app.send_signal(kind)
    _, errors = app.communicate(timeout=SECONDS)
    assert app.returncode == 0
    assert errors == ""
    assert group_is_empty(app.pid)


@pytest.mark.slow
def test_it_ends_quietly_when_nobody_reads_what_it_says(app: "subprocess.Popen[str]") -> None:
    wait_until_ready(app)
    assert app.stdout is not None
    assert app.stderr is not None
    app.stdout.close()
    app.terminate()
    assert app.wait(SECONDS) == 0
    assert app.stderr.read() == ""


def test_taken_port_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(tmp_path, "--port", str(port)), capture_output=True, text=True, timeout=SECONDS, check=False
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Port {port}" in done.stderr
    assert "--port" in done.stderr


def test_a_port_that_is_taken_while_the_page_is_built_is_one_sentence_too(tmp_path: Path) -> None:
    code = (
        "import sys, app.__main__ as a\nclaim = a.claim_port\n"
        "def free_at_first(port):\n    a.claim_port = claim\n    return port\n"
        "a.claim_port = free_at_first\nsys.exit(a.main(sys.argv[1:]))"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = [
            "--port",
            str(port),
            "--data-dir",
            str(tmp_path),
            "--no-browser",
            "--cloud-url",
            "http://127.0.0.1:9",
        ]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"Port {port} should be free")
    assert "Traceback" not in done.stderr


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Nobody's rights inside, where the test has more."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


EVERYBODYS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
"""Holds the first port that needs no rights, on Linux."""


@pytest.mark.skipif(not EVERYBODYS.exists() or int(EVERYBODYS.read_text()) < 2, reason="no port needs rights here")
def test_a_port_that_is_not_permitted_is_said_to_be() -> None:
    with without_rights(), pytest.raises(PortNotOpened, match=r"does not let you open port 1 .*--port, like 7860"):
        claim_port(1)


def test_what_else_stands_in_the_way_of_a_port_is_said() -> None:
    with no_more_files(), pytest.raises(PortNotOpened, match=r"port 7860 \(Too many open files\); start the app again"):
        claim_port(7860)


def test_what_else_stands_in_the_way_of_the_page_is_said(tmp_path: Path) -> None:
    code = (
        "import errno, gradio, os, sys, app.__main__ as a\n"
        "def launch(*_, **__): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "gradio.Blocks.launch = launch\nsys.exit(a.main(sys.argv[1:]))"
    )
    arguments = [sys.executable, "-c", code, *command(tmp_path)[3:]]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "(No space left on device); start the app again" in done.stderr


def test_bad_address_is_bad_usage(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, "--cloud-url", "service.example"), capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 2


def test_help_answers_without_gradio() -> None:
    started = time.monotonic()
    code = "import sys, app.__main__ as a\ntry: a.main(['--help'])\nexcept SystemExit: print('gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert done.stdout.endswith("False\n")
    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_building_the_page_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from app.pipeline.generation import Writer\nfrom app.pipeline.local_service import CloudAddress\n"
        "from app.pipeline.workspace import open_workspace\nfrom app.ui.page import build_ui\n"
        "from app.ui.services import Services\n"
        f"w = open_workspace({str(tmp_path)!r})\n"
        "build_ui(Services(w, CloudAddress('http://127.0.0.1:9', 't', True), Writer(w)))\n"
        "print([n for n in ('torch', 'transformers', 'peft', 'llama_cpp') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_started_app_shows_its_page_without_torch_transformers_or_llama(tmp_path: Path) -> None:
    told_to_look = (
        "import os, signal, sys, threading\nimport app.__main__ as program\n"
        "HEAVY = ('torch', 'transformers', 'peft', 'bitsandbytes', 'llama_cpp', 'sentence_transformers')\n"
        "def look():\n"
        "    sys.stdin.readline()\n"
        "    sys.stderr.write(repr([name for name in HEAVY if name in sys.modules]))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Thread(target=look, daemon=True).start()\n"
        f"program.main({command(tmp_path / 'data')[3:]!r})"
    )
    with subprocess.Popen(
        [sys.executable, "-c", told_to_look],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        client = Client(wait_until_ready(process), verbose=False)
        for name in ("/state", "/import_sample"):
            client.predict(api_name=name)
        client.close()
        _, errors = process.communicate("look\n", timeout=SECONDS)
    assert errors == "[]"


def members(session: int) -> list[str]:
    """Commands of the living processes of a session."""
    listing = subprocess.run(["ps", "-e", "-o", "sid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listing.splitlines()]
    return [row[2] for row in rows if row[0] == str(session) and not row[1].startswith("Z")]


@pytest.mark.slow
def test_its_own_service_ends_with_it_also_when_it_is_killed(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "app", "--port", "0", "--data-dir", str(tmp_path / "data"), "--no-browser"]
    environment = os.environ | {"CDCDA_CLOUD_MODEL": str(tiny_gguf(tmp_path))}
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment
    ) as process:
        wait_until_ready(process)
        assert any("cloud_stub" in command for command in members(process.pid))
        process.kill()
    until = time.monotonic() + SECONDS
    while members(process.pid):
        assert time.monotonic() < until, members(process.pid)
        time.sleep(0.2)
