"""cdcda-app: the program in the browser, on this computer alone.

    cdcda-app [--port 7860] [--data-dir DIR] [--cloud-url URL] [--cloud-model FILE] [--no-browser]

It starts the augmentation service itself unless --cloud-url names one, opens the page, and ends both on Ctrl-C. Nothing
heavy is imported before the arguments are read: `cdcda-app --help` answers at once.
"""

import argparse
import concurrent.futures
import contextlib
import errno
import fcntl
import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import SHOWN, PortNotOpened

if TYPE_CHECKING:
    from app.pipeline.local_service import CloudAddress, OwnService
    from app.pipeline.workspace import Workspace

HOST = "127.0.0.1"
PORT = 7860
TOKEN = "CDCDA_CLOUD_TOKEN"
STOP_SECONDS = 20.0
"""How long jobs have to save before the program ends without them."""
UPLOADS = "cdcda-uploads-"
"""How the folders begin that hold what the browser sent, one for each run."""
IN_USE = "in-use"
"""A file in such a folder that is locked as long as its run lives."""


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        prog="cdcda-app", description="A small language model on your own computer learns to write the way you do."
    )
    parser.add_argument(
        "--port", type=int, default=PORT, help="the page's port, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where your data lies (default: $CDCDA_DATA_DIR or ~/.cdcda)")
    parser.add_argument(
        "--cloud-url", metavar="URL", help="augmentation service to use instead of one on this computer"
    )
    parser.add_argument("--cloud-token", metavar="TOKEN", help=f"its token (default: ${TOKEN})")
    parser.add_argument("--cloud-model", metavar="FILE", help="GGUF model for the service on this computer")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error(f"--port takes a number from 0 to 65535, not {options.port}")
    if options.cloud_url and not options.cloud_url.startswith(("http://", "https://")):
        parser.error(f"--cloud-url takes an address with http:// or https://, not {options.cloud_url}")
    return options


def _not_opened(port: int, error: OSError) -> PortNotOpened:
    """Why the page's port cannot be opened, and what to do about it."""
    if error.errno == errno.EADDRINUSE:
        return PortNotOpened(
            f"Port {port} should be free for the page but another program has it; end that program, or choose another"
            " port with --port."
        )
    if error.errno == errno.EACCES:
        return PortNotOpened(
            f"The system does not let you open port {port} for the page; choose another with --port, like {PORT}."
        )
    why = error.strerror or "its server did not start"
    return PortNotOpened(f"The page cannot be shown on port {port} ({why}); start the app again once that is mended.")


def claim_port(port: int) -> int:
    """The port, or a free one for 0; raises PortNotOpened when somebody listens there, or the system refuses it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise _not_opened(port, error) from None


def _locked(mark: Path) -> int | None:
    """Take the lock of a run's folder; None while that run lives, or where the folder is somebody else's."""
    descriptor = None
    with contextlib.suppress(OSError):
        descriptor = os.open(mark, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    if descriptor is not None:
        os.close(descriptor)
    return None


def _remove_abandoned() -> None:
    """Delete what runs left behind that were killed."""
    for mark in Path(tempfile.gettempdir()).glob(f"{UPLOADS}*/{IN_USE}"):
        if (descriptor := _locked(mark)) is not None:
            shutil.rmtree(mark.parent, ignore_errors=True)
            os.close(descriptor)


def _private_uploads() -> str:
    """A folder of this run alone for files that the browser sends; the system's temporary folder is open to others."""
    _remove_abandoned()
    folder = tempfile.mkdtemp(prefix=UPLOADS)
    # Locked until the process ends, however it does.
    _locked(Path(folder, IN_USE))
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    return folder


def _remove_left(workspace: "Workspace") -> None:
    """Remove what jobs left that were killed, where nobody saw their end; a store that is busy does not hinder it."""
    from app.pipeline import jobs, unfinished

    with contextlib.suppress(*SHOWN):
        jobs.refresh(workspace)
        unfinished.remove_unfinished(workspace)


def _start_service(options: argparse.Namespace, workspace: "Workspace") -> "tuple[CloudAddress, OwnService | None]":
    from app.pipeline.local_service import MODEL_VARIABLE, CloudAddress, OwnService

    if options.cloud_url:
        return CloudAddress(options.cloud_url.rstrip("/"), options.cloud_token or os.environ.get(TOKEN, "")), None
    if options.cloud_model:
        # Whoever asks later which model the service has gets the same answer.
        os.environ[MODEL_VARIABLE] = str(options.cloud_model)
    own = OwnService(workspace, options.cloud_model)
    return own.address, own


def _stop_jobs() -> None:
    """End the workers that this run started; each saves first, and can be resumed."""
    from app.pipeline import jobs

    jobs.end_workers(STOP_SECONDS)


def _say(line: str) -> None:
    """A line for whoever started it; where nobody reads on, the program goes on all the same, and quietly."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Python would flush once more at its end, and say there that it could not.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _until_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one does not interrupt the tidying up."""
    asked = threading.Event()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: asked.set()) for kind in kinds]
    try:
        yield asked
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _open_page(options: argparse.Namespace, workspace: "Workspace", service: Any) -> Any:
    """Build and launch the page; the service may still be starting on the other thread while Gradio is imported."""
    from app.pipeline.generation import Writer
    from app.ui.page import build_ui, launch_options
    from app.ui.services import Services

    address, own = service.result()
    services = Services(workspace, address, Writer(workspace), own)
    page = build_ui(services)
    # What was free some seconds ago may be taken by now.
    port = claim_port(options.port)
    try:
        page.launch(server_name=HOST, server_port=port, prevent_thread_lock=True, inbrowser=False, **launch_options())
    except OSError as error:
        # Of a port Gradio says what only its own users understand.
        claim_port(port)
        raise _not_opened(port, error) from None
    # What is imported and laid out stays: the collector would walk it again and again, a tenth of a second each time.
    gc.freeze()
    return page, services, f"http://{HOST}:{port}"


def serve(options: argparse.Namespace, asked: threading.Event) -> None:
    """Show the page until a signal asks to end; raises AppError where it cannot be shown."""
    from app.device.threads import share_cores
    from app.pipeline.workspace import open_workspace

    share_cores()
    # Said before the seconds that everything else takes.
    claim_port(options.port)
    workspace = open_workspace(options.data_dir)
    # A store that cannot be read is said here, once, rather than by every part of the page.
    workspace.store().close()
    uploads = _private_uploads()
    with contextlib.ExitStack() as tidy, concurrent.futures.ThreadPoolExecutor(1) as other_thread:
        tidy.callback(_remove, uploads)
        service = other_thread.submit(_start_service, options, workspace)
        tidy.callback(_close_service, service)
        _remove_left(workspace)
        page, services, address = _open_page(options, workspace, service)
        tidy.callback(services.writer.close)
        tidy.callback(_stop_jobs)
        tidy.callback(page.close, verbose=False)
        _say(f"CDCDA is ready at {address}")
        if not options.no_browser:
            webbrowser.open(address)
        asked.wait()
        _say("Stopping; what was made is kept.")


def _close_service(service: Any) -> None:
    """End the service that was started, if it was."""
    with contextlib.suppress(*SHOWN):
        _, own = service.result()
        if own is not None:
            own.close()


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; 0 after a quiet end, 1 with one sentence where it cannot run."""
    options = read_arguments(arguments)
    with _until_signal() as asked:
        try:
            serve(options, asked)
        except SHOWN as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
