"""Stand-ins for the service's two seams, written by hand, and the real server around them on a free port."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import requests
import uvicorn

from cloud_stub.augmenting import Parts
from cloud_stub.limits import Bounds
from cloud_stub.prompts import Prompt
from cloud_stub.rouge import rouge_l
from cloud_stub.schemas import Capabilities, ModelDescription, SharedRecord
from cloud_stub.server import build_app
from cloud_stub.writing import Sample

TOKEN = "a token for tests"


class FakeModel:
    """Answers what a function says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Prompt, int], Sample] | None = None) -> None:
        self.answer = answer or (
            lambda prompt, seed: Sample(f"{prompt.input_like} again {seed}", prompt.output_like, 7)
        )
        self.prompts: list[Prompt] = []
        self.seeds: list[tuple[int, ...]] = []

    async def write(
        self, prompt: Prompt, seeds: Sequence[int], temperature: float, should_stop: Callable[[], bool]
    ) -> list[Sample]:
        """See LanguageModel."""
        self.prompts.append(prompt)
        self.seeds.append(tuple(seeds))
        return [self.answer(prompt, seed) for seed in seeds]


class SlowModel(FakeModel):
    """Writes for ever, until it is told to stop; but for one input, which it answers at once."""

    def __init__(self, quick: str = "") -> None:
        super().__init__()
        self.quick = quick
        self.started = threading.Event()
        self.stopped = threading.Event()

    async def write(
        self, prompt: Prompt, seeds: Sequence[int], temperature: float, should_stop: Callable[[], bool]
    ) -> list[Sample]:
        """See LanguageModel."""
        if prompt.input_like == self.quick:
            return await super().write(prompt, seeds, temperature, should_stop)
        self.started.set()
        while not should_stop():
            await asyncio.sleep(0.005)
        self.stopped.set()
        return [Sample("", "", 0, "stopped") for _ in seeds]


class FakeNli:
    """Scores by length alone, so that the two directions differ; remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, str]]] = []

    def entailment(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See NliScorer."""
        self.calls.append(list(pairs))
        return [min(1.0, len(premise) / (len(premise) + len(hypothesis))) for premise, hypothesis in pairs]


class Lenient:
    """A proofreader that lets pass what a function says."""

    def __init__(self, says: Callable[[str, str], bool] = lambda original, text: True) -> None:
        self.says = says

    def says_the_same(self, original: str, texts: Sequence[str]) -> list[bool]:
        """See Proofreader."""
        return [self.says(original, text) for text in texts]

    def reads_well(self, original: str, texts: Sequence[str]) -> list[bool]:
        """See Proofreader."""
        return [True for _ in texts]


def reference(number: int) -> str:
    return f"{number:016x}"


def record(number: int, text: str = "The cat sat on the mat", output: str = "cat, mat") -> SharedRecord:
    return SharedRecord(reference=reference(number), input=text, output=output)


def request_body(*records: SharedRecord, **settings: Any) -> dict[str, Any]:
    return {"records": [one.model_dump() for one in records], **settings}


CAPABILITIES = Capabilities(
    models=(ModelDescription(name="fake", embedded=False, prompt="rewrite"),), scorer="by length alone"
)


BOUNDS = Bounds(requests_per_minute=0, records_per_minute=0)


def loaded(model: Any, scorer: Any = None) -> "Future[Parts]":
    # As the service does before it says that it is ready: importing rouge-score takes seconds.
    rouge_l("", "")
    future: Future[Parts] = Future()
    models = model if isinstance(model, tuple) else (model,)
    future.set_result(Parts(models, scorer or FakeNli(), Lenient()))
    return future


class Client:
    """Talks to a service as any program would."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, body: Any, headers: Mapping[str, str] | None = None, token: str = TOKEN, **options: Any) -> Any:
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests.post(f"{self.url}/v1/augment", data=data, headers=sent, timeout=30, **options)

    def lines(self, body: Any, headers: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        answer = self.post(body, headers)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


@contextlib.contextmanager
def serving(
    parts: "Future[Parts]",
    capabilities: Capabilities = CAPABILITIES,
    bounds: Bounds = BOUNDS,
    room: int = 1,
    buffer: int | None = None,
    bases_dir: Path | None = None,
) -> Iterator[Client]:
    """The real server around these parts, on a free loopback port; `buffer` are bytes that wait unread, about."""
    app = build_app(capabilities, parts, TOKEN, bounds, room, bases_dir)
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if buffer:
            # Connections inherit it.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield Client(f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            app.state.service.stopping.set()
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()
