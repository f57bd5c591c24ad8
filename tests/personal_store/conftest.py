from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from personal_store.jobs import create_job
from personal_store.nouns import NewPair, NewRecord, Record, Scores
from personal_store.pairs import add_pair
from personal_store.records import add_records, get_records
from personal_store.store import Store, open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path) as store:
        yield store


@pytest.fixture
def add(store: Store) -> Callable[..., Record]:
    """Adds one record to the store."""

    def add(input: str, output: str = "an output", task: str = "title", created_at: str | None = None) -> Record:
        (id,) = add_records(store, [NewRecord(task, input, output, created_at, "history.csv")]).added
        return get_records(store, [id])[0]

    return add


@pytest.fixture
def add_synthetic(store: Store) -> Callable[..., int]:
    """Adds one pair of a record, in a job of its own unless one is given."""

    def add_synthetic(record_id: int, number: int = 1, job_id: int | None = None, input: str = "synthetic") -> int:
        job = job_id or create_job(store, "augment", {}).id
        return add_pair(store, NewPair(record_id, job, number, input, "made", "m", 0, Scores(0.9, 0.8, 0.7, 1.1)))

    return add_synthetic
