"""Rates, shares of threads and the shared scorer, alone; and the limits over a real connection."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import requests

from cloud_stub import schemas
from cloud_stub.limits import Bounds, Rate
from cloud_stub.scheduling import Batch, Pool, SharedScorer
from tests.cloud_stub.fakes import TOKEN, FakeModel, FakeNli, loaded, record, request_body, serving


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_worth_is_given_at_once_and_the_rest_as_time_goes_by() -> None:
    clock = Clock()
    rate = Rate(60, clock)
    assert [rate.take("a") for _ in range(60)] == [0] * 60
    assert rate.take("a") == 1
    assert rate.take("b") == 0
    clock.now += 2.5
    assert [rate.take("a"), rate.take("a"), rate.take("a")] == [0, 0, 1]
    clock.now += 3600
    assert [rate.take("a") for _ in range(61)] == [0] * 60 + [1]


def test_more_than_a_minutes_worth_is_given_once_and_paid_for_afterwards() -> None:
    clock = Clock()
    rate = Rate(60, clock)
    assert rate.take("a", 180) == 0
    assert rate.take("a") == 121
    clock.now += 121
    assert rate.take("a") == 0


def test_without_a_rate_there_is_no_limit() -> None:
    assert [Rate(0).take("a", 10**9) for _ in range(3)] == [0, 0, 0]


def test_clients_at_rest_are_forgotten() -> None:
    clock = Clock()
    rate = Rate(60, clock)
    for number in range(1001):
        rate.take(str(number))
    clock.now += 60
    rate.take("new")
    assert list(rate._left) == ["new"]


class Done:
    """Jobs that write down when they were done."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def job(self, name: str, seconds: float = 0.01) -> Callable[[], None]:
        def run() -> None:
            with self._lock:
                self.running += 1
                self.most = max(self.most, self.running)
            time.sleep(seconds)
            with self._lock:
                self.running -= 1
                self.names.append(name)

        return run


def do(job: Callable[[], None]) -> None:
    job()


def test_with_room_for_one_the_clients_have_a_job_each_in_turn() -> None:
    done, pool = Done(), Pool(1)
    batches = [Batch([done.job(name) for _ in range(3)], do, 5) for name in "ab"]
    for batch in batches:
        pool.add(batch)
    for batch in batches:
        batch.ended.result(10)
    assert done.most == 1
    # When the second client came, the first one's next job was already in the queue.
    assert "".join(done.names) == "aababb"


def test_jobs_take_the_room_that_they_cost() -> None:
    done, pool = Done(), Pool(10)
    batch = Batch([done.job("x", 0.05) for _ in range(12)], do, 5)
    pool.add(batch)
    batch.ended.result(10)
    assert done.most == 2
    assert len(done.names) == 12


def test_a_dropped_batch_ends_with_what_was_running() -> None:
    done, pool = Done(), Pool(1)
    batch = Batch([done.job("x", 0.1) for _ in range(50)], do, 1)
    pool.add(batch)
    pool.drop(batch)
    batch.ended.result(10)
    assert done.names == ["x"]
    empty = Batch[Callable[[], None]]([], do, 1)
    pool.add(empty)
    assert empty.ended.done()


def test_a_running_job_takes_those_of_its_own_client_until_another_one_waits() -> None:
    taken: list[int | None] = []
    pool, others = Pool(1), Done()

    def count(job: int) -> None:
        taken.extend([job, pool.take(numbers)])
        if job == 0:
            pool.add(Batch([others.job("other")], do, 1))
            taken.append(pool.take(numbers))

    numbers = Batch(range(4), count, 1)
    pool.add(numbers)
    numbers.ended.result(10)
    # This client's turn was next in the queue already; its last job finds nothing left to take.
    assert taken == [0, 1, None, 2, None, 3, None]
    assert others.names == ["other"]


class SlowNli(FakeNli):
    def entailment(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See NliScorer."""
        time.sleep(0.1)
        return super().entailment(pairs)


def test_what_comes_in_while_it_scores_is_scored_in_one_pass_and_each_gets_its_own() -> None:
    slow = SlowNli()
    shared = SharedScorer(slow)
    found: dict[int, list[float]] = {}

    def ask(number: int) -> None:
        found[number] = shared.entailment([("x" * number, "y"), ("y", "x" * number)])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(slow.calls) <= 3
    assert found == {number: [number / (number + 1), 1 / (number + 1)] for number in range(1, 9)}
    assert shared.entailment([]) == []


class BrokenNli:
    def entailment(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See NliScorer."""
        raise RuntimeError


def test_a_scorer_that_breaks_is_told_to_who_asked() -> None:
    shared = SharedScorer(BrokenNli())
    for _ in range(2):
        with pytest.raises(RuntimeError):
            shared.entailment([("a", "b")])


def refused(answer: Any) -> None:
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "minute" in schemas.Problem.model_validate(answer.json()).error


def test_who_asks_too_often_is_told_when_to_come_back_and_health_still_answers() -> None:
    with serving(loaded(FakeModel()), bounds=Bounds(requests_per_minute=3)) as client:
        url = f"{client.url}/v1/capabilities"
        answers = [requests.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        refused(answers[-1])
        assert requests.get(f"{client.url}/v1/health", timeout=10).status_code == 200


def test_who_guesses_tokens_is_held_up() -> None:
    with serving(loaded(FakeModel()), bounds=Bounds(requests_per_minute=3)) as client:
        statuses = [client.post(request_body(record(1)), token="wrong").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_who_sends_too_many_records_is_told_when_to_come_back() -> None:
    with serving(loaded(FakeModel()), bounds=Bounds(records_per_minute=3)) as client:
        body = request_body(record(1), record(2), k=1)
        assert client.post(body).status_code == 200
        refused(client.post(body))
        skip = {schemas.SKIP_HEADER: ",".join(one["reference"] for one in body["records"][:1])}
        assert client.post(body, skip).status_code == 200


def test_capabilities_tell_all_limits() -> None:
    bounds = Bounds(waiting=7, requests_per_minute=0, records_per_minute=9, record_seconds=1.5, request_seconds=2.5)
    with serving(loaded(FakeModel()), bounds=bounds, room=3) as client:
        answer = requests.get(f"{client.url}/v1/capabilities", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    found = schemas.Capabilities.model_validate(answer.json())
    assert found.limits == schemas.Limits(
        waiting=7, at_once=3, requests_per_minute=0, records_per_minute=9, record_seconds=1.5, request_seconds=2.5
    )


def test_the_page_to_read_asks_nobody_for_anything_and_names_everything() -> None:
    with serving(loaded(FakeModel())) as client:
        answer = requests.get(client.url, timeout=10)
        described = requests.get(f"{client.url}/openapi.json", timeout=10).json()
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not any(word in answer.text for word in ("<script", "src=", "http://", "https://", "@import", "url("))
    for name in [*described["paths"], *described["components"]["schemas"], "records_per_minute"]:
        assert name in answer.text
