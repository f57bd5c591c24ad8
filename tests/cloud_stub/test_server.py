"""The protocol over a real server and a real connection, with hand-written stand-ins for model and scorer."""

import concurrent.futures
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import requests

from cloud_stub import gate, schemas, server
from cloud_stub.augmenting import Parts
from cloud_stub.limits import Bounds
from cloud_stub.prompts import Prompt
from cloud_stub.writing import Sample
from tests.cloud_stub.fakes import (
    BOUNDS,
    TOKEN,
    Client,
    FakeModel,
    SlowModel,
    loaded,
    record,
    reference,
    request_body,
    serving,
)

SECRET = "my-own-secret-words"


@pytest.fixture(scope="module")
def service() -> Iterator[Client]:
    """One server for the tests that leave nothing behind."""
    with serving(loaded(FakeModel())) as client:
        yield client


def test_each_record_gets_its_pairs_then_its_end_and_the_stream_a_summary(service: Client) -> None:
    lines = service.lines(request_body(record(1), record(2), k=2))
    assert [(line["type"], line.get("reference"), line.get("number")) for line in lines] == [
        ("pair", reference(1), 1),
        ("pair", reference(1), 2),
        ("record", reference(1), None),
        ("pair", reference(2), 1),
        ("pair", reference(2), 2),
        ("record", reference(2), None),
        ("summary", None, None),
    ]
    assert {key: lines[-1][key] for key in ("records", "pairs", "failures", "generated_tokens")} == {
        "records": 2,
        "pairs": 4,
        "failures": 0,
        "generated_tokens": 28,
    }


def test_every_line_is_of_the_schema_and_says_model_form_and_scores(service: Client) -> None:
    answer = service.post(request_body(record(1), k=1))
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    pair = schemas.LINE.validate_json(answer.text.splitlines()[0])
    assert isinstance(pair, schemas.PairLine)
    assert (pair.model, pair.prompt) == ("fake", "rewrite")
    assert pair.scores.entails < 0.5 < pair.scores.entailed
    assert pair.scores.length_ratio == len(pair.input) / len(record(1).input)


def test_the_first_record_arrives_while_the_second_is_still_written() -> None:
    with serving(loaded(SlowModel(quick="quick"))) as client:
        body = request_body(record(1, "quick"), record(2, "slow"), k=1)
        with client.post(body, stream=True) as answer:
            lines = answer.iter_lines()
            assert [json.loads(next(lines))["type"] for _ in range(2)] == ["pair", "record"]


def test_references_in_the_skip_header_are_left_out(service: Client) -> None:
    headers = {schemas.SKIP_HEADER: f"{reference(1)}, {reference(3)}"}
    lines = service.lines(request_body(record(1), record(2), record(3), k=1), headers)
    assert [line["reference"] for line in lines if line["type"] == "record"] == [reference(2)]
    assert lines[-1]["records"] == 1


def test_skipping_others_does_not_change_a_records_pairs(service: Client) -> None:
    body = request_body(record(1, "one"), record(2, "two"), k=2)
    whole = [line for line in service.lines(body) if line.get("reference") == reference(2)]
    rest = service.lines(body, {schemas.SKIP_HEADER: reference(1)})
    assert [line for line in rest if line.get("reference") == reference(2)] == whole


@pytest.mark.parametrize(("text", "output"), [("", "title"), ("   ", "title"), ("text", ""), ("text", "\n")])
def test_an_empty_record_fails_with_number_0_and_the_others_are_served(service: Client, text: str, output: str) -> None:
    lines = service.lines(request_body(record(1, text, output), record(2), k=1))
    assert lines[0] == {"type": "failure", "reference": reference(1), "number": 0, "reason": "empty"}
    assert lines[1] == {"type": "record", "reference": reference(1)}
    assert lines[2]["type"] == "pair"


@pytest.mark.parametrize("field", ["text", "output"])
def test_a_record_that_is_too_long_fails_with_number_0_and_the_others_are_served(service: Client, field: str) -> None:
    long = record(1, **{field: "x" * (schemas.MAX_TEXT + 1)})
    lines = service.lines(request_body(long, record(2), k=1))
    assert lines[0] == {"type": "failure", "reference": reference(1), "number": 0, "reason": "too long"}
    assert [line["type"] for line in lines[1:]] == ["record", "pair", "record", "summary"]


def test_a_sample_that_stays_unusable_fails_with_its_number() -> None:
    with serving(loaded(FakeModel(lambda prompt, seed: Sample("", "", 1)))) as client:
        lines = client.lines(request_body(record(1), k=2))
    assert [(line["number"], line["reason"]) for line in lines[:2]] == [(1, "unusable answer"), (2, "unusable answer")]
    assert lines[-1]["failures"] == 2


def test_a_model_that_breaks_fails_that_record_alone_and_its_text_is_told_to_nobody(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def answer(prompt: Prompt, seed: int) -> Sample:
        if prompt.input_like == SECRET:
            raise RuntimeError(f"cannot go on after {prompt.text}")
        return Sample("fine", "fine", 1)

    with serving(loaded(FakeModel(answer))) as client:
        lines = client.lines(request_body(record(1, SECRET), record(2), k=1))
    assert lines[0] == {"type": "failure", "reference": reference(1), "number": 0, "reason": "model error"}
    assert lines[2]["type"] == "pair"
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    assert "RuntimeError" in said.err


@pytest.mark.parametrize("path", ["/v1/capabilities", "/v1/augment", "/v1/nothing"])
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_without_the_token_nothing_but_health_answers(service: Client, path: str, header: dict[str, str]) -> None:
    answer = requests.get(service.url + path, headers=header, timeout=10)
    assert requests.get(f"{service.url}/v1/health", timeout=10).json() == {"status": "ready"}
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "token" in schemas.Problem.model_validate(answer.json()).error


def test_capabilities_name_the_model_what_auto_means_and_the_limits(service: Client) -> None:
    answer = requests.get(f"{service.url}/v1/capabilities", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    found = schemas.Capabilities.model_validate(answer.json())
    assert found.models[0].prompt == "rewrite"
    assert found.max_records == schemas.MAX_RECORDS


def _bodies() -> dict[str, Any]:
    good = request_body(record(1))
    return {
        "no JSON": SECRET.encode(),
        "no bytes of text": b'{"records": "\xff"}',
        "another type": [SECRET],
        "no records": {"records": []},
        "unknown field": {**good, SECRET: 1},
        "unknown field of a record": {"records": [{**good["records"][0], SECRET: SECRET}]},
        "field of a wrong type": {"records": [{**good["records"][0], "input": [SECRET]}]},
        "reference of a wrong form": {"records": [{**good["records"][0], "reference": SECRET}]},
        "k out of range": {**good, "k": 21},
        "no number": {**good, "temperature": float("nan")},
        "another protocol": {**good, "protocol": SECRET},
        "a reference twice": request_body(record(1), record(1, SECRET)),
    }


@pytest.mark.parametrize("name", list(_bodies()))
def test_a_bad_body_is_refused_with_a_sentence_that_does_not_repeat_it(service: Client, name: str) -> None:
    answer = service.post(_bodies()[name])
    assert answer.status_code in (400, 422)
    assert len(schemas.Problem.model_validate(answer.json()).error) > 20
    assert SECRET not in answer.text


def test_a_body_that_says_it_is_too_large_is_refused_unread(service: Client) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        head = f"POST /v1/augment HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Content-Length: {schemas.MAX_BODY + 1}\r\n\r\n".encode())
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_in_chunks_is_cut_off_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_BODY", 1000)
    with serving(loaded(FakeModel())) as client:
        answer = requests.post(
            f"{client.url}/v1/augment",
            data=iter([b" " * 600, b" " * 600]),
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=10,
        )
    assert answer.status_code == 413


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SILENT_SECONDS", 0.2)
    with serving(loaded(FakeModel())) as client:
        host, port = client.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            head = f"POST /v1/augment HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            connection.sendall(f'{head}Content-Length: 100\r\n\r\n{{"records": ['.encode())
            answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"in time" in answer


def test_a_body_that_trickles_in_is_waited_for_no_longer_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.5)
    with serving(loaded(FakeModel())) as client:
        host, port = client.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            head = f"POST /v1/augment HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            connection.sendall(f"{head}Content-Length: 100\r\n\r\n".encode())
            for _ in range(10):
                time.sleep(0.05)
                connection.sendall(b" ")
            assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_client_that_reads_nothing_of_its_answer_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.3)
    # More than the buffers of a connection and of uvicorn hold.
    body = json.dumps(request_body(*(record(number, "x" * 1000) for number in range(200)), k=2)).encode()
    bounds = Bounds(waiting=0, requests_per_minute=0, records_per_minute=0)
    with serving(loaded(FakeModel()), bounds=bounds, buffer=4096) as client, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        host, port = client.url.removeprefix("http://").split(":")
        connection.connect((host, int(port)))
        head = f"POST /v1/augment HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.recv(15).startswith(b"HTTP/1.1 200")
        assert client.post(request_body(record(1), k=1)).status_code == 503
        for _ in range(100):
            answer = client.post(request_body(record(1), k=1))
            if answer.status_code == 200:
                break
            time.sleep(0.1)
        assert json.loads(answer.text.splitlines()[-1])["type"] == "summary"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/v1/augment", 405)])
def test_other_addresses_and_methods_are_refused_with_a_sentence(
    service: Client, method: str, path: str, status: int
) -> None:
    answer = requests.request(method, service.url + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    assert answer.status_code == status
    assert schemas.Problem.model_validate(answer.json())


def test_a_client_that_leaves_stops_the_model_and_the_next_one_is_served() -> None:
    slow = SlowModel()
    with serving(loaded(slow)) as client:
        with client.post(request_body(record(1)), stream=True) as answer:
            assert answer.status_code == 200
            assert slow.started.wait(10)
        assert slow.stopped.wait(10)
        slow.write = FakeModel().write  # type: ignore[method-assign]
        assert client.lines(request_body(record(1), k=1))[-1]["type"] == "summary"


def test_a_client_that_leaves_while_it_waits_gives_its_place_back() -> None:
    slow = SlowModel()
    with serving(loaded(slow)) as client:
        first = client.post(request_body(record(1)), stream=True)
        assert slow.started.wait(10)
        for _ in range(3 * BOUNDS.waiting):
            with client.post(request_body(record(1)), stream=True) as answer:
                assert answer.status_code == 200
            time.sleep(0.05)
        first.close()


def test_beyond_the_queue_requests_are_told_to_come_back_later() -> None:
    slow = SlowModel()
    with serving(loaded(slow)) as client:
        inside = [client.post(request_body(record(1)), stream=True) for _ in range(1 + BOUNDS.waiting)]
        answer = client.post(request_body(record(1)))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "busy" in schemas.Problem.model_validate(answer.json()).error
        for one in inside:
            one.close()


def test_waiting_requests_are_served_one_after_the_other_and_not_mixed() -> None:
    with serving(loaded(FakeModel())) as client, concurrent.futures.ThreadPoolExecutor(4) as clients:
        bodies = [request_body(*(record(10 * one + two) for two in range(5)), k=2) for one in range(1, 5)]
        answers = list(clients.map(client.lines, bodies))
    for body, lines in zip(bodies, answers, strict=True):
        asked = [one["reference"] for one in body["records"]]
        assert [line["reference"] for line in lines if line["type"] == "record"] == asked


def test_while_it_loads_health_says_so_and_an_augmentation_waits() -> None:
    parts: Future[Parts] = Future()
    with serving(parts) as client, concurrent.futures.ThreadPoolExecutor(1) as waiting:
        assert requests.get(f"{client.url}/v1/health", timeout=10).json() == {"status": "loading"}
        answer = waiting.submit(client.lines, request_body(record(1), k=1))
        time.sleep(0.1)
        assert not answer.done()
        parts.set_result(loaded(FakeModel()).result())
        assert answer.result(10)[-1]["type"] == "summary"


def test_the_form_that_is_asked_for_is_used() -> None:
    model = FakeModel()
    with serving(loaded(model)) as client:
        lines = client.lines(request_body(record(1), k=1, prompt="paper"))
    assert lines[0]["prompt"] == model.prompts[0].form == "paper"


def test_nothing_that_a_person_wrote_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(loaded(FakeModel())) as client:
        client.lines(request_body(record(1, SECRET), k=1))
        client.post({"records": SECRET})
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_the_openapi_page_knows_the_routes_and_loads_nothing_from_elsewhere(service: Client) -> None:
    page = requests.get(f"{service.url}/openapi.json", timeout=10).json()
    assert set(page["paths"]) == {"/v1/health", "/v1/capabilities", "/v1/augment"}
    assert "AugmentRequest" in page["components"]["schemas"]


def test_the_openapi_page_says_what_the_lines_of_the_stream_are(service: Client) -> None:
    page = requests.get(f"{service.url}/openapi.json", timeout=10).json()
    answer = page["paths"]["/v1/augment"]["post"]["responses"]["200"]
    assert answer["content"] == {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/Line"}}}
    kinds = page["components"]["schemas"]
    named = {one["$ref"].rsplit("/", 1)[-1] for one in kinds["Line"]["oneOf"]}
    assert named == {"PairLine", "FailureLine", "RecordLine", "SummaryLine"} <= set(kinds)
    assert kinds["PairScores"]["properties"]["rouge_l"]["description"] == "ROUGE-L F1 of x and x_syn."
    shown = requests.get(service.url, timeout=10).text
    assert "ROUGE-L F1 of x and x_syn." in shown
    assert '<h2 id="Line">' in shown
