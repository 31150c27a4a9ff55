"""The Open Inference Protocol where the database is away, or what it holds is damaged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from cli.deployment import prepare
from schemas.settings import Settings
from service.app import create_app
from storage import Storage
from storage.tables import model_versions

XOR = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [0, 1, 1, 1]}]}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """An application on SQLite, with the built-in models."""
    settings = Settings(data_dir=tmp_path)
    prepare(settings)
    app = create_app(settings)
    yield app.test_client()
    app.extensions["storage"].database.close()


def _damage_weights(client: FlaskClient) -> None:
    stored: Storage = client.application.extensions["storage"]
    with stored.database.write() as connection:
        connection.execute(update(model_versions).values(weights=b"damaged"))


def _infer(client: FlaskClient) -> TestResponse:
    return client.post("/v2/models/xor/infer", json=XOR)


def _refused(response: TestResponse, status: int) -> str:
    assert (response.status_code, response.content_type) == (status, "application/json")
    assert response.json is not None
    assert list(response.json) == ["error"]
    return str(response.json["error"])


def test_loading_and_unloading(client: FlaskClient) -> None:
    """A loaded model answers from memory; one that is unloaded is read again."""
    assert client.post("/v2/repository/models/xor/load").json == {}
    _damage_weights(client)
    answer = _infer(client).json
    assert answer is not None
    assert [output["data"] for output in answer["outputs"]] == [[1, 0], [1.0, 0.0]]
    assert client.post("/v2/repository/models/xor/unload").json == {}
    assert "do not match their digest" in _refused(_infer(client), 500)


def test_a_damaged_model_is_not_ready(client: FlaskClient) -> None:
    """A model whose weights are damaged is not said to be ready, and cannot be loaded."""
    _damage_weights(client)
    for path in ("/v2/models/xor/ready", "/v2/models/xor/versions/1/ready"):
        _refused(client.get(path), 500)
    _refused(client.post("/v2/repository/models/xor/load"), 500)
    assert client.get("/v2/health/ready").status_code == 200


def test_a_fault_of_our_own(client: FlaskClient) -> None:
    """A fault is told in the protocol's form, without its insides."""
    client.application.extensions["statistics"] = None
    told = _refused(client.get("/v2/models/stats"), 500)
    assert told == "the fault is in the service's log"


def test_no_database(tmp_path: Path) -> None:
    """Without a database the server lives and is not ready; the rest says when to come back."""
    url = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    settings = Settings.model_validate({"data_dir": tmp_path, "database_url": url})
    client = create_app(settings).test_client()
    assert client.get("/v2/health/live").json == {"live": True}
    for answer in (
        client.get("/v2/health/ready"),
        client.get("/v2/models/xor"),
        client.get("/v2/models/xor/ready"),
        client.get("/v2/models/stats"),
        client.post("/v2/repository/index"),
        client.post("/v2/repository/models/xor/unload"),
        _infer(client),
    ):
        _refused(answer, 503)
        assert answer.headers["Retry-After"] == "1"
