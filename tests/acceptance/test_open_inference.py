"""The Open Inference Protocol, spoken by Triton's and KServe's own clients with a deployment."""

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.acceptance.wire import address_of, connected, receive
from tests.deployment import Deployment, eventually, is_alive, process_tree

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
COLUMNS = {"size": [1.5, 3.0], "colour": ["red", "blue"], "old": [True, False]}
HOW_TO = Path(__file__).parents[2] / "docs" / "howto" / "serve-with-triton-and-kserve-clients.md"
RECORDS: list[dict[str, Any]] = [
    {
        "size": None if number % 7 == 0 else number / 3,
        "colour": ("red", "green", None, "blue")[number % 4],
        "old": bool(number % 2),
        "kind": bool(number % 3),
    }
    for number in range(48)
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment of three API processes that count together, with models of every kind."""
    directory = tmp_path_factory.mktemp("open-inference")
    settings = {
        "PERCEPTRON_API_WORKERS": "3",
        "PERCEPTRON_MAX_BODY_BYTES": "1000000",
    }
    started = Deployment(directory / "data", settings=settings).start()
    made = started.post("/datasets", {"name": "mixed", "records": RECORDS})
    assert made.status_code == 201, made.text
    for dataset in ("iris", "iris", "diabetes", "mixed"):
        training = {"epochs": 40, "optimizer": "adam"}
        job = started.submit(dataset=dataset, training=training, model=f"oip-{dataset}")
        assert started.finished(job)["status"] == "succeeded"
    alias = started.client.put("/models/oip-iris/aliases/first", json={"version": 1})
    assert alias.status_code == 201, alias.text
    yield started
    started.stop()


@pytest.fixture
def client(served: Deployment) -> Iterator[triton.InferenceServerClient]:
    """Triton's client."""
    with triton.InferenceServerClient(served.url.removeprefix("http://")) as made:
        yield made


def _rows(*, binary: bool = True) -> list[triton.InferInput]:
    return [_tensor("input", np.array(ROWS, np.float32), binary=binary)]


def _columns(*, binary: bool = True) -> list[triton.InferInput]:
    return [
        _tensor("old", np.array(COLUMNS["old"]), binary=binary),
        _tensor("size", np.array(COLUMNS["size"]), binary=binary),
        _tensor("colour", np.array(COLUMNS["colour"], object), binary=binary),
    ]


def _tensor(name: str, values: Any, *, binary: bool) -> triton.InferInput:
    tensor = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    return tensor.set_data_from_numpy(values, binary_data=binary)


def _predicted(served: Deployment, model: str, inputs: Any, version: Any = None) -> dict[str, Any]:
    asked = {"model": model, "inputs": inputs, "version": version}
    return dict(served.post("/predict", asked).json())


def _agree(found: triton.InferResult, expected: dict[str, Any]) -> None:
    """Compare an answer with that of `/predict`."""
    predictions = found.as_numpy("predictions").tolist()
    texts = [text.decode() if isinstance(text, bytes) else text for text in predictions]
    assert texts == expected["predictions"]
    if expected["probabilities"] is None:
        assert found.as_numpy("probabilities") is None
    else:
        np.testing.assert_allclose(
            found.as_numpy("probabilities"), expected["probabilities"], rtol=1e-5, atol=1e-7
        )


# Triton's client


def test_server(client: triton.InferenceServerClient) -> None:
    """The server lives, is ready, and says who it is."""
    assert client.is_server_live()
    assert client.is_server_ready()
    found = client.get_server_metadata()
    assert (found["name"], found["extensions"]) == (
        "perceptron",
        ["binary_tensor_data", "model_configuration", "model_repository", "statistics"],
    )


def test_model_metadata(client: triton.InferenceServerClient) -> None:
    """Metadata and configuration tell the same tensors, of any version by number or alias."""
    for version in ("", "2", "latest", "first"):
        found = client.get_model_metadata("oip-iris", version)
        assert (found["name"], found["versions"]) == ("oip-iris", ["1", "2"])
        assert found["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
        assert found["outputs"] == [
            {"name": "predictions", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
        ]
        told = client.get_model_config("oip-iris", version)
        assert told["input"] == [{"name": "input", "data_type": "TYPE_FP32", "dims": [-1, 4]}]
        assert told["output"][0] == {
            "name": "predictions",
            "data_type": "TYPE_STRING",
            "dims": [-1],
        }
    mixed = client.get_model_metadata("oip-mixed")
    assert {each["name"]: each["datatype"] for each in mixed["inputs"]} == {
        "size": "FP64",
        "colour": "BYTES",
        "old": "BOOL",
    }
    assert mixed["outputs"][0]["datatype"] == "BOOL"
    (number,) = client.get_model_metadata("oip-diabetes")["outputs"]
    assert number == {"name": "predictions", "datatype": "FP32", "shape": [-1]}


def test_model_ready(client: triton.InferenceServerClient) -> None:
    """A model is ready by its versions and aliases, and what is not there is not."""
    for version in ("", "1", "2", "latest", "first"):
        assert client.is_model_ready("oip-iris", version)
    assert not client.is_model_ready("oip-iris", "3")
    assert not client.is_model_ready("oip-iris", "champion")
    assert not client.is_model_ready("oip-nothing")


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
def test_inference(
    served: Deployment, client: triton.InferenceServerClient, algorithm: str | None, binary: bool
) -> None:
    """Tensors in JSON or bytes, compressed or not, are answered as `/predict` answers rows."""
    ways = {
        "request_compression_algorithm": algorithm,
        "response_compression_algorithm": algorithm,
        "request_id": "한글 7",
    }
    outputs = [
        triton.InferRequestedOutput("probabilities", binary_data=binary),
        triton.InferRequestedOutput("predictions", binary_data=binary),
    ]
    records = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    for asked in (None, outputs):
        found = client.infer("oip-iris", _rows(binary=binary), outputs=asked, **ways)
        _agree(found, _predicted(served, "oip-iris", ROWS))
        told = found.get_response()
        assert (told["model_name"], told["model_version"]) == ("oip-iris", "2")
        assert told["id"] == "한글 7"
        names = [tensor["name"] for tensor in told["outputs"]]
        assert names == (["probabilities", "predictions"] if asked else names[:2])
        found = client.infer("oip-mixed", _columns(binary=binary), outputs=asked, **ways)
        _agree(found, _predicted(served, "oip-mixed", records))
    rows = np.linspace(-0.1, 0.1, 4_000, dtype=np.float32).reshape(400, 10)
    found = client.infer("oip-diabetes", [_tensor("x", rows, binary=binary)], **ways)
    assert found.as_numpy("predictions").dtype == np.float32
    expected = _predicted(served, "oip-diabetes", rows.tolist())
    np.testing.assert_allclose(found.as_numpy("predictions"), expected["predictions"], rtol=1e-4)


def test_versions(served: Deployment, client: triton.InferenceServerClient) -> None:
    """A version is asked by number or alias, and says its number."""
    for version, number in (("1", "1"), ("first", "1"), ("latest", "2"), ("", "2")):
        found = client.infer("oip-iris", _rows(), model_version=version)
        assert found.get_response()["model_version"] == number
        _agree(found, _predicted(served, "oip-iris", ROWS, int(number)))


def test_asynchronous_inference(client: triton.InferenceServerClient) -> None:
    """Requests that are sent at once are each answered."""
    waiting = [client.async_infer("oip-iris", _rows(), request_id=str(n)) for n in range(1, 9)]
    found = [request.get_result().get_response()["id"] for request in waiting]
    assert found == [str(number) for number in range(1, 9)]


def test_repository(client: triton.InferenceServerClient) -> None:
    """The index has every version; models are loaded and unloaded, and answer all the same."""
    found = client.get_model_repository_index()
    iris = [each for each in found if each["name"] == "oip-iris"]
    assert iris == [
        {"name": "oip-iris", "version": version, "state": "READY", "reason": ""}
        for version in ("1", "2")
    ]
    assert {"and", "nand", "or", "xor"} < {each["name"] for each in found}
    client.load_model("oip-iris")
    client.unload_model("oip-iris", unload_dependents=True)
    client.infer("oip-iris", _rows())


def test_errors(client: triton.InferenceServerClient) -> None:
    """What cannot be done is refused with a status and a sentence that the client shows."""
    row = _tensor("x", np.zeros((1, 3), np.float32), binary=True)
    refused = [
        ("404", "there is no model 'oip-nothing'", lambda: client.infer("oip-nothing", [row])),
        ("404", "there is no version", lambda: client.infer("oip-iris", [row], "3")),
        ("404", "there is no alias", lambda: client.infer("oip-iris", [row], "champion")),
        ("400", "[rows, 4] is needed", lambda: client.infer("oip-iris", [row])),
        ("400", "no input 'x'", lambda: client.infer("oip-mixed", [row])),
        ("404", "there is no model", lambda: client.get_model_metadata("oip-nothing")),
        ("404", "there is no model", lambda: client.get_model_config("oip-nothing")),
        ("404", "there is no model", lambda: client.get_inference_statistics("oip-nothing")),
        ("404", "there is no version", lambda: client.get_inference_statistics("oip-iris", "3")),
        ("404", "there is no model", lambda: client.load_model("oip-nothing")),
        ("404", "there is no model", lambda: client.unload_model("oip-nothing")),
        ("400", "no parameter 'config'", lambda: client.load_model("oip-iris", config="{}")),
        ("404", "/v2/models/oip-iris/trace/setting", lambda: client.get_trace_settings("oip-iris")),
        ("404", "/v2/logging", client.get_log_settings),
        ("404", "/v2/systemsharedmemory", client.get_system_shared_memory_status),
    ]
    for status, sentence, call in refused:
        with pytest.raises(InferenceServerException) as error:
            call()
        assert error.value.status() == status
        assert sentence in error.value.message()


def _counted(found: Any, version: str) -> dict[str, int]:
    (stats,) = [each for each in found["model_stats"] if each["version"] == version]
    counts = {name: each["count"] for name, each in stats["inference_stats"].items()}
    return {"rows": stats["inference_count"], "requests": stats["execution_count"], **counts}


def test_statistics(served: Deployment, client: triton.InferenceServerClient) -> None:
    """Every request of any process counts at once, by version, and outlives its process."""
    before = _counted(client.get_inference_statistics("oip-iris"), "1")
    body = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": ROWS}]}

    def ask(number: int) -> int:
        asked = body if number % 4 else {}
        path = f"{served.url}/v2/models/oip-iris/versions/first/infer"
        return httpx.post(path, json=asked, trust_env=False).status_code

    with ThreadPoolExecutor(12) as pool:  # a connection each: several processes answer
        answered = list(pool.map(ask, range(120)))
    assert sorted(answered) == [200] * 90 + [400] * 30
    added = {"rows": 180, "fail": 30}
    expected = {name: count + added.get(name, 90) for name, count in before.items()}
    assert _counted(client.get_inference_statistics("oip-iris"), "1") == expected
    assert _counted(client.get_inference_statistics("oip-iris", "first"), "1") == expected
    everything = client.get_inference_statistics()["model_stats"]
    assert {"and", "xor", "oip-iris", "oip-mixed"} < {each["name"] for each in everything}
    (stats,) = client.get_inference_statistics("oip-iris", "1")["model_stats"]
    spent = stats["inference_stats"]
    steps = ("compute_input", "compute_infer", "compute_output")
    assert 0 < sum(spent[step]["ns"] for step in steps) <= spent["success"]["ns"]
    assert spent["queue"]["ns"] == 0
    assert stats["last_inference"] > 0

    process, *_ = process_tree(served.api_master)[1:]
    os.kill(process, 9)
    eventually(lambda: not is_alive(process))
    eventually(lambda: len(process_tree(served.api_master)) == 4)
    found = httpx.get(f"{served.url}/v2/models/oip-iris/stats", trust_env=False).json()
    assert _counted(found, "1") == expected


def test_deleted_models_are_not_listed(served: Deployment) -> None:
    """Statistics and index forget a model that is deleted."""
    job = served.submit(dataset="and", training={"epochs": 1}, model="oip-gone")
    assert served.finished(job)["status"] == "succeeded"
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0, 1]}]}
    assert served.post("/v2/models/oip-gone/infer", body).status_code == 200
    assert "oip-gone" in served.get("/v2/models/stats").text
    assert served.client.delete("/models/oip-gone").status_code == 204
    assert "oip-gone" not in served.get("/v2/models/stats").text
    assert "oip-gone" not in served.post("/v2/repository/index").text
    assert served.get("/v2/models/oip-gone/ready").status_code == 404


# Without a client


@pytest.mark.parametrize(
    ("method", "path", "status", "sent"),
    [
        ("GET", "/v2/nothing", 404, {}),
        ("GET", "/v2/models", 404, {}),
        ("DELETE", "/v2", 405, {}),
        ("GET", "/v2/models/oip-iris/infer", 405, {}),
        ("GET", "/v2", 400, {"headers": {"Host": "elsewhere.example"}}),
        ("GET", "/v2/models/oip-iris/versions/0", 400, {}),
        ("GET", "/v2/models/a%00b", 400, {}),
        ("POST", "/v2/repository/index", 400, {"content": b"[]"}),
        ("POST", "/v2/repository/index", 400, {"content": b"{", "headers": {}}),
        ("POST", "/v2/repository/models/oip-iris/unload", 400, {"content": b"{\xff"}),
        ("POST", "/v2/repository/models/oip-iris/load", 413, {"content": bytes(1_000_001)}),
        ("POST", "/v2/models/oip-iris/infer", 400, {}),
        ("POST", "/v2/models/oip-iris/infer", 400, {"content": b'{"inputs": []}'}),
        ("POST", "/v2/models/oip-iris/infer", 413, {"content": bytes(1_000_001)}),
        (
            "POST",
            "/v2/models/oip-iris/infer",
            413,
            {"content": gzip.compress(bytes(1_000_001)), "headers": {"Content-Encoding": "gzip"}},
        ),
        (
            "POST",
            "/v2/models/oip-iris/infer",
            413,
            {
                "content": zlib.compress(bytes(1_000_001)),
                "headers": {"Content-Encoding": "deflate"},
            },
        ),
        (
            "POST",
            "/v2/models/oip-iris/infer",
            415,
            {"content": b"{}", "headers": {"Content-Encoding": "br"}},
        ),
        (
            "POST",
            "/v2/repository/index",
            415,
            {"content": b"{}", "headers": {"Content-Encoding": "zstd"}},
        ),
    ],
)
def test_every_error_is_the_protocol_s(
    served: Deployment, method: str, path: str, status: int, sent: dict[str, Any]
) -> None:
    """Whatever goes wrong below `/v2`, the answer is `{"error": "…"}` as plain JSON."""
    found = served.client.request(method, path, **sent)
    assert (found.status_code, found.headers["Content-Type"]) == (status, "application/json")
    assert list(found.json()) == ["error"]
    assert isinstance(found.json()["error"], str)


def test_large_answers_are_encoded_where_asked(served: Deployment) -> None:
    """A large answer is encoded as the client asks, JSON and bytes alike; not otherwise."""
    tensor = {"name": "x", "shape": [500, 4], "datatype": "FP32", "data": [0.5] * 2_000}
    for parameters in ({}, {"binary_data_output": True}):
        body = {"inputs": [tensor], "parameters": parameters}
        plain = served.post("/v2/models/oip-iris/infer", body, Accept_Encoding="identity")
        assert "Content-Encoding" not in plain.headers
        for encoding in ("gzip", "deflate"):
            found = served.post("/v2/models/oip-iris/infer", body, Accept_Encoding=encoding)
            assert found.headers["Content-Encoding"] == encoding
            assert found.content == plain.content
            length = "Inference-Header-Content-Length"
            assert found.headers.get(length) == plain.headers.get(length)


def test_a_body_of_unknown_length(served: Deployment) -> None:
    """A body that comes in chunks is read to its end."""
    body = json.dumps(
        {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": ROWS}]}
    )
    found = served.client.post("/v2/models/oip-iris/infer", content=iter([body.encode()]))
    assert found.status_code == 200, found.text


# KServe's client


@pytest.fixture(scope="module")
def with_kserve() -> Iterator[dict[str, str]]:
    """The environment of a Python that has KServe's client, which cannot be beside our packages."""
    listed = Path(__file__).with_name("kserve-requirements.txt")
    with tempfile.TemporaryDirectory() as directory:
        install = ("install", "--quiet", "--no-deps", "--disable-pip-version-check")
        subprocess.run(
            [sys.executable, "-m", "pip", *install, "--target", directory, "-r", str(listed)],
            check=True,
        )
        yield {**os.environ, "PYTHONPATH": directory, "NO_PROXY": "*"}


def test_kserve(served: Deployment, with_kserve: dict[str, str]) -> None:
    """Every call of KServe's client for version 2 works, in JSON and in bytes."""
    script = Path(__file__).with_name("kserve_session.py")
    run = subprocess.run(
        [sys.executable, str(script), served.url],
        check=False,
        input=json.dumps({"rows": ROWS, "columns": COLUMNS}),
        capture_output=True,
        env=with_kserve,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert found["other_ready"] is False
    records = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    ways = [f"{sent} {answered}" for sent in (False, True) for answered in (False, True)]
    for model, kind, inputs in (("oip-iris", "rows", ROWS), ("oip-mixed", "columns", records)):
        expected = _predicted(served, model, inputs)
        for way in ways:
            told = found[f"{kind} {way}"]
            assert (told["model"], told["id"]) == (model, "7")
            assert told["outputs"]["predictions"] == expected["predictions"]
            np.testing.assert_allclose(
                told["outputs"]["probabilities"], expected["probabilities"], rtol=1e-5, atol=1e-7
            )
    assert list(found["chosen"]["outputs"]) == ["probabilities"]
    first = _predicted(served, "oip-iris", ROWS, 1)
    assert found["version"]["outputs"]["predictions"] == first["predictions"]
    assert found["bad"][0] == 400
    assert "the shape [rows, 4] is needed" in found["bad"][1]
    assert found["unknown"][0] == 404
    assert "there is no model 'oip-nothing'" in found["unknown"][1]


def test_two_hundred_users(served: Deployment) -> None:
    """
    What MLServer's load test for REST asks is answered rightly to as many users at once.

    Each user keeps a connection and asks again when it is answered; the model is loaded before and
    unloaded after. Source: MLServer, benchmarking/scenarios/inference-rest.js, and its data.
    """
    users, rounds, model = 200, 5, "oip-iris"
    tensor = {"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    asked = b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: localhost\r\n" % model.encode()
    asked += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    expected = _predicted(served, model, [[1, 2, 3, 4]])
    assert served.client.post(f"/v2/repository/models/{model}/load").status_code == 200
    with ExitStack() as opened:
        connections = [opened.enter_context(connected(address_of(served))) for _ in range(users)]
        for _ in range(rounds):
            for connection in connections:
                connection.sendall(asked + body)
            for connection in connections:
                answer = receive(connection)
                assert answer.status == 200, answer
                outputs = {one["name"]: one for one in json.loads(answer.body)["outputs"]}
                assert outputs["predictions"]["data"] == expected["predictions"]
                np.testing.assert_allclose(
                    outputs["probabilities"]["data"], expected["probabilities"][0], rtol=1e-5
                )
    assert served.client.post(f"/v2/repository/models/{model}/unload").status_code == 200


def test_the_how_to(served: Deployment, with_kserve: dict[str, str], tmp_path: Path) -> None:
    """The programs of the how-to print what it says that they print."""
    page = HOW_TO.read_text(encoding="utf-8")
    programs = re.findall(
        r"^```python\n(.*?)^```\n+^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
    )
    assert len(programs) == 2
    for program, printed in programs:
        (tmp_path / "program.py").write_text(
            program.replace("127.0.0.1:8000", served.url.removeprefix("http://")), encoding="utf-8"
        )
        run = subprocess.run(
            [sys.executable, "program.py"],
            check=False,
            cwd=tmp_path,
            capture_output=True,
            env=with_kserve,
            encoding="utf-8",
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout == printed
