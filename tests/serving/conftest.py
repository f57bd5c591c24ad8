"""The real service on a free port, over tiny random models."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import uvicorn

from app.pipeline.models import use_model
from app.pipeline.shelf import Shelf
from app.pipeline.workspace import Workspace, open_workspace
from app.serving.program import listen
from app.serving.server import build_app
from tests.pipeline.support import personal_adapter
from tests.tiny import tiny_gguf

TOKEN = "a token for these tests"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A running service and a client of it."""

    url: str
    client: openai.OpenAI
    shelf: Shelf
    model: Path

    @property
    def workspace(self) -> Workspace:
        return self.shelf.workspace


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One service for a file of tests: a base and an adapter, Mine 1."""
    folder = tmp_path_factory.mktemp("serve")
    workspace, model = open_workspace(folder / "data"), tiny_gguf(folder)
    use_model(workspace, str(model))
    personal_adapter(workspace, model)
    shelf = Shelf(workspace)
    with listen(0) as listening:
        config = uvicorn.Config(
            build_app(shelf, TOKEN), log_level="critical", lifespan="off", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0) as client:
            yield Endpoint(url, client, shelf, model)
        server.should_exit = True
        thread.join()
    shelf.close()
