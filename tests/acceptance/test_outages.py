"""What jobs need goes away for a while: requests are refused or accepted, and nothing is lost."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.deployment import Deployment

Start = Callable[..., Deployment]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ("/bin/mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path)
    if sys.platform != "linux" or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs Linux and the right to mount a file system")
    yield path
    subprocess.run(["/bin/umount", path], check=True)


def assert_unavailable(deployment: Deployment, part: str) -> None:
    """The job is refused for now, and readiness names the part that is away."""
    refused = deployment.post("/jobs", {"dataset": "and"})
    assert refused.status_code == 503
    assert refused.json()["code"] == "unavailable"
    assert int(refused.headers["Retry-After"]) > 0
    readiness = deployment.get("/readyz")
    assert readiness.status_code == 503
    assert readiness.json()["checks"][part] != "ok"


def test_locked_database(new_deployment: Start) -> None:
    """While another process holds SQLite's lock, a job is refused and other requests answered."""
    deployment = new_deployment("--api-workers", "1")
    with closing(sqlite3.connect(deployment.data_dir / "perceptron.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(deployment.post, "/jobs", {"dataset": "and"})
            answered = 0
            while answered < 20:
                assert deployment.get("/livez").status_code == 200
                assert deployment.get("/jobs").json()["data"] == []
                if waiting.done():
                    break
                answered += 1
            assert answered  # while the other one waited
            refused = waiting.result()
        assert refused.status_code == 503
        assert refused.json()["code"] == "unavailable"
        assert int(refused.headers["Retry-After"]) > 0
        other.rollback()
    assert deployment.get("/jobs").json()["data"] == []
    assert deployment.finished(deployment.submit(dataset="and"))["status"] == "succeeded"


def test_full_disk_of_uploads(small_disk: Path, new_deployment: Start) -> None:
    """A table that has no room is refused with 507 however it is sent, and nothing stays of it."""
    deployment = new_deployment("--api-workers", "1", TMPDIR=str(small_disk))
    before = set(small_disk.iterdir())
    large = b"x,y\n" + b"1.25,0\n2.5,1\n" * 700_000  # no room as it is sent
    grown = b"x,y,z\n" + b"1,2,0\n2,1,1\n" * 300_000  # no room as it is stored
    csv, named = {"Content-Type": "text/csv"}, {"name": "full"}
    records = {**named, "records": [{"x": "a" * 900, "y": row} for row in range(10_000)]}
    refused = [
        deployment.client.post("/datasets?name=full", content=large, headers=csv),
        deployment.client.post(
            "/datasets", files={"file": ("a.csv", large)}, data={"name": "full"}
        ),
        deployment.client.post("/datasets?name=full", content=grown, headers=csv),
        deployment.post("/datasets", records),
        deployment.client.post("/predict?model=xor", content=large, headers=csv),
    ]
    for response in refused:
        assert response.status_code == 507, response.text
        assert response.json()["code"] == "insufficient_storage"
        assert "no room" in response.json()["detail"]
    assert deployment.get("/datasets/full").status_code == 404
    assert set(small_disk.iterdir()) == before
    features = [[0, 0, 0, 0], [1, 1, 1, 1]]
    wide = {"features": features, "targets": [0, 1]}
    job = deployment.submit(dataset=wide, model="wide", training={"epochs": 1})
    assert deployment.finished(job)["status"] == "succeeded"
    rows, csv_back = b"x1,x2,x3,x4\n" + b"1,2,3,4\n" * 450_000, csv | {"Accept": "text/csv"}
    written = deployment.client.post("/predict?model=wide", content=rows, headers=csv_back)
    assert written.status_code == 507, written.text
    with (small_disk / "ballast").open("wb", buffering=0) as ballast:
        with contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4_096))
        for path in ("/metrics", "/openapi.json", "/v2/models/xor/stats", "/gates"):
            assert deployment.get(path).status_code == 200, path
        assert deployment.post("/predict", {"model": "xor", "inputs": [[0, 1]]}).is_success
    (small_disk / "ballast").unlink()
    small = b"x,y\n0,0\n1,1\n"
    stored = deployment.client.post("/datasets?name=full", content=small, headers=csv)
    assert stored.status_code == 201, stored.text


def test_full_disk(small_disk: Path, new_deployment: Start) -> None:
    """On a full disk a job is refused and none is half stored; with room again all goes on."""
    deployment = new_deployment(name="disk/data")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096 * 256)) == 4096 * 256:  # a last write falls short
            pass
    statuses = {
        deployment.post("/jobs", {"dataset": "and", "training": {"epochs": 1}}).status_code
        for _ in range(50)
    }
    assert 503 in statuses <= {202, 503}
    ballast.unlink()
    for job in deployment.get("/jobs?limit=100").json()["data"]:
        assert deployment.finished(job["id"])["status"] == "succeeded"
    assert deployment.finished(deployment.submit(dataset="and"))["status"] == "succeeded"


def test_frozen_valkey(new_deployment: Start) -> None:
    """While Valkey does not answer, jobs are accepted and predictions given; then they run."""
    deployment = new_deployment()
    valkey = deployment.valkey
    os.kill(valkey, signal.SIGSTOP)
    try:
        job_id = deployment.submit(dataset="and", training={"epochs": 10})
        readiness = deployment.get("/readyz")
        assert readiness.status_code == 503
        assert readiness.json()["checks"]["database"] == "ok"
        assert readiness.json()["checks"]["valkey"] != "ok"
        assert deployment.post("/predict", {"model": "xor", "inputs": [[0, 1]]}).is_success
    finally:
        os.kill(valkey, signal.SIGCONT)
    assert deployment.finished(job_id)["status"] == "succeeded"


def test_damaged_weights(new_deployment: Start) -> None:
    """A model whose stored bytes have changed is refused by name: it never predicts."""
    deployment = new_deployment()
    job = deployment.finished(deployment.submit(dataset="and", model="damaged"))
    assert job["status"] == "succeeded"
    with closing(sqlite3.connect(deployment.data_dir / "perceptron.db")) as database:
        at = "FROM model_versions WHERE name = 'damaged'"
        (weights,) = database.execute(f"SELECT weights {at}").fetchone()
        changed = weights[:-1] + bytes([weights[-1] ^ 1])
        database.execute("UPDATE model_versions SET weights = ? WHERE name = 'damaged'", (changed,))
        database.commit()
    for response in (
        deployment.post("/predict", {"model": "damaged", "inputs": [[1, 1]]}),
        deployment.get("/models/damaged/parameters"),
    ):
        assert response.status_code == 500
        assert response.json()["code"] == "corrupt_model"
        assert "damaged/1" in response.json()["detail"]
