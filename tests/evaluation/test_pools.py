"""What names a pool, and what is asked of the service for it."""

from pathlib import Path

import pytest

from app.device.catalogue import LocalModel
from app.errors import BadInput, CloudError
from app.evaluation import pools
from app.evaluation.pools import Largest, Pools, Synthetic, Wanted
from app.lamp import LampPair
from app.pipeline import payload
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


def pairs(
    folder: Path, service: CloudAddress, task: str, share: float, k: int, history: tuple[LampPair, ...] = HISTORY
) -> list[Synthetic]:
    """What a run of that share and k alone comes to, sorted by record and number."""
    wanted = Wanted("u", find_task(task), history, share, k, 0)
    run = Pools(folder, LocalModel("large", folder / "large.gguf", "gguf"), lambda: service, Largest(share, k))
    return sorted(run.pairs(wanted), key=lambda pair: (pair.record, pair.number))


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


@pytest.mark.slow
@pytest.mark.parametrize(("task", "larger"), [("LaMP_5", (1.0, 3)), ("LaMP_2", (0.5, 3))])
def test_a_later_run_takes_fewer_pairs_from_the_pool_of_an_earlier_one(
    folder: Path, service: CloudAddress, model: FakeModel, task: str, larger: tuple[float, int]
) -> None:
    every = pairs(folder, service, task, *larger)
    asked = len(model.prompts)
    some = pairs(folder, service, task, 0.5, 1)
    assert len(some) == 2
    assert set(some) <= set(every)
    assert len(model.prompts) == asked
    assert len(list(folder.iterdir())) == 1


@pytest.mark.slow
def test_a_pool_that_was_not_finished_serves_no_other(folder: Path, service: CloudAddress) -> None:
    with pytest.raises(CloudError):
        pairs(folder, CloudAddress("http://127.0.0.1:1", "none", local=True), "LaMP_5", 1.0, 3)
    assert len(pairs(folder, service, "LaMP_5", 1.0, 1)) == 4
    assert len(list(folder.iterdir())) == 2


@pytest.mark.slow
def test_a_larger_pool_begins_with_the_pairs_of_a_smaller_one(folder: Path, service: CloudAddress) -> None:
    few = pairs(folder, service, "LaMP_5", 0.5, 1)
    many = pairs(folder, service, "LaMP_5", 1.0, 2)
    assert len(list(folder.iterdir())) == 2
    assert {pair.pair for pair in few} == {
        pair.pair for pair in many if pair.number == 1 and pair.record in {one.record for one in few}
    }


@pytest.mark.slow
def test_a_long_history_is_uploaded_in_parts(
    folder: Path, service: CloudAddress, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "MAX_RECORDS", 2)
    monkeypatch.setattr(pools, "MAX_RECORDS", 2, raising=False)
    # The fourth repeats the second, which stands in an earlier part.
    history = (*HISTORY[:3], HISTORY[1], LampPair("text 5", "5"))
    made = pairs(folder, service, "LaMP_5", 1.0, 1, history)
    assert sorted(pair.record for pair in made) == [0, 2, 3, 4]
    assert len(model.prompts) == 4
    assert pairs(folder, service, "LaMP_5", 1.0, 1, history) == made
    assert len(model.prompts) == 4
