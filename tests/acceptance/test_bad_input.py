"""Bad input gets a 4xx problem that names the field; nothing is stored."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.deployment import Deployment

XOR = {"features": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": [0, 1, 1, 0]}

BAD_JOBS: dict[str, tuple[str, str]] = {
    "no dataset": ("{}", "#/dataset"),
    "a step that is too large": (
        json.dumps(
            {
                "dataset": {"features": [[0]] * 2_000, "targets": [0, 1] * 1_000},
                "network": {"hidden_layers": [65_536]},
            }
        ),
        "#/training/batch_size",
    ),
    "unknown dataset": ('{"dataset":"xorr"}', "#/dataset"),
    "dataset of a wrong type": ('{"dataset":3}', "#/dataset"),
    "unknown field": ('{"dataset":"xor","epochs":5}', "#/epochs"),
    "field that no URI holds as it is": ('{"dataset":"xor","a b%/":5}', "#/a%20b%25~1"),
    "unknown nested field": ('{"dataset":"xor","training":{"lr":1}}', "#/training/lr"),
    "zero epochs": ('{"dataset":"xor","training":{"epochs":0}}', "#/training/epochs"),
    "too many epochs": ('{"dataset":"xor","training":{"epochs":1e99}}', "#/training/epochs"),
    "fractional epochs": ('{"dataset":"xor","training":{"epochs":1.5}}', "#/training/epochs"),
    "negative rate": (
        '{"dataset":"xor","training":{"learning_rate":-1}}',
        "#/training/learning_rate",
    ),
    "NaN rate": ('{"dataset":"xor","training":{"learning_rate":NaN}}', "#/training/learning_rate"),
    "infinite rate": (
        '{"dataset":"xor","training":{"learning_rate":1e999}}',
        "#/training/learning_rate",
    ),
    "rate as text": (
        '{"dataset":"xor","training":{"learning_rate":"1"}}',
        "#/training/learning_rate",
    ),
    "negative seed": ('{"dataset":"xor","training":{"seed":-1}}', "#/training/seed"),
    "too many records": (
        '{"dataset":"xor","training":{"epochs":1000000,"record_every":1}}',
        "#/training/record_every",
    ),
    "validation of nothing": (
        '{"dataset":"xor","training":{"validation_fraction":0.01}}',
        "#/training/validation_fraction",
    ),
    "unknown activation": (
        '{"dataset":"xor","network":{"activation":"swish"}}',
        "#/network/activation",
    ),
    "layer without units": (
        '{"dataset":"xor","network":{"hidden_layers":[0]}}',
        "#/network/hidden_layers/0",
    ),
    "huge layers": (
        '{"dataset":"xor","network":{"hidden_layers":[9000,9000]}}',
        "#/network/hidden_layers",
    ),
    "too many layers": (
        '{"dataset":"xor","network":{"hidden_layers":[' + ",".join(["1"] * 33) + "]}}",
        "#/network/hidden_layers",
    ),
    "built-in name": ('{"dataset":"xor","model":"xor"}', "#/model"),
    "bad name": ('{"dataset":"xor","model":"../etc"}', "#/model"),
    "ragged rows": (
        '{"dataset":{"features":[[0,1],[1]],"targets":[0,1]}}',
        "#/dataset/features/1",
    ),
    "no rows": ('{"dataset":{"features":[],"targets":[]}}', "#/dataset/features"),
    "no columns": ('{"dataset":{"features":[[]],"targets":[0]}}', "#/dataset/features/0"),
    "NaN feature": ('{"dataset":{"features":[[NaN]],"targets":[0]}}', "#/dataset/features/0/0"),
    "feature too large for float32": (
        '{"dataset":{"features":[[1e300],[0]],"targets":[0,1]}}',
        "#/dataset/features/0/0",
    ),
    "three values for a binary task": (
        '{"dataset":{"features":[[0],[1],[2]],"targets":[0,1,2]},"task":"binary"}',
        "#/task",
    ),
    "constant target": ('{"dataset":{"features":[[0],[1]],"targets":[3,3]}}', "#/target"),
    "regression of categories": ('{"dataset":"iris","task":"regression"}', "#/task"),
    "unknown target column": ('{"dataset":"iris","target":"color"}', "#/target"),
    "unknown feature column": ('{"dataset":"iris","features":["color"]}', "#/features/0"),
    "target among the features": ('{"dataset":"xor","features":["x1","y"]}', "#/features/1"),
    "policy for no feature": (
        '{"dataset":"iris","preprocessing":{"missing":{"color":"mean"}}}',
        "#/preprocessing/missing/color",
    ),
    "class weights of a regression": (
        '{"dataset":"diabetes","training":{"class_weights":"balanced"}}',
        "#/training/class_weights",
    ),
    "early stopping without validation": (
        '{"dataset":"iris","training":{"early_stopping":{"patience":5}}}',
        "#/training/early_stopping",
    ),
    "nothing left to train on": (
        '{"dataset":"iris","training":{"validation_fraction":0.5,"test_fraction":0.5}}',
        "#/training/test_fraction",
    ),
    "missing target": ('{"dataset":{"features":[[0],[1]],"targets":[0]}}', "#/dataset/targets"),
    "wrong number of names": (
        '{"dataset":{"features":[[0]],"targets":[0],"feature_names":["a","b"]}}',
        "#/dataset/feature_names",
    ),
    "repeated names": (
        '{"dataset":{"features":[[0,1]],"targets":[0],"feature_names":["a","a"]}}',
        "#/dataset/feature_names",
    ),
}


@pytest.fixture(autouse=True)
def nothing_is_stored(deployment: Deployment) -> Iterator[None]:
    """After each test the newest job and the models are what they were before."""

    def stored() -> tuple[Any, Any]:
        models = deployment.get("/models?limit=100").json()
        return deployment.get("/jobs?limit=1").json()["first_id"], models

    before = stored()
    yield
    assert stored() == before


def pointers(answer: dict[str, Any]) -> list[str]:
    """Every pointer of a problem."""
    return [error.get("pointer", "") for error in answer["errors"]]


@pytest.mark.parametrize("case", BAD_JOBS)
def test_bad_job(deployment: Deployment, case: str) -> None:
    """A job that cannot run is refused with 422 and a pointer at the field."""
    body, pointer = BAD_JOBS[case]
    response = post_raw(deployment, "/jobs", body)
    assert response.status_code == 422, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == 422
    assert problem["instance"] == "/jobs"
    assert pointer in pointers(problem), problem


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (
            "/jobs",
            '{"dataset":{"features":[[0],[1]],"targets":["0",1]}}',
            ["#/dataset/targets/0"],
        ),
        ("/jobs", '{"dataset":"xor","training":{"optimizer":"x"}}', ["#/training/optimizer"]),
        ("/predict", '{"model":"xor","inputs":[7.5,7]}', ["#/inputs/0"]),
        ("/predict", '{"model":"xor","inputs":[["0",1]]}', ["#/inputs/0/0"]),
        ("/predict", '{"model":"xor","inputs":[[0,NaN]]}', ["#/inputs/0/1"]),
        ("/predict", '{"model":"xor","inputs":[[0,[1]]]}', ["#/inputs/0/1"]),
    ],
)
def test_one_entry_for_each_wrong_place(
    deployment: Deployment, path: str, body: str, expected: list[str]
) -> None:
    """What follows from another error is not told as an error of its own."""
    assert pointers(post_raw(deployment, path, body).json()) == expected


@pytest.mark.parametrize(
    ("inputs", "detail"),
    [
        ("[[0,1e999]]", "Input should be a finite number"),
        ("[[0,[1]]]", "Input should be a valid number or string or boolean"),
        ("[]", "Array should have at least 1 item after validation, not 0"),
        ("7", "Input should be a valid array"),
    ],
)
def test_errors_speak_of_json(deployment: Deployment, inputs: str, detail: str) -> None:
    """What is wrong is one sentence in JSON's terms, whatever the types' branches."""
    response = post_raw(deployment, "/predict", f'{{"model":"xor","inputs":{inputs}}}')
    assert [place["detail"] for place in response.json()["errors"]] == [detail]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"model":"xor","inputs":[[0]]}', "#/inputs/0"),
        ('{"model":"xor","inputs":[[0,1],[0,1,2]]}', "#/inputs/1"),
        ('{"model":"xor","inputs":[]}', "#/inputs"),
        ('{"model":"xor","inputs":[[0,NaN]]}', "#/inputs/0/1"),
        ('{"model":"xor","inputs":[["0",1]]}', "#/inputs/0/0"),
        ('{"model":"xor","inputs":[{"x1":0}]}', "#/inputs/0/x2"),
        ('{"model":"xor","inputs":[{"x1":0,"x2":1,"x3":1}]}', "#/inputs/0/x3"),
        ('{"model":"xor","inputs":[{"x1":0,"x2":"1"}]}', "#/inputs/0/x2"),
        ('{"inputs":[[0,1]]}', "#/model"),
        ('{"model":"xor","version":0,"inputs":[[0,1]]}', "#/version"),
        ('{"model":"xor","version":99999999999999999999,"inputs":[[0,1]]}', "#/version"),
    ],
)
def test_bad_prediction(deployment: Deployment, body: str, pointer: str) -> None:
    """Rows that the model cannot take are refused with a pointer at the first wrong place."""
    response = post_raw(deployment, "/predict", body)
    assert response.status_code == 422, response.text
    assert pointer in pointers(response.json()), response.text


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"inputs":[1]}', "#/layers/0/weights/0"),
        ('{"targets":[1,2,3]}', "#/targets"),
        ('{"layers":[]}', "#/layers"),
        ('{"learning_rate":0}', "#/learning_rate"),
        (
            '{"inputs":[1,1],"layers":' + json.dumps([{"weights": [[1] * 64] * 64}] * 2) + "}",
            "#/layers",
        ),
        ('{"layers":[{"weights":[[1,1]],"biases":[1,2]}],"targets":[1]}', "#/layers/0/biases"),
        ('{"layers":[{"weights":[[1,1]],"activation":"step"}]}', "#/layers/0/activation"),
    ],
)
def test_bad_backprop(deployment: Deployment, body: str, pointer: str) -> None:
    """Shapes that do not agree are refused with a pointer."""
    response = post_raw(deployment, "/backprop", body)
    assert response.status_code == 422, response.text
    assert pointer in pointers(response.json()), response.text


@pytest.mark.parametrize("path", ["/jobs", "/predict", "/backprop"])
@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"a":' * 100_000, "{", "null", "3", '"text"', "[]", "\x00"]
)
def test_not_a_json_object(deployment: Deployment, path: str, body: str) -> None:
    """What is no JSON object, however deep, is a clean 4xx."""
    response = post_raw(deployment, path, body)
    assert response.status_code in (400, 422), response.text
    assert response.headers["Content-Type"] == "application/problem+json"


def test_not_utf8(deployment: Deployment) -> None:
    """A body that is not UTF-8 is a 400."""
    response = post_raw(deployment, "/jobs", b'{"dataset":"\xff"}')
    assert response.status_code == 400


def test_wrong_content_type(deployment: Deployment) -> None:
    """A body that is not JSON by its content type is a 415."""
    headers = {"Content-Type": "text/csv"}
    response = deployment.client.post("/jobs", content='{"dataset":"xor"}', headers=headers)
    assert response.status_code == 415
    assert response.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs/nope"),
        ("GET", "/jobs/nope/events"),
        ("POST", "/jobs/nope/cancel"),
        ("POST", "/jobs/nope/pause"),
        ("POST", "/jobs/nope/resume"),
        ("DELETE", "/jobs/nope"),
        ("GET", "/jobs?after=nope"),
        ("GET", "/models/nope"),
        ("GET", "/models/nope/versions"),
        ("GET", "/models/nope/parameters"),
        ("GET", "/models/xor/versions/99"),
        ("GET", "/models/xor/versions/nope"),
        ("GET", "/models/xor/aliases/nope"),
        ("DELETE", "/models/nope"),
        ("GET", "/datasets/nope"),
        ("GET", "/gates/nope"),
        ("GET", "/gates/011"),
        ("GET", "/nope"),
    ],
)
def test_unknown(deployment: Deployment, method: str, path: str) -> None:
    """What is not there is a 404 problem."""
    response = deployment.client.request(method, path)
    assert response.status_code == 404, response.text
    assert response.json()["code"] == "not_found"


@pytest.mark.parametrize("field", ["model", "version"])
def test_unknown_model_names_the_field(deployment: Deployment, field: str) -> None:
    """A prediction by an unknown model or version is a 404 that points at it."""
    body = {"model": "xor", "inputs": [[0, 1]]} | {field: "nope"}
    response = deployment.post("/predict", body)
    assert response.status_code == 404
    assert pointers(response.json()) == [f"#/{field}"]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/jobs?limit=0", "limit"),
        ("/jobs?limit=many", "limit"),
        ("/jobs?nope=1", "nope"),
        ("/jobs?status=asleep", "status"),
        ("/models/xor/versions?after=x", "after"),
        ("/models/xor/versions/0", "version"),
        ("/models/xor/versions/01", "version"),
        ("/models/xor/versions/1.0", "version"),
        ("/models/xor/versions/%2B1", "version"),
        ("/models/xor/versions/1_0/parameters", "version"),
        ("/models/xor/versions/1e0/card", "version"),
        ("/models/xor/versions/99999999999999999999", "version"),
        ("/models/xor/versions?after=99999999999999999999", "after"),
        ("/jobs/nope/events?after=99999999999999999999", "after"),
        ("/jobs/a%00b", "job_id"),
        ("/jobs/a%00b/events", "job_id"),
        ("/jobs?after=%00", "after"),
        ("/models/a%00b", "name"),
        ("/models?after=%00", "after"),
        ("/datasets/a%0Ab", "name"),
        ("/gates/a%7Fb", "name"),
        ("/problems/a%C2%9Fb", "code"),
        (f"/jobs/{'x' * 256}", "job_id"),
    ],
)
def test_bad_parameter(deployment: Deployment, path: str, parameter: str) -> None:
    """A wrong part of the path or the query is named, before any database sees it."""
    response = deployment.get(path)
    assert response.status_code == 422, response.text
    assert {error["parameter"] for error in response.json()["errors"]} == {parameter}


def test_number_that_no_database_holds(deployment: Deployment) -> None:
    """A number beyond 32 bits is refused wherever one is written to or sought in the database."""
    version = "/models/mine/versions/99999999999999999999"
    assert deployment.client.delete(version).status_code == 422
    alias = deployment.client.put("/models/mine/aliases/a", json={"version": 2**31})
    assert (alias.status_code, pointers(alias.json())) == (422, ["#/version"])
    events = deployment.get("/jobs/nope/events", Last_Event_ID=str(2**31))
    assert events.status_code == 422
    assert events.json()["errors"][0]["parameter"] == "Last-Event-ID"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/predict", '{"model":"xor","inputs":%s}', "#/inputs/0"),
        ("/jobs", '{"dataset":{"features":%s,"targets":[0]}}', "#/dataset/features/0"),
        ("/jobs", '{"dataset":{"features":[[0]],"targets":%s}}', "#/dataset/targets/0"),
    ],
)
@pytest.mark.parametrize("row", ['[""]', "[" + '"",' * 9 + '""]', '{"x1":"","x2":""}'])
def test_flood_of_bad_rows(
    deployment: Deployment, path: str, body: str, pointer: str, row: str
) -> None:
    """Of rows that are all wrong the first is named, not each."""
    response = post_raw(deployment, path, body % ("[" + ",".join([row] * 100_000) + "]"))
    assert response.status_code == 422
    found = pointers(response.json())
    assert found[0].startswith(pointer)
    assert len(found) <= 3


def test_many_bad_fields(deployment: Deployment) -> None:
    """Of hundreds of wrong fields a problem lists a hundred, and says how many more there are."""
    body = {"dataset": "xor"} | {f"key{number}": 1 for number in range(500)}
    problem = deployment.post("/jobs", body).json()
    assert len(problem["errors"]) == 100
    assert "(and 499 more; the first 100 are listed)" in problem["detail"]


def test_flood_of_bad_fields(deployment: Deployment) -> None:
    """A hundred thousand wrong fields are counted, not described."""
    body = {"dataset": "xor"} | {f"key{number}": 1 for number in range(100_000)}
    response = deployment.post("/jobs", body)
    assert response.status_code == 422
    assert response.json()["detail"] == "100000 fields are not valid"
    assert len(response.content) < 1_000


def test_built_in_models_cannot_be_changed(deployment: Deployment) -> None:
    """Deleting or aliasing a built-in model is a 409."""
    assert deployment.client.delete("/models/xor").status_code == 409
    assert deployment.client.delete("/models/xor/versions/1").status_code == 409
    alias = deployment.client.put("/models/xor/aliases/champion", json={"version": 1})
    assert alias.status_code == 409


def test_method_not_allowed(deployment: Deployment) -> None:
    """A method that a route does not have is a 405 that lists those it has."""
    response = deployment.client.put("/jobs")
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize("chunked", [False, True])
def test_body_over_the_limit(deployment: Deployment, chunked: bool) -> None:
    """A body over the limit is refused with 413, declared or chunked; it is never cut."""
    padding = b" " * (10 * 1024 * 1024)
    body = b'{"dataset":"xor","training":{"epochs":1}}' + padding
    assert status_of_raw(deployment, "/jobs", body, chunked=chunked) == 413


def test_chunked_body_within_the_limit(deployment: Deployment) -> None:
    """A chunked body within the limit is read whole."""
    body = b'{"model":"xor","inputs":[[0,1]]}' + b" " * 1_000_000
    assert status_of_raw(deployment, "/predict", body, chunked=True) == 200


@pytest.mark.parametrize("key", ["k" * 256, '"half', 'half"', 'both""', '"'])
def test_bad_idempotency_key(deployment: Deployment, key: str) -> None:
    """A key that cannot be kept, or is not quoted well, is refused by its header's name."""
    response = deployment.post("/jobs", {"dataset": "xor"}, Idempotency_Key=key)
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"


@pytest.mark.parametrize(
    "keys", [("one", "two"), ("one", "one"), ('"one"', '"two"'), ("one,two",), (",",)]
)
def test_several_idempotency_keys(deployment: Deployment, keys: tuple[str, ...]) -> None:
    """Of two keys none is chosen: whoever sent them, or joined them on the way, is told."""
    headers = [("Idempotency-Key", key) for key in keys]
    response = deployment.client.post("/jobs", json={"dataset": "xor"}, headers=headers)
    assert response.status_code == 400
    assert "Idempotency-Key" in response.json()["detail"]


def post_raw(deployment: Deployment, path: str, body: str | bytes) -> Any:
    """POST bytes as JSON."""
    headers = {"Content-Type": "application/json"}
    return deployment.client.post(path, content=body, headers=headers)


def status_of_raw(deployment: Deployment, path: str, body: bytes, *, chunked: bool) -> int:
    """POST by hand and read the status, even where the server closes before it read everything."""
    target = urlsplit(deployment.url)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
        f"{length}\r\n\r\n"
    )
    with socket.create_connection((target.hostname, target.port), timeout=60) as connection:
        connection.sendall(head.encode())
        try:
            for start in range(0, len(body), 65_536):
                piece = body[start : start + 65_536]
                framed = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
                connection.sendall(framed)
            connection.sendall(b"0\r\n\r\n" if chunked else b"")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer came first
        return int(connection.recv(64).split()[1])


def test_the_rest_of_a_refused_body_holds_up_nobody(
    new_deployment: Callable[..., Deployment],
) -> None:
    """Others are answered while a client goes on sending what was refused long ago."""
    deployment = new_deployment("--api-workers", "1")
    target = urlsplit(deployment.url)
    head = (
        f"POST /datasets?name=x HTTP/1.1\r\nHost: {target.netloc}\r\n"
        f"Content-Type: text/csv\r\nContent-Length: {10**15}\r\n\r\n"
    )
    has_ended = threading.Event()
    with socket.create_connection((target.hostname, target.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")

        def send() -> None:
            while not has_ended.is_set():
                connection.sendall(bytes(2**20))

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            try:
                for _ in range(20):
                    assert deployment.get("/livez").status_code == 200
                assert not sending.done()
            finally:
                has_ended.set()
