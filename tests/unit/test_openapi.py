"""The OpenAPI document is valid and says what HTTP offers."""

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from schemas.settings import Settings
from service.app import create_app

FIGURES = [
    "/jobs/{job_id}/figures/{figure}",
    "/models/{name}/figures/{figure}",
    "/models/{name}/versions/{version}/figures/{figure}",
]
"""Paths of figures."""

TENSORS = {"Content-Encoding", "Inference-Header-Content-Length"}
"""Headers that go both ways."""

READ = {
    "post /jobs": {"Accept-Language", "Idempotency-Key", "Prefer"},
    "get /jobs": {"Accept-Language"},
    "get /jobs/{job_id}": {"Accept-Language"},
    "post /jobs/{job_id}/cancel": {"Accept-Language"},
    "post /jobs/{job_id}/pause": {"Accept-Language"},
    "post /jobs/{job_id}/resume": {"Accept-Language"},
    "get /jobs/{job_id}/events": {"Last-Event-ID"},
    "get /models/{name}/versions": {"Accept-Language"},
    "get /models/{name}/versions/{version}": {"Accept-Language"},
    "get /models/{name}/onnx": {"If-None-Match"},
    "get /models/{name}/versions/{version}/onnx": {"If-None-Match"},
    "get /models/{name}/safetensors": {"If-None-Match"},
    "get /models/{name}/versions/{version}/safetensors": {"If-None-Match"},
    "get /models/{name}/card": {"Accept-Language"},
    "get /models/{name}/versions/{version}/card": {"Accept-Language"},
    "post /v2/models/{name}/infer": TENSORS | {"Accept-Encoding"},
    "post /v2/models/{name}/versions/{version}/infer": TENSORS | {"Accept-Encoding"},
    "put /models/{name}/aliases/{alias}": {"If-Match"},
    "delete /models/{name}/aliases/{alias}": {"If-Match"},
    "post /models/{name}/aliases/{alias}/rollback": {"If-Match"},
    **{f"get {path}": {"Accept-Language", "If-None-Match"} for path in FIGURES},
}
"""Headers that each operation reads; the others read none."""

GIVEN = {
    "post /jobs 200": {"Location", "Preference-Applied"},
    "post /jobs 202": {"Location", "Preference-Applied", "Retry-After"},
    "get /jobs 200": {"Link"},
    "get /jobs/{job_id} 200": {"Retry-After"},
    "get /jobs/{job_id}/events 200": {"Link"},
    "get /jobs/{job_id}/results 200": {"Link"},
    "get /jobs/{job_id}/predictions 200": {"Content-Disposition"},
    "post /predict 200": {"Model-Version"},
    "get /models 200": {"Link"},
    "get /models/{name}/versions 200": {"Link"},
    "get /models/{name}/onnx 200": {"Content-Disposition", "ETag"},
    "get /models/{name}/onnx 304": {"ETag"},
    "get /models/{name}/versions/{version}/onnx 200": {"Content-Disposition", "ETag"},
    "get /models/{name}/versions/{version}/onnx 304": {"ETag"},
    "get /models/{name}/safetensors 200": {"Content-Disposition", "ETag"},
    "get /models/{name}/safetensors 304": {"ETag"},
    "get /models/{name}/versions/{version}/safetensors 200": {"Content-Disposition", "ETag"},
    "get /models/{name}/versions/{version}/safetensors 304": {"ETag"},
    "get /models/{name}/card 200": {"Content-Language"},
    "get /models/{name}/versions/{version}/card 200": {"Content-Language"},
    "get /models/{name}/aliases/{alias} 200": {"ETag"},
    "post /v2/models/{name}/infer 200": TENSORS,
    "post /v2/models/{name}/versions/{version}/infer 200": TENSORS,
    "put /models/{name}/aliases/{alias} 200": {"ETag"},
    "put /models/{name}/aliases/{alias} 201": {"ETag"},
    "post /models/{name}/aliases/{alias}/rollback 200": {"ETag"},
    "post /datasets 201": {"Location"},
    "get /datasets 200": {"Link"},
    "get /gates 200": {"Link"},
    **{f"get {path} 200": {"Content-Disposition", "ETag"} for path in FIGURES},
    **{f"get {path} 304": {"ETag"} for path in FIGURES},
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


def test_queries_are_described(document: dict[str, Any]) -> None:
    """What a query may say is told, but for what its name says."""
    bare = {
        parameter["name"]
        for operation in operations(document).values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] in ("query", "header") and not parameter.get("description")
    }
    assert bare <= {"limit", "description"}


def test_events_are_a_stream_too(document: dict[str, Any]) -> None:
    """The events of a job are offered as JSON and as a stream."""
    answer = operations(document)["get /jobs/{job_id}/events"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "text/event-stream"}


def test_results_are_a_table_too(document: dict[str, Any]) -> None:
    """The results of a sweep are offered as JSON and as CSV."""
    answer = operations(document)["get /jobs/{job_id}/results"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "text/csv"}


def test_jobs_are_trainings_sweeps_or_predictions(document: dict[str, Any]) -> None:
    """The body of `POST /jobs` is one of three schemas."""
    content = operations(document)["post /jobs"]["requestBody"]["content"]
    reference = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    offered = document["components"]["schemas"][reference]["oneOf"]
    names = {schema["$ref"].rpartition("/")[2] for schema in offered}
    assert names == {"JobRequest", "SweepRequest", "PredictionRequest"}


def test_models_are_files_and_cards_are_pages_too(document: dict[str, Any]) -> None:
    """Exports are files of bytes; a card is offered as JSON and as Markdown."""
    for path in ("/models/{name}", "/models/{name}/versions/{version}"):
        for form in ("onnx", "safetensors"):
            answer = operations(document)[f"get {path}/{form}"]["responses"]["200"]
            assert set(answer["content"]) == {"application/octet-stream"}
        answer = operations(document)[f"get {path}/card"]["responses"]["200"]
        assert set(answer["content"]) == {"application/json", "text/markdown"}


def test_figures_are_pictures(document: dict[str, Any]) -> None:
    """Figures are SVG or PNG, and say what may be chosen of them."""
    for path in FIGURES:
        operation = operations(document)[f"get {path}"]
        assert set(operation["responses"]["200"]["content"]) == {"image/svg+xml", "image/png"}
        query = {item["name"] for item in operation["parameters"] if item["in"] == "query"}
        assert query == {"format", "theme", "language", "scale", "part", "x", "y"}


def test_ways_to_send_a_table(document: dict[str, Any]) -> None:
    """A table is taken as a file, as a form with a file, or as JSON; its query is described."""
    operation = operations(document)["post /datasets"]
    content = operation["requestBody"]["content"]
    files = {"text/csv", "application/vnd.apache.parquet", "application/x-ndjson"}
    assert set(content) == files | {"multipart/form-data", "application/json"}
    assert content["multipart/form-data"]["schema"]["required"] == ["file", "name"]
    query = {item["name"] for item in operation["parameters"] if item["in"] == "query"}
    assert query == {"name", "target", "columns", "description"}


def test_tensors_are_json_or_bytes(document: dict[str, Any]) -> None:
    """Inference takes and gives JSON or bytes; every error below `/v2` is the protocol's."""
    both = {"application/json", "application/octet-stream"}
    for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
        operation = operations(document)[f"post {path}"]
        assert set(operation["requestBody"]["content"]) == both
        assert set(operation["responses"]["200"]["content"]) == both
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/ProtocolError"}}}
    for name, operation in operations(document).items():
        if " /v2" in name:
            for status, answer in operation["responses"].items():
                assert status == "200" or answer["content"] == error, name


def test_rows_and_predictions_in_four_forms(document: dict[str, Any]) -> None:
    """Rows are taken, and predictions given, as JSON and as three forms of tables."""
    forms = {
        "application/json",
        "text/csv",
        "application/x-ndjson",
        "application/vnd.apache.parquet",
    }
    predict = operations(document)["post /predict"]
    assert set(predict["requestBody"]["content"]) == forms
    assert set(predict["responses"]["200"]["content"]) == forms
    query = {item["name"] for item in predict["parameters"] if item["in"] == "query"}
    assert query == {"model", "version", "keep"}
    job = operations(document)["get /jobs/{job_id}/predictions"]
    assert set(job["responses"]["200"]["content"]) == forms


def test_no_trace_of_our_own_extension(document: dict[str, Any]) -> None:
    """What we hand through flask-openapi3 to complete the document does not show."""
    assert "x-answers" not in str(document)
    assert "x-schemas" not in str(document)
