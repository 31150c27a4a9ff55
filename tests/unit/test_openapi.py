"""The OpenAPI document is valid and says what HTTP offers."""

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from schemas.settings import Settings
from service.app import create_app

READ = {
    "post /jobs": {"Accept-Language", "Idempotency-Key", "Prefer"},
    "get /jobs": {"Accept-Language"},
    "get /jobs/{job_id}": {"Accept-Language"},
    "post /jobs/{job_id}/cancel": {"Accept-Language"},
    "get /jobs/{job_id}/events": {"Last-Event-ID"},
    "get /models/{name}/versions": {"Accept-Language"},
    "get /models/{name}/versions/{version}": {"Accept-Language"},
    "put /models/{name}/aliases/{alias}": {"If-Match"},
    "delete /models/{name}/aliases/{alias}": {"If-Match"},
}
"""Headers that each operation reads; the others read none."""

GIVEN = {
    "post /jobs 200": {"Location", "Preference-Applied"},
    "post /jobs 202": {"Location", "Preference-Applied", "Retry-After"},
    "get /jobs 200": {"Link"},
    "get /jobs/{job_id} 200": {"Retry-After"},
    "get /jobs/{job_id}/events 200": {"Link"},
    "get /models 200": {"Link"},
    "get /models/{name}/versions 200": {"Link"},
    "get /models/{name}/aliases/{alias} 200": {"ETag"},
    "put /models/{name}/aliases/{alias} 200": {"ETag"},
    "put /models/{name}/aliases/{alias} 201": {"ETag"},
    "get /datasets 200": {"Link"},
    "get /gates 200": {"Link"},
}
"""Headers of each answer that is no problem; the others have none."""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of an application that has connected to nothing."""
    return dict(create_app(Settings(data_dir=tmp_path_factory.mktemp("data"))).api_doc)


def operations(document: dict[str, Any]) -> dict[str, Any]:
    """Every operation by method and path."""
    return {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_document_is_valid(document: dict[str, Any]) -> None:
    """The document is what the OpenAPI 3.1 specification allows, to the last reference."""
    OpenAPIV31SpecValidator(document).validate()


def test_headers_of_requests(document: dict[str, Any]) -> None:
    """Every header that an operation reads is among its parameters, and no other."""
    read = {
        name: {item["name"] for item in operation.get("parameters", ()) if item["in"] == "header"}
        for name, operation in operations(document).items()
    }
    assert {name: headers for name, headers in read.items() if headers} == READ


def test_headers_of_answers(document: dict[str, Any]) -> None:
    """Answers say which headers they carry; every 503 says when to come back."""
    given = {
        f"{name} {status}": set(answer.get("headers", ()))
        for name, operation in operations(document).items()
        for status, answer in operation["responses"].items()
    }
    problems = {name for name in given if name.endswith(" 503")} - {"get /readyz 503"}
    assert [given.pop(name) for name in problems] == [{"Retry-After"}] * len(problems)
    assert {name: headers for name, headers in given.items() if headers} == GIVEN


def test_events_are_a_stream_too(document: dict[str, Any]) -> None:
    """The events of a job are offered as JSON and as a stream."""
    answer = operations(document)["get /jobs/{job_id}/events"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "text/event-stream"}


def test_no_trace_of_our_own_extension(document: dict[str, Any]) -> None:
    """What we hand through flask-openapi3 to complete the answers does not show."""
    assert "x-answers" not in str(document)
