"""Taking a model away: the files and pages of every kind of model, next to what the API answers."""

import hashlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import onnxruntime
import psutil
import pytest
from httpx import Response
from safetensors.numpy import load

from tests.acceptance.test_memory import LIMIT_BYTES
from tests.deployment import Deployment

ADAM = {"optimizer": "adam", "epochs": 50}
COLOURS = ("red", "green", None, "blue")
ROWS: list[dict[str, Any]] = [
    {
        "size": None if number % 7 == 0 else number / 3,
        "colour": COLOURS[number % 4],
        "old": bool(number % 2),
        "kind": ("small", "large", "odd")[number % 3],
    }
    for number in range(60)
]


@pytest.fixture(scope="module")
def trained(deployment: Deployment) -> str:
    """A model with numbers, categories and booleans, missing ones too, and three classes."""
    made = deployment.post("/datasets", {"name": "exported", "records": ROWS})
    assert made.status_code == 201, made.text
    network = {"hidden_layers": [6], "activation": "gelu"}
    for seed in (1, 2):
        training = {"epochs": 30, "validation_fraction": 0.2, "seed": seed}
        asked = {"dataset": "exported", "network": network, "training": training}
        job = deployment.finished(deployment.submit(**asked, model="exported"))
        assert job["status"] == "succeeded", job
    return "exported"


def _predict(deployment: Deployment, model: str, inputs: Any) -> Any:
    return deployment.post("/predict", {"model": model, "inputs": inputs}).json()


def _run(answer: Response, feed: dict[str, Any]) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    session = onnxruntime.InferenceSession(answer.content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def test_onnx_of_a_built_in_model(deployment: Deployment) -> None:
    """The file of a gate answers with its truth table, from one matrix."""
    answer = deployment.get("/models/xor/onnx")
    rows = [[0, 0], [0, 1], [1, 0], [1, 1]]
    found = _run(answer, {"inputs": np.array(rows, np.float32)})
    assert found["predictions"].tolist() == [0, 1, 1, 0]
    assert found["predictions"].tolist() == _predict(deployment, "xor", rows)["predictions"]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="xor-1.onnx"'
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'


def test_onnx_answers_as_the_api_does(deployment: Deployment, trained: str) -> None:
    """Raw rows, with categories and missing values, give the API's labels and probabilities."""
    rows = [{name: row[name] for name in ("size", "colour", "old")} for row in ROWS]
    rows.append({"size": -3.5, "colour": "never seen", "old": None})
    sizes = [[np.nan if row["size"] is None else row["size"]] for row in rows]
    colours = [[row["colour"] or ""] for row in rows]
    olds = [[np.nan if row["old"] is None else row["old"]] for row in rows]
    feed = {
        "size": np.array(sizes, np.float32),
        "colour": np.array(colours, object),
        "old": np.array(olds, np.float32),
    }
    found = _run(deployment.get(f"/models/{trained}/onnx"), feed)
    served = _predict(deployment, trained, rows)
    assert found["predictions"].tolist() == served["predictions"]
    np.testing.assert_allclose(found["probabilities"], served["probabilities"], atol=1e-5)


def test_onnx_of_a_regression(deployment: Deployment) -> None:
    """The file of a regression gives numbers in the target's unit, and no probabilities."""
    body = {"dataset": "diabetes", "model": "regression", "training": ADAM}
    job = deployment.finished(deployment.submit(**body))
    assert job["status"] == "succeeded", job
    rows = [
        list(row.values())[:-1] for row in deployment.get("/datasets/diabetes").json()["records"]
    ]
    found = _run(deployment.get("/models/regression/onnx"), {"inputs": np.array(rows, np.float32)})
    served = _predict(deployment, "regression", rows)["predictions"]
    assert set(found) == {"predictions"}
    np.testing.assert_allclose(found["predictions"], served, rtol=1e-5)


def test_safetensors_are_the_stored_bytes(deployment: Deployment, trained: str) -> None:
    """The file is what was published, by its digest, with the weights that the API reports."""
    answer = deployment.get(f"/models/{trained}/safetensors")
    version = deployment.get(f"/models/{trained}/versions/latest").json()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="exported-2.safetensors"'
    assert hashlib.sha256(answer.content).hexdigest() == version["sha256"]
    assert answer.headers["ETag"] == f'"{version["sha256"]}"'
    tensors = load(answer.content)
    layers = deployment.get(f"/models/{trained}/parameters").json()["layers"]
    for index, layer in enumerate(layers):
        assert tensors[f"layers.{index}.weight"].tolist() == layer["weight"]
        assert tensors[f"layers.{index}.bias"].tolist() == layer["bias"]


@pytest.mark.parametrize("form", ["onnx", "safetensors"])
def test_a_file_that_is_there_is_not_sent_again(
    deployment: Deployment, trained: str, form: str
) -> None:
    """With the file's ETag in `If-None-Match` the answer is 304 without a body."""
    path = f"/models/{trained}/{form}"
    etag = deployment.get(path).headers["ETag"]
    for sent in (etag, f'"other", W/{etag}', "*"):
        answer = deployment.get(path, If_None_Match=sent)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag
        assert answer.headers["Cache-Control"] == "no-cache"
    assert deployment.get(path, If_None_Match='"other"').status_code == 200


@pytest.mark.parametrize("form", ["onnx", "safetensors", "card"])
def test_versions_and_aliases_have_their_own(
    deployment: Deployment, trained: str, form: str
) -> None:
    """A number or an alias chooses the version; without one it is the latest; others are 404."""
    alias = f"/models/{trained}/aliases/{form}"
    assert deployment.client.put(alias, json={"version": 1}).status_code == 201
    at = f"/models/{trained}/versions"
    first, second = (deployment.get(f"{at}/{version}/{form}").content for version in (1, 2))
    assert first != second
    assert deployment.get(f"{at}/{form}/{form}").content == first
    assert deployment.get(f"{at}/latest/{form}").content == second
    assert deployment.get(f"/models/{trained}/{form}").content == second
    for path in (f"{at}/9/{form}", f"{at}/nobody/{form}", f"/models/nobody/{form}"):
        assert deployment.get(path).json()["code"] == "not_found"


def test_card_as_json(deployment: Deployment, trained: str) -> None:
    """The card is the one that the version reports."""
    version = deployment.get(f"/models/{trained}/versions/latest").json()
    answer = deployment.get(f"/models/{trained}/card")
    assert answer.json() == version["card"]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Language"] == "en"


def test_card_as_markdown(deployment: Deployment, trained: str) -> None:
    """`Accept: text/markdown` gives a page that names data, features, metrics and curves."""
    answer = deployment.get(f"/models/{trained}/card", Accept="text/markdown, */*;q=0.5")
    card = deployment.get(f"/models/{trained}/card").json()
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert "Accept" in answer.headers["Vary"]
    assert answer.text.startswith("# exported, version 2\n")
    assert card["dataset_sha256"] in answer.text
    assert "one-hot: blue, green, red; missing has a place of its own" in answer.text
    for title in ("Data", "Training", "Evaluation", "Curves", "Importance", "Diagnosis"):
        assert f"\n## {title}\n" in answer.text


def test_card_in_korean(deployment: Deployment, trained: str) -> None:
    """Both forms give the diagnosis in the language that is asked for."""
    path = f"/models/{trained}/card"
    korean = deployment.get(path, Accept_Language="ko").json()["diagnosis"]["message"]
    assert korean != deployment.get(path).json()["diagnosis"]["message"]
    page = deployment.get(path, Accept="text/markdown", Accept_Language="ko")
    assert page.headers["Content-Language"] == "ko"
    assert korean in page.text


def test_many_exports_at_once(new_deployment: Callable[..., Deployment]) -> None:
    """Twelve exports at the same moment give one file, and the API's processes stay small."""
    deployment = new_deployment()

    def export(_: int) -> bytes:
        answer = deployment.get("/models/xor/onnx")
        assert answer.status_code == 200, answer.text
        return answer.content

    with ThreadPoolExecutor(12) as pool:
        assert len(set(pool.map(export, range(12)))) == 1
    workers = [pid for pid in deployment.pids("service") if pid != deployment.api_master]
    assert workers
    for pid in workers:
        assert psutil.Process(pid).memory_info().rss <= LIMIT_BYTES


def test_damaged_weights_are_no_file(new_deployment: Callable[..., Deployment]) -> None:
    """Weights that are not what was published are a problem, in either form, and no file."""
    deployment = new_deployment()
    with closing(sqlite3.connect(deployment.data_dir / "perceptron.db")) as database, database:
        damaged = "UPDATE model_versions SET weights = zeroblob(64) WHERE name = 'xor'"
        assert database.execute(damaged).rowcount == 1
    for form in ("onnx", "safetensors"):
        answer = deployment.get(f"/models/xor/{form}")
        assert (answer.status_code, answer.json()["code"]) == (500, "corrupt_model")
