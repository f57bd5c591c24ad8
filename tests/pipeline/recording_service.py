"""A service that keeps every byte it gets and answers what a test tells it to: for what a real one never would."""

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from app.pipeline.local_service import CloudAddress

Answer = Callable[[dict[str, Any], list[str]], Iterator[bytes]]


IN_LETTERS = str.maketrans("0123456789", "ghijklmnop")
"""A reference is random, and once in a while its digits would be somebody's account number."""


def pair_line(reference: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    """A line with a good pair."""
    scores = {"entails": 0.9, "entailed": 0.8, "rouge_l": 0.4, "length_ratio": 1.1}
    text = f"Like {reference.translate(IN_LETTERS)}"
    line = {"type": "pair", "reference": reference, "number": number, "input": text, "output": "A title"}
    return {**line, "model": "fake", "prompt": "paper", "seed": 1, "scores": scores, **changes}


def encoded(*lines: dict[str, Any]) -> Iterator[bytes]:
    """Lines as they travel."""
    for line in lines:
        yield json.dumps(line).encode() + b"\n"


SUMMARY = {"type": "summary", "records": 1, "pairs": 1, "failures": 0, "generated_tokens": 1, "seconds": 0.1}


def good_answer(request: dict[str, Any], skip: list[str]) -> Iterator[bytes]:
    """k pairs for each record that is not skipped."""
    for record in request["records"]:
        if record["reference"] not in skip:
            yield from encoded(*(pair_line(record["reference"], n + 1) for n in range(request["k"])))
            yield from encoded({"type": "record", "reference": record["reference"]})
    yield from encoded(SUMMARY)


class RecordingService:
    """What arrived, and how to answer."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.skips: list[list[str]] = []
        self.tokens: list[str | None] = []
        self.status = 200
        self.busy: list[int] = []
        """Statuses of the next answers, before all others are as they should be."""
        self.headers: dict[str, str] = {}
        self.answer: Answer = good_answer
        self.url = ""
        self.passes_on_to: str | None = None
        self.says_what_it_can = True
        self.embedded = False
        """Whether it says that its model is the small one of the install."""

    @property
    def hashes(self) -> list[str]:
        """SHA-256 of each body."""
        return [hashlib.sha256(body).hexdigest() for body in self.bodies]

    @property
    def address(self) -> CloudAddress:
        """As a service that the person named."""
        return CloudAddress(self.url, "token")


def _handler(service: RecordingService) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            skip = list(filter(None, (self.headers.get("X-Cdcda-Skip") or "").split(",")))
            service.bodies.append(body)
            service.skips.append(skip)
            service.tokens.append(self.headers.get("Authorization"))
            status = service.busy.pop(0) if service.busy else service.status
            self.send_response(status)
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if status == 200:
                with contextlib.suppress(OSError):
                    for block in service.answer(json.loads(body), skip):
                        self.wfile.write(block)
                        self.wfile.flush()

        def do_GET(self) -> None:
            models = [{"name": "fake", "embedded": service.embedded, "prompt": "paper"}]
            can = {"models": models, "scorer": "none", "passes_on_to": service.passes_on_to}
            self.send_response(200 if service.says_what_it_can else 404)
            self.end_headers()
            self.wfile.write(json.dumps(can).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


@contextlib.contextmanager
def recording_service() -> Iterator[RecordingService]:
    """A running one on a free port of this computer."""
    service = RecordingService()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
