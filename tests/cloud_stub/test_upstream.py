"""The service in front of a server that misbehaves on order: every record gets its line, and the others are served."""

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cloud_stub.errors import UpstreamFailed, UpstreamNotUsable
from cloud_stub.limits import Bounds
from cloud_stub.prompts import Prompt
from cloud_stub.schemas import Capabilities, ModelDescription
from cloud_stub.upstream import LINES, THINKING_TOKENS, Upstream, UpstreamModel, check_url
from tests.cloud_stub.fakes import BOUNDS, Client, loaded, record, reference, request_body, serving
from tests.cloud_stub.stand_in import Running, standing_in

PROMPT = Prompt(
    "rewrite", "Say it again.\n\nInput: one two three\nResponse: a title\n", True, "one two three", "a title"
)


def never() -> bool:
    return False


def quiet(line: str) -> None:
    pass


@contextlib.contextmanager
def connected(url: str, at_once: int = 8, report: Callable[[str], None] = quiet, **options: Any) -> Iterator[Upstream]:
    upstream = Upstream(url, options.pop("key", None), at_once, report, **{"retries": 1, **options})
    try:
        yield upstream
    finally:
        upstream.close()


@contextlib.contextmanager
def in_front(
    url: str, *names: str, room: int = 8, bounds: Bounds = BOUNDS, forms: tuple[Any, ...] = (), **options: Any
) -> Iterator[Client]:
    """The real service in front of an upstream server."""
    named = names or ("stand-in",)
    described = tuple(
        ModelDescription(name=name, embedded=False, prompt=forms[place] if forms else "rewrite")
        for place, name in enumerate(named)
    )
    with connected(url, room, **options) as upstream:
        parts = loaded(tuple(UpstreamModel(upstream, name) for name in named))
        with serving(parts, Capabilities(models=described, scorer="by length"), bounds, room) as client:
            yield client


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Running]:
    with standing_in(retry_after="0.05") as running:
        yield running


@pytest.fixture(scope="module")
def service(stand_in: Running) -> Iterator[Client]:
    with in_front(stand_in.url, answer_seconds=1.5) as client:
        yield client


def of(lines: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("reference") == reference(number)]


def test_pairs_come_from_the_upstream_with_its_model_and_seeds(stand_in: Running, service: Client) -> None:
    lines = service.lines(request_body(record(1, "one two three four"), k=3, temperature=0.4, seed=5))
    pairs = of(lines, 1)[:3]
    assert [pair["number"] for pair in pairs] == [1, 2, 3]
    assert {pair["model"] for pair in pairs} == {"stand-in"}
    for pair in pairs:
        assert sorted(pair["input"].split()) == sorted(["one", "two", "three", "four", str(pair["seed"] % 1000)])
    asked = stand_in.bodies[-3:]
    assert sorted(body["seed"] for body in asked) == sorted(pair["seed"] for pair in pairs)
    assert {(body["model"], body["temperature"]) for body in asked} == {("stand-in", 0.4)}
    assert lines[-1]["generated_tokens"] > 3
    assert service.lines(request_body(record(1, "one two three four"), k=3, seed=5))[:3] == lines[:3]


def test_the_sources_prompt_goes_word_for_word_and_the_others_name_the_two_lines(
    stand_in: Running, service: Client
) -> None:
    service.lines(request_body(record(1), k=1, prompt="paper"))
    assert stand_in.bodies[-1]["messages"][-1]["content"].endswith("Response: cat, mat.")
    service.lines(request_body(record(1), k=1, prompt="rewrite"))
    assert stand_in.bodies[-1]["messages"][-1]["content"].endswith(LINES)


def test_labels_stay_within_those_that_were_shared(service: Client) -> None:
    records = [record(1, "robots and stars", "sci-fi"), record(2, "tears and laughter", "comedy")]
    for form in ("paper", "rewrite"):
        lines = service.lines(request_body(*records, k=2, answer="label", prompt=form))
        pairs = [line for line in lines if line["type"] == "pair"]
        assert {pair["output"] for pair in pairs} == {"sci-fi", "comedy"}


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("429", "model error"),
        ("500", "model error"),
        ("400", "model error"),
        ("half", "model error"),
        ("html", "model error"),
        ("none", "model error"),
        ("reset", "model error"),
        ("empty", "unusable answer"),
        ("rubbish", "unusable answer"),
        ("endless", "time limit"),
        ("hang", "time limit"),
    ],
)
def test_an_upstream_that_misbehaves_fails_that_record_alone(service: Client, order: str, reason: str) -> None:
    bad = record(1, f"a text [[stand-in: {order}]]")
    lines = service.lines(request_body(bad, record(2), record(3), k=2))
    assert [(line["number"], line["reason"]) for line in of(lines, 1)[:-1]] == [(1, reason), (2, reason)]
    assert of(lines, 1)[-1]["type"] == "record"
    for number in (2, 3):
        assert [line["type"] for line in of(lines, number)] == ["pair", "pair", "record"]
    assert lines[-1]["type"] == "summary"


@pytest.mark.parametrize("order", ["429", "500", "half", "reset"])
def test_what_goes_wrong_once_is_tried_again(order: str) -> None:
    with standing_in(retry_after="0.05") as stand_in, in_front(stand_in.url) as client:
        lines = client.lines(request_body(record(1, f"a text [[stand-in: {order} x1]]"), k=1))
        assert [line["type"] for line in lines] == ["pair", "record", "summary"]
        assert stand_in.counts.requests == 2


@pytest.mark.parametrize("refused", [("max_tokens",), ("temperature", "seed"), ("max_tokens", "temperature", "seed")])
def test_a_parameter_that_is_refused_costs_no_pair(refused: tuple[str, ...]) -> None:
    with standing_in(refused=refused) as stand_in, in_front(stand_in.url) as client:
        records = [record(number, f"a text with number {number}") for number in range(3)]
        lines = client.lines(request_body(*records, k=4))
        assert [line["type"] for line in lines].count("pair") == 12
        assert not set(refused) & set(stand_in.bodies[-1])
        assert ("max_completion_tokens" in stand_in.bodies[-1]) == ("max_tokens" in refused)


def test_what_one_model_refuses_the_others_are_asked_with() -> None:
    with standing_in(refused=("temperature",)) as stand_in, connected(stand_in.url) as upstream:
        for name in ("one", "two"):
            asyncio.run(UpstreamModel(upstream, name).write(PROMPT, [1], 0.7, never))
        asked = [(body["model"], "temperature" in body) for body in stand_in.bodies]
    assert asked == [("one", True), ("one", False), ("two", True), ("two", False)]


@pytest.mark.parametrize("thoughts", ["content", "reasoning_content", "reasoning", ""])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_model_that_thinks_gets_room_for_it_once_it_is_seen(thoughts: str, temperature: float) -> None:
    said: list[str] = []
    thinking = {"thinking_tokens": 500, "thoughts": thoughts}
    with standing_in(**thinking) as stand_in, in_front(stand_in.url, report=said.append) as client:
        lines = client.lines(request_body(record(1, "one two three four"), k=3, temperature=temperature))
        client.lines(request_body(record(2, "one two three four"), k=1))
        bounds = [body["max_tokens"] for body in stand_in.bodies]
        tokens = stand_in.counts.tokens
    assert [line["type"] for line in lines] == ["pair"] * 3 + ["record", "summary"]
    # What is on its way when the first is seen to think has no room either.
    with_room = [bound > THINKING_TOKENS for bound in bounds]
    assert (with_room[0], with_room[-1], with_room.count(True)) == (False, True, 4)
    assert with_room.count(False) <= 3
    assert lines[-1]["generated_tokens"] + 500 < tokens < lines[-1]["generated_tokens"] + 600
    assert len(said) == 1
    assert "the model stand-in thinks before it answers" in said[0]


def test_what_is_not_counted_upstream_is_reckoned_with_its_thoughts() -> None:
    manners = {"thinking_tokens": 60, "thoughts": "reasoning", "counts_tokens": False}
    with standing_in(**manners) as stand_in, connected(stand_in.url) as upstream:
        (sample,) = asyncio.run(UpstreamModel(upstream, "x").write(PROMPT, [1], 0.7, never))
    assert sample.fault is None
    assert sample.tokens > 60


def test_a_model_that_thinks_without_end_is_told_of_and_not_asked_again() -> None:
    said: list[str] = []
    with standing_in(thinking_tokens=500) as stand_in, connected(stand_in.url, report=said.append) as upstream:
        model = UpstreamModel(upstream, "thinker", thinking_tokens=200)
        described = Capabilities(
            models=(ModelDescription(name="thinker", embedded=False, prompt="rewrite"),), scorer="by length"
        )
        with serving(loaded(model), described, BOUNDS, 8) as client:
            lines = client.lines(request_body(record(1), k=2))
        assert stand_in.counts.requests == 2
        assert lines[-1]["generated_tokens"] == stand_in.counts.tokens
    assert [line["reason"] for line in lines[:2]] == ["unfinished thinking"] * 2
    assert len(said) == 1
    assert "within 200 tokens; give it more with --thinking-tokens" in said[0]


BOUND = 81
"""Tokens that PROMPT's answer may have; its thoughts come on top."""


@pytest.mark.parametrize("thoughts", ["content", "reasoning_content"])
def test_an_answer_that_is_cut_behind_its_thoughts_is_too_long(thoughts: str) -> None:
    said: list[str] = []
    manners = {"thinking_tokens": BOUND + 195, "thoughts": thoughts}
    with standing_in(**manners) as stand_in, connected(stand_in.url, report=said.append) as upstream:
        model = UpstreamModel(upstream, "thinker", thinking_tokens=200)
        (sample,) = asyncio.run(model.write(PROMPT, [1], 0.7, never))
        assert [body["max_tokens"] for body in stand_in.bodies] == [BOUND + 200]
    assert (sample.fault, said) == ("too long", [])


@pytest.mark.parametrize("thoughts", ["content", "reasoning_content"])
def test_a_model_whose_thoughts_left_its_first_answer_too_little_gets_room_for_them(thoughts: str) -> None:
    manners = {"thinking_tokens": BOUND - 5, "thoughts": thoughts}
    with standing_in(**manners) as stand_in, connected(stand_in.url) as upstream:
        (sample,) = asyncio.run(UpstreamModel(upstream, "thinker").write(PROMPT, [1], 0.7, never))
        assert [body["max_tokens"] for body in stand_in.bodies] == [BOUND, BOUND + THINKING_TOKENS]
    assert sample.fault is None


def test_retry_after_is_honoured() -> None:
    with standing_in(retry_after="0.7") as stand_in, in_front(stand_in.url) as client:
        started = time.monotonic()
        assert client.lines(request_body(record(1, "a text [[stand-in: 429 x1]]"), k=1))[0]["type"] == "pair"
    assert time.monotonic() - started >= 0.7


def test_nothing_of_an_upstreams_error_is_repeated_and_it_is_reported_once() -> None:
    said: list[str] = []
    with standing_in() as stand_in, in_front(stand_in.url, report=said.append, retries=0) as client:
        answer = client.post(request_body(record(1, "a text [[stand-in: 500]]"), k=3)).text
    assert "It broke" not in answer
    assert said == ["the upstream server refused a sample with status 500"]


def test_the_bound_on_concurrency_holds_and_is_used() -> None:
    with standing_in(slots=50, first_token_seconds=0.05) as stand_in, in_front(stand_in.url, room=6) as client:
        bodies = [request_body(*(record(10 * one + two) for two in range(4)), k=5) for one in range(1, 4)]
        with concurrent.futures.ThreadPoolExecutor(3) as clients:
            answers = list(clients.map(client.lines, bodies))
        assert all(lines[-1]["pairs"] == 20 for lines in answers)
        assert stand_in.counts.most_running == 6


def test_a_short_request_does_not_wait_for_a_long_one() -> None:
    with standing_in(first_token_seconds=0.02) as stand_in, in_front(stand_in.url, room=4) as client:
        long = request_body(*(record(number) for number in range(1, 201)), k=2)
        with concurrent.futures.ThreadPoolExecutor(1) as clients:
            other = clients.submit(client.lines, long)
            while stand_in.counts.answered < 4:
                time.sleep(0.01)
            client.lines(request_body(record(900), k=2))
            assert not other.done()
            assert stand_in.counts.answered < 60
            assert other.result(30)[-1]["pairs"] == 400


def test_many_clients_are_not_mixed() -> None:
    with standing_in(slots=16, seconds_per_token=0.0005) as stand_in:
        bounds = Bounds(waiting=64, requests_per_minute=0, records_per_minute=0)
        with in_front(stand_in.url, room=16, bounds=bounds) as client:
            bodies = [
                request_body(*(record(one, f"text of client{one} record{two}") for two in [0]), k=3)
                for one in range(1, 21)
            ]
            with concurrent.futures.ThreadPoolExecutor(20) as clients:
                answers = list(clients.map(client.lines, bodies))
    for one, lines in enumerate(answers, 1):
        pairs = [line for line in lines if line["type"] == "pair"]
        assert len(pairs) == 3
        assert all(f"client{one}" in pair["input"].split() for pair in pairs)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be")


def test_a_client_that_leaves_is_left_by_the_upstream_too() -> None:
    with standing_in(first_token_seconds=60) as stand_in, in_front(stand_in.url) as client:
        with client.post(request_body(record(1), k=3), stream=True):
            wait_for(lambda: stand_in.counts.running == 3)
        wait_for(lambda: stand_in.counts.aborted == 3)
        assert stand_in.counts.running == 0


def test_a_service_that_ends_leaves_the_upstream() -> None:
    with standing_in(first_token_seconds=60) as stand_in:
        with in_front(stand_in.url) as client:
            answer = client.post(request_body(record(1), k=2), stream=True)
            wait_for(lambda: stand_in.counts.running == 2)
        answer.close()
        wait_for(lambda: stand_in.counts.aborted == 2)


def test_a_record_that_takes_too_long_fails_and_the_request_goes_on() -> None:
    bounds = Bounds(requests_per_minute=0, records_per_minute=0, record_seconds=0.4)
    with standing_in() as stand_in, in_front(stand_in.url, bounds=bounds) as client:
        lines = client.lines(request_body(record(1, "a text [[stand-in: hang]]"), record(2), k=1))
    assert of(lines, 1)[0]["reason"] == "time limit"
    assert of(lines, 2)[0]["type"] == "pair"


def test_a_request_that_takes_too_long_ends_without_a_summary() -> None:
    bounds = Bounds(requests_per_minute=0, records_per_minute=0, request_seconds=0.6)
    with standing_in() as stand_in, in_front(stand_in.url, bounds=bounds) as client:
        lines = client.lines(request_body(record(1, "a text [[stand-in: hang]]"), record(2), k=1))
        assert {line["type"] for line in of(lines, 2)} == {"pair", "record"}
        assert of(lines, 1) == []
        assert lines[-1]["type"] != "summary"
        wait_for(lambda: stand_in.counts.running == 0)


def test_several_models_write_in_turn_each_in_its_own_form(stand_in: Running) -> None:
    with in_front(stand_in.url, "one", "two", forms=("paper", "rewrite")) as client:
        lines = client.lines(request_body(record(1, "one two three four five six"), k=5))
    pairs = of(lines, 1)[:-1]
    assert [(pair["number"], pair["model"], pair["prompt"]) for pair in pairs] == [
        (1, "one", "paper"),
        (2, "two", "rewrite"),
        (3, "one", "paper"),
        (4, "two", "rewrite"),
        (5, "one", "paper"),
    ]


def test_where_one_of_two_models_fails_the_other_ones_pairs_come() -> None:
    with standing_in() as stand_in, connected(stand_in.url) as good, connected("http://127.0.0.1:1/v1") as bad:
        models = (UpstreamModel(good, "good"), UpstreamModel(bad, "bad"))
        named = tuple(ModelDescription(name=name, embedded=False, prompt="rewrite") for name in ("good", "bad"))
        with serving(loaded(models), Capabilities(models=named, scorer="x"), room=4) as client:
            lines = client.lines(request_body(record(1), k=3))
    assert [(line["number"], line["type"], line.get("reason")) for line in lines[:3]] == [
        (1, "pair", None),
        (3, "pair", None),
        (2, "failure", "model error"),
    ]


def test_a_server_that_fails_on_all_samples_says_so(stand_in: Running) -> None:
    with connected("http://127.0.0.1:1/v1", retries=0) as upstream, pytest.raises(UpstreamFailed):
        asyncio.run(UpstreamModel(upstream, "x").write(PROMPT, [1, 2], 0.7, never))


def test_told_to_stop_the_samples_are_unfinished() -> None:
    with standing_in(first_token_seconds=60) as stand_in, connected(stand_in.url) as upstream:
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        samples = asyncio.run(UpstreamModel(upstream, "x").write(PROMPT, [1, 2], 0.7, stop.is_set))
    assert [sample.fault for sample in samples] == ["stopped", "stopped"]


def test_the_key_goes_along_and_a_wrong_one_is_told_at_the_start() -> None:
    with standing_in(api_key="right") as stand_in:
        with connected(stand_in.url, key="right") as upstream:
            upstream.check(["stand-in"])
            assert asyncio.run(UpstreamModel(upstream, "x").write(PROMPT, [1], 0.7, never))[0].fault is None
        with (
            connected(stand_in.url, key="wrong") as upstream,
            pytest.raises(UpstreamNotUsable, match="refused the key"),
        ):
            upstream.check(["stand-in"])


def test_a_server_that_is_not_there_is_told_at_the_start() -> None:
    with connected("http://127.0.0.1:1/v1") as upstream, pytest.raises(UpstreamNotUsable, match="cannot be reached"):
        upstream.check(["x"])


def test_a_model_that_is_not_listed_is_reported(stand_in: Running) -> None:
    said: list[str] = []
    with connected(stand_in.url, report=said.append) as upstream:
        upstream.check(["other"])
    assert said == ["the upstream server does not list other; it lists stand-in"]


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://", "http://[::1", "http://a:b"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UpstreamNotUsable, match="--upstream"):
        check_url(url)
