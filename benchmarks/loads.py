"""What is asked of a server and how: bodies, `wrk`, and whether the answers are right."""

import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import numpy.typing as npt

SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 16
HALF_LOAD_CONNECTIONS = 64
"""Many, each with long pauses: requests then come at random, as from users who do not wait."""
FEATURES = 2
TOLERANCE = 1e-5

Floats = npt.NDArray[np.floating[Any]]
Reader = Callable[[httpx.Response], Floats]


class Load(NamedTuple):
    """One body, posted again and again."""

    name: str
    path: str
    body: bytes
    rows: Floats
    """Shape (rows, features): what the body asks about."""
    read: Reader
    """Takes the probabilities out of an answer. Raises: ValueError, LookupError, TypeError."""
    json_bytes: int = 0
    """Length of the JSON where tensors follow it; 0: all of it is JSON."""
    has_half_load: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the body."""
        if not self.json_bytes:
            return {"Content-Type": "application/json"}
        return {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(self.json_bytes),
        }


def some_rows(count: int) -> Floats:
    """Draw points of the unit square, of three decimals; the first is (0, 1)."""
    rows = np.random.default_rng(777).random((count, FEATURES)).round(3).astype(np.float32)
    rows[0] = 0, 1
    return rows


def predict_load(name: str, model: str, rows: int) -> Load:
    """Ask as `POST /predict` does."""
    asked = some_rows(rows)
    body = {"model": model, "inputs": [[round(x, 3) for x in row] for row in asked.tolist()]}
    data = json.dumps(body).encode()
    return Load(name, "/predict", data, asked, _probabilities, has_half_load=rows == 1)


def v2_load(name: str, path: str, tensor: str, output: str | None, rows: int) -> Load:
    """Ask as the Open Inference Protocol does, in JSON; without `output`, for all outputs."""
    asked = some_rows(rows)
    data = [round(x, 3) for x in asked.ravel().tolist()]
    body: dict[str, Any] = {"inputs": [{**_tensor(tensor, rows), "data": data}]}
    if output:
        body["outputs"] = [{"name": output}]
    sent = json.dumps(body).encode()
    return Load(name, path, sent, asked, _v2_reader(rows), has_half_load=rows == 1)


def binary_load(name: str, path: str, tensor: str, rows: int) -> Load:
    """Ask as the protocol's binary extension does, for binary answers."""
    asked = some_rows(rows)
    size = {"parameters": {"binary_data_size": asked.nbytes}}
    inputs = [{**_tensor(tensor, rows), **size}]
    head = json.dumps({"parameters": {"binary_data_output": True}, "inputs": inputs}).encode()
    return Load(name, path, head + asked.tobytes(), asked, _v2_reader(rows), len(head))


def _tensor(name: str, rows: int) -> dict[str, Any]:
    return {"name": name, "shape": [rows, FEATURES], "datatype": "FP32"}


def _probabilities(response: httpx.Response) -> Floats:
    return np.array(response.json()["probabilities"], float)


def _v2_reader(rows: int) -> Reader:
    """Make a reader of the one output of floats: (rows,), or (rows, classes), the second's."""

    def read(response: httpx.Response) -> Floats:
        size = int(response.headers.get("Inference-Header-Content-Length", len(response.content)))
        rest = response.content[size:]
        found = None
        for output in json.loads(response.content[:size])["outputs"]:
            values, rest = _values(output, rest)
            if output["datatype"] in ("FP32", "FP64"):
                found = values.reshape(rows, -1)[:, -1]
        if found is None:
            raise LookupError("no output of floats")
        return found

    return read


def _values(output: Mapping[str, Any], rest: bytes) -> tuple[npt.NDArray[Any], bytes]:
    """Take an output's values, from its JSON or from the bytes that follow, and what is left."""
    size = output.get("parameters", {}).get("binary_data_size")
    if size is None:
        return np.array(output["data"]), rest
    kinds = {"FP32": "<f4", "FP64": "<f8"}
    return np.frombuffer(rest[:size], kinds.get(output["datatype"], "u1")), rest[size:]


def expected(layers: list[dict[str, Any]], rows: Floats) -> Floats:
    """Compute the probabilities in float64, apart from every server."""
    values = rows.astype(float)
    for layer in layers:
        values = 1 / (1 + np.exp(-(values @ np.array(layer["weight"]).T + layer["bias"])))
    return values[:, 0]


def is_right(load: Load, response: httpx.Response, layers: list[dict[str, Any]]) -> bool:
    """Whether an answer has every row's probability."""
    try:
        found = load.read(response)
    except (ValueError, LookupError, TypeError):
        return False
    wanted = expected(layers, load.rows)
    return found.shape == wanted.shape and bool(np.allclose(found, wanted, atol=TOLERANCE, rtol=0))


def half_load_pause(rate: float) -> float:
    """Give the mean pause in ms with which all connections together ask half of this rate."""
    cycle = HALF_LOAD_CONNECTIONS / (rate / 2)
    return max(1.0, 1000 * (cycle - 2 / rate))  # two workers answer one request in about 2 / rate


def run_wrk(
    url: str, load: Load, seconds: int, *, pause: float = 0, connections: int = CONNECTIONS
) -> dict[str, float]:
    """Load a server; requests per second and the times of answers. Raises: SystemExit."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(load.body)
        body.flush()
        command = ("wrk", "--threads", "1", "--connections", f"{connections}")
        limits = ("--duration", f"{seconds}s", "--timeout", "10s", "--script", str(SCRIPT))
        kind = load.headers["Content-Type"]
        arguments = (body.name, kind, str(load.json_bytes), f"{pause:.3f}")
        run = subprocess.run(
            (*command, *limits, url + load.path, "--", *arguments),
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise SystemExit(f"wrk: {run.stdout}{run.stderr}")
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    if not math.isfinite(found["p99_ms"]) or not found["requests"]:
        raise SystemExit(f"wrk had no answer within {seconds} s: {run.stdout}")
    return {**found, "rate": found["requests"] / found["seconds"]}
