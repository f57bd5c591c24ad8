"""A service that answers at once, and one thread for tiny networks."""

from collections.abc import Iterator

import pytest

from app.evaluation.wordnet import VARIABLE
from app.pipeline.local_service import CloudAddress
from tests.cloud_stub.fakes import TOKEN, FakeModel, FakeNli, loaded, serving
from tests.evaluation.support import write_database


@pytest.fixture
def model() -> FakeModel:
    """Writes pairs of which some pass the filters: how much depends on the text's length alone."""
    return FakeModel()


@pytest.fixture
def service(model: FakeModel) -> Iterator[CloudAddress]:
    """The real server around it; local, as one that a run starts itself."""
    with serving(loaded(model, FakeNli())) as client:
        yield CloudAddress(client.url, TOKEN, local=True)


@pytest.fixture(autouse=True)
def small_wordnet(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of synsets in WordNet's own format, whatever is installed."""
    folder = tmp_path_factory.getbasetemp() / "wordnet"
    monkeypatch.setenv(VARIABLE, str(folder if folder.exists() else write_database(folder)))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than a tiny network's arithmetic."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
