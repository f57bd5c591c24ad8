"""Schemathesis sends what the OpenAPI page allows, and what it does not, to the real service with a fake model."""

import json
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cloud_stub import schemas
from tests.cloud_stub.fakes import TOKEN, Client, FakeModel, loaded, serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 40
"""Of each route and each kind; the run is seeded."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    # Offers the bases of the install; the folder is as empty as a new computer's.
    with serving(loaded(FakeModel()), bases_dir=tmp_path_factory.mktemp("bases")) as client:
        yield client


def operations(service: Client) -> dict[str, Any]:
    described: Any = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    found: list[Any] = [operation.ok() for operation in described.get_all_operations()]
    return {operation.label: operation for operation in found}


def assert_stream(text: str) -> None:
    """Every line is of the protocol, and the last one the summary."""
    lines = [schemas.LINE.validate_python(json.loads(line)) for line in text.splitlines()]
    assert isinstance(lines[-1], schemas.SummaryLine)


def send(service: Client, label: str, mode: GenerationMode, checks: list[Any]) -> set[int]:
    """Send examples of a route; the statuses that came."""
    statuses: set[int] = set()

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operations(service)[label].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=checks)
        statuses.add(answer.status_code)
        if label == "POST /v1/augment" and answer.status_code == 200:
            assert_stream(answer.text)
        elif answer.status_code not in (200, 206):
            schemas.Problem.model_validate(answer.json())

    check()
    return statuses


LABELS = ("GET /v1/health", "GET /v1/capabilities", "GET /v1/bases", "POST /v1/augment")
FILES = "GET /v1/bases/{name}/files/{file}"


def test_these_are_all_the_routes(service: Client) -> None:
    assert {*LABELS, FILES} == set(operations(service))


@pytest.mark.parametrize("label", LABELS)
def test_what_the_page_allows_is_answered_as_the_page_says(service: Client, label: str) -> None:
    assert 200 in send(service, label, GenerationMode.POSITIVE, CHECKS)


def test_a_file_that_nobody_offers_is_not_there_whatever_its_name(service: Client) -> None:
    assert send(service, FILES, GenerationMode.POSITIVE, CHECKS) == {404}


def test_what_the_page_does_not_allow_is_refused(service: Client) -> None:
    statuses = send(service, "POST /v1/augment", GenerationMode.NEGATIVE, [*CHECKS, negative_data_rejection])
    # What is wrong in a header alone may be served: an unknown reference in it is left out of nothing.
    assert {400, 422} & statuses
    assert statuses <= {200, 400, 401, 422}
