"""What names a pool, and what is asked of the service for it."""

from pathlib import Path

import pytest

from app.device.catalogue import LocalModel
from app.errors import BadInput
from app.evaluation import pools
from app.evaluation.pools import Largest, Pools, Wanted
from app.lamp import LampPair
from app.pipeline.local_service import CloudAddress
from app.tasks import find_task
from tests.cloud_stub.fakes import FakeModel

HISTORY = tuple(LampPair(f"text {number}", str(number), f"200{number}") for number in (1, 2, 3, 4))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pools, "model_hash", lambda model: "hash of the model")
    return tmp_path / "pools"


def made(folder: Path, service: CloudAddress | None, task: str, *shares: float) -> Pools:
    """Pools that were asked for these shares of a task; without a service they are begun alone."""

    def address() -> CloudAddress:
        if service is None:
            raise BadInput("There is no service.")
        return service

    made = Pools(folder, LocalModel("large", folder / "large.gguf", "gguf"), address, Largest(max(shares), 2))
    for share in shares:
        made.pairs(Wanted("u", find_task(task), HISTORY, share, 1, 0))
    return made


# Pairs that took hours lie under these names: a change of one loses them.
@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("LaMP_2", "7b388f7d414494eff772"),
        ("LaMP_3", "4bc43df26fce98793cef"),
        ("LaMP_4", "eacc37854a805145fd92"),
        ("LaMP_5", "031c86510a816ffb324e"),
        ("LaMP_7", "2efdd0b009119cae47a4"),
    ],
)
def test_a_pool_keeps_its_name(folder: Path, task: str, name: str) -> None:
    with pytest.raises(BadInput, match="no service"):
        made(folder, None, task, 0.5)
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.slow
def test_a_share_of_titles_comes_from_the_largest_pool_in_free_words(
    folder: Path, service: CloudAddress, model: FakeModel
) -> None:
    made(folder, service, "LaMP_1", 0.5, 1.0)
    assert len(list(folder.iterdir())) == 1
    assert len(model.prompts) == 8
    assert {prompt.answers for prompt in model.prompts} == {()}


@pytest.mark.slow
def test_a_tag_is_one_of_those_that_were_shared_with_it(folder: Path, service: CloudAddress, model: FakeModel) -> None:
    made(folder, service, "LaMP_2", 0.5, 1.0)
    assert len(list(folder.iterdir())) == 2
    assert {len(prompt.answers) for prompt in model.prompts} == {2, 4}
