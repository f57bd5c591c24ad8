import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from personal_store import migrations
from personal_store.errors import NotFound
from personal_store.jobs import add_event, create_job, events, get_job, heartbeat, list_jobs, move, set_state
from personal_store.preferences import get, put, secret
from personal_store.store import Store, open_store


def test_a_job_begins_queued(store: Store) -> None:
    job = create_job(store, "augment", {"k": 5})
    assert (job.state, job.settings, job.heartbeat, job.process_id) == ("queued", {"k": 5}, None, None)
    assert get_job(store, job.id) == job


def test_jobs_come_newest_first(store: Store) -> None:
    first, second, third = (create_job(store, kind, {}) for kind in ("augment", "train", "augment"))
    assert list_jobs(store) == (third, second, first)
    assert list_jobs(store, "augment", limit=1) == (third,)


def test_running_begins_with_a_sign_of_life(store: Store) -> None:
    job = create_job(store, "train", {})
    before = time.time()
    set_state(store, job.id, "running", process_id=os.getpid())
    running = get_job(store, job.id)
    assert running.process_id == os.getpid()
    assert running.heartbeat is not None
    assert running.heartbeat >= before
    heartbeat(store, job.id)
    beaten = get_job(store, job.id).heartbeat
    assert beaten is not None
    assert beaten >= running.heartbeat


def test_a_sign_of_life_is_of_when_it_could_be_written(store: Store, path: Path) -> None:
    job = create_job(store, "train", {})

    def beat() -> None:
        with open_store(path) as mine:
            heartbeat(mine, job.id)

    with ThreadPoolExecutor(1) as threads:
        with store.change():
            waiting = threads.submit(beat)
            time.sleep(0.5)
            released = time.time()
        waiting.result()
    beaten = get_job(store, job.id).heartbeat
    assert beaten is not None
    assert beaten >= released


def test_an_error_goes_with_its_state_and_the_process_stays(store: Store) -> None:
    job = create_job(store, "train", {})
    set_state(store, job.id, "failed", error="The disk is full.", process_id=12)
    assert get_job(store, job.id).error == "The disk is full."
    assert move(store, job.id, {"failed"}, "queued")
    again = get_job(store, job.id)
    assert (again.error, again.process_id) == (None, 12)
    set_state(store, job.id, "done", result={"adapter": 1})
    assert get_job(store, job.id).result == {"adapter": 1}


def test_a_state_is_left_only_from_the_states_named(store: Store) -> None:
    job = create_job(store, "train", {})
    assert not move(store, job.id, ["running", "stopping"], "interrupted")
    assert get_job(store, job.id).state == "queued"
    assert move(store, job.id, ["queued"], "running")
    assert get_job(store, job.id).state == "running"


def test_of_many_who_take_a_job_one_succeeds(store: Store, path: Path) -> None:
    job = create_job(store, "train", {})

    def take() -> bool:
        with open_store(path) as mine:
            return move(mine, job.id, ["queued"], "running")

    with ThreadPoolExecutor(6) as threads:
        taken = [each.result() for each in [threads.submit(take) for _ in range(6)]]
    assert sum(taken) == 1


def test_events_come_in_order_from_where_one_left_off(store: Store) -> None:
    job, other = create_job(store, "train", {}), create_job(store, "train", {})
    ids = [add_event(store, job.id, "step", {"step": number}) for number in range(3)]
    add_event(store, other.id, "step", {})
    assert [event.data["step"] for event in events(store, job.id)] == [0, 1, 2]
    assert [event.id for event in events(store, job.id, after=ids[0])] == ids[1:]


def test_a_missing_job_is_named(store: Store) -> None:
    for act in (
        lambda: get_job(store, 9),
        lambda: set_state(store, 9, "done"),
        lambda: move(store, 9, ["queued"], "running"),
        lambda: heartbeat(store, 9),
        lambda: add_event(store, 9, "step", {}),
    ):
        with pytest.raises(NotFound, match="job 9"):
            act()


def test_preferences_come_back_or_the_default_does(store: Store) -> None:
    assert get(store, "offline", False) is False
    put(store, "offline", True)
    put(store, "thresholds", {"rouge_l": 0.8, "names": ["a"]})
    put(store, "thresholds", {"rouge_l": 0.7})
    assert get(store, "offline", False) is True
    assert get(store, "thresholds", {}) == {"rouge_l": 0.7}


def test_the_secret_is_made_once_for_each_store(store: Store, path: Path, tmp_path: Path) -> None:
    first = secret(store)
    assert len(first) == 32
    with open_store(path) as again, open_store(tmp_path / "other.db") as other:
        assert secret(again) == first
        assert secret(other) != first


def test_jobs_of_an_older_file_keep_their_ids_and_what_points_to_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", every[: every.index(migrations.CURVE)])
    with open_store(path) as old:
        first = create_job(old, "augment", {"k": 5})
        second = create_job(old, "train", {})
        add_event(old, second.id, "progress", {"step": 1})
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    with open_store(path) as new:
        assert [job.id for job in list_jobs(new)] == [second.id, first.id]
        assert get_job(new, first.id) == first
        assert [event.data for event in events(new, second.id)] == [{"step": 1}]
        assert create_job(new, "curve", {}).id == second.id + 1
        with pytest.raises(sqlite3.IntegrityError):
            new.run("INSERT INTO job_events (job_id, kind, data, at) VALUES (99, 'x', '{}', 0)")
