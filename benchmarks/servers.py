"""The servers that are compared: how each is installed, started, looked at and ended."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
from loads import Load, binary_load, expected, is_right, predict_load, some_rows, v2_load

from cli.demo import start_perceptron

PEERS = Path(__file__).with_name("peers")
MODEL = "serving-xor"
START_SECONDS = 120
STOP_SECONDS = 10
SERVING_SHARE = 0.05
"""A process that took this share of the CPU time under load is one that serves."""

TORCH = ("torch==2.13.0", "safetensors==0.8.0", "numpy==2.4.6")
UVICORN = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
PINS: Mapping[str, Sequence[str]] = {
    "fastapi": ("fastapi==0.165.0", *UVICORN, *TORCH),
    "litserve": ("litserve==0.2.19", *UVICORN, *TORCH),
    # MLServer's workers want an event loop that uvloop makes for them up to 0.21 only
    "mlserver": ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop==0.21.0"),
    "bentoml": ("bentoml==1.4.40", *TORCH),
}

Process = subprocess.Popen[Any]


class NotAvailable(Exception):
    """What cannot be measured here, and why."""


class Work(NamedTuple):
    """What every server needs: where it may write, and the network."""

    directory: Path
    venvs: Path
    layers: list[dict[str, Any]]
    tensor: str
    """Name of our model's one input in the Open Inference Protocol."""

    @property
    def weights(self) -> Path:
        """The network in safetensors form."""
        return self.directory / "network.safetensors"

    @property
    def data(self) -> Path:
        """Our own data directory, with the network published in it."""
        return self.directory / "data"


class Server(NamedTuple):
    """One contestant."""

    name: str
    start: Callable[[int, Any], Process]
    """Starts it on a port, writing to a log."""
    loads: Sequence[Load]
    """The first one decides when it is ready."""


def ours(work: Work) -> Server:
    """Take the server as users start it, on a data directory that has the model."""

    def start(port: int, log: Any) -> Process:
        where = ("--port", str(port), "--data-dir", str(work.data), "--api-workers", "2")
        return start_perceptron("up", *where, stdout=log, stderr=log)

    infer = f"/v2/models/{MODEL}/infer"
    return Server(
        "ours",
        start,
        (
            *_predict_loads(),
            v2_load("1 row, v2", infer, work.tensor, None, 1),
            v2_load("1,000 rows, v2", infer, work.tensor, None, 1_000),
            binary_load("1,000 rows, v2 binary", infer, work.tensor, 1_000),
            binary_load("100,000 rows, v2 binary", infer, work.tensor, 100_000),
        ),
    )


def bare_wsgi(work: Work) -> Server:
    """Take the limit of our own stack: an answer that is always the same."""
    probability = float(expected(work.layers, some_rows(1))[0])
    settings = {
        "PERCEPTRON_API_WORKERS": "2",
        "PERCEPTRON_DATA_DIR": str(work.data),
        "ANSWER": json.dumps({"predictions": [1], "probabilities": [probability]}),
    }

    def start(port: int, log: Any) -> Process:
        command = (sys.executable, str(PEERS / "bare_wsgi.py"))
        return _popen(work, command, log, **settings, PERCEPTRON_PORT=str(port))

    return Server("bare WSGI", start, _predict_loads()[:1])


def fastapi(work: Work) -> Server:
    """Take FastAPI under uvicorn, with uvloop and httptools."""
    binaries = install("fastapi", work)

    def start(port: int, log: Any) -> Process:
        command = (str(binaries / "uvicorn"), "fastapi_app:app", "--workers", "2")
        quiet = ("--no-access-log", "--log-level", "warning")
        return _popen(work, (*command, *quiet, "--port", str(port)), log)

    return Server("fastapi", start, _predict_loads())


def litserve(work: Work) -> Server:
    """Take LitServe with two workers, and with as many API servers, as is its default."""
    python = str(install("litserve", work) / "python")

    def start(port: int, log: Any) -> Process:
        return _popen(work, (python, str(PEERS / "litserve_app.py"), str(port)), log)

    return Server("litserve", start, _predict_loads())


def bentoml(work: Work) -> Server:
    """Take BentoML with two workers."""
    binaries = install("bentoml", work)
    home = {"BENTOML_HOME": str(work.directory / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}

    def start(port: int, log: Any) -> Process:
        command = (str(binaries / "bentoml"), "serve", "bentoml_app:Xor")
        where = ("--working-dir", str(PEERS), "--host", "127.0.0.1", "--port", str(port))
        return _popen(work, (*command, *where), log, **home)

    return Server("bentoml", start, _predict_loads())


def mlserver(work: Work) -> Server:
    """Take MLServer with its scikit-learn runtime and two workers for inference."""
    binaries = install("mlserver", work)
    directory = work.directory / "mlserver"
    directory.mkdir(exist_ok=True)
    layers = directory / "layers.json"
    layers.write_text(json.dumps(work.layers))
    making = (str(binaries / "python"), str(PEERS / "mlserver_model.py"))
    _succeed((*making, str(layers), str(directory)))

    def start(port: int, log: Any) -> Process:
        settings = {
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(port),
            "MLSERVER_GRPC_PORT": str(free_port()),
            "MLSERVER_METRICS_PORT": str(free_port()),
            "MLSERVER_PARALLEL_WORKERS": "2",
            "MLSERVER_DEBUG": "false",
        }
        command = (str(binaries / "mlserver"), "start", str(directory))
        return _popen(work, command, log, **settings)

    path, output = "/v2/models/xor/infer", "predict_proba"
    loads = (
        v2_load("1 row, v2", path, "inputs", output, 1),
        v2_load("1,000 rows, v2", path, "inputs", output, 1_000),
    )
    return Server("mlserver", start, loads)


SERVERS: Mapping[str, Callable[[Work], Server]] = {
    "ours": ours,
    "bare": bare_wsgi,
    "fastapi": fastapi,
    "litserve": litserve,
    "bentoml": bentoml,
    "mlserver": mlserver,
}


def _predict_loads() -> tuple[Load, ...]:
    return predict_load("1 row", MODEL, 1), predict_load("1,000 rows", MODEL, 1_000)


def install(peer: str, work: Work) -> Path:
    """Make a peer's virtual environment, or find it made; its programs. Raises: NotAvailable."""
    directory = work.venvs / peer
    made = directory / "pins.json"
    pins = json.dumps(PINS[peer])
    if not made.exists() or made.read_text() != pins:
        venv.create(directory, clear=True, with_pip=True)
        _succeed((str(directory / "bin" / "pip"), "install", "--quiet", *PINS[peer]))
        made.write_text(pins)
    return directory / "bin"


def _succeed(command: Sequence[str]) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise NotAvailable(f"{' '.join(command[:2])}: {run.stderr[-500:]}")


def _popen(work: Work, command: Sequence[str], log: Any, **settings: str) -> Process:
    """Start a program in the work's directory, with the network's weights and these settings."""
    inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith("PERCEPTRON_")}
    paths = {"PYTHONPATH": str(PEERS), "WEIGHTS": str(work.weights)}
    environment = {**inherited, **paths, **settings}
    return subprocess.Popen(command, env=environment, cwd=work.directory, stdout=log, stderr=log)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(server: Server, work: Work) -> Iterator[tuple[str, float, Process]]:
    """Start a server; yields its URL, the seconds to its first right answer, and its process."""
    path = work.directory / f"{server.name}.log"
    port = free_port()
    with path.open("a") as log:
        began = time.perf_counter()
        process = server.start(port, log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_answer(url, server.loads[0], work, process, path)
        yield url, time.perf_counter() - began, process
    finally:
        stop(process)


def wait_for_answer(url: str, load: Load, work: Work, process: Process, log: Path) -> None:
    """Ask until the answer is right. Raises: NotAvailable when none comes, SystemExit if wrong."""
    give_up_at = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
        while time.monotonic() < give_up_at and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                response = client.post(load.path, content=load.body, headers=load.headers)
                if response.is_success and not is_right(load, response, work.layers):
                    raise SystemExit(f"{url}{load.path} answers wrongly: {response.text[:500]}")
                if response.is_success:
                    return
            time.sleep(0.005)
    raise NotAvailable(f"did not start: {log.read_text()[-500:]}")


def stop(process: Process) -> None:
    """End a server with all its processes; some leave theirs behind, or never end."""
    tree = descendants(process)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for child in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


def descendants(process: Process) -> list[psutil.Process]:
    """Find a process and all that it started."""
    try:
        first = psutil.Process(process.pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class Memory(NamedTuple):
    """Memory of one process that serves, in MB."""

    rss: float
    private: float

    @property
    def shared(self) -> float:
        """What it has in common with others, libraries and what was loaded before a fork."""
        return self.rss - self.private


class Watch:
    """CPU time and memory of a server's processes, from when it is made."""

    def __init__(self, process: Process) -> None:
        self._processes = descendants(process)
        self._before = [_cpu_seconds(one) for one in self._processes]

    def serving(self) -> list[Memory]:
        """Say the memory of the processes that have served since, the largest first."""
        pairs = zip(self._processes, self._before, strict=True)
        taken = [_cpu_seconds(one) - before for one, before in pairs]
        least = SERVING_SHARE * sum(taken)
        found = []
        for one, seconds in zip(self._processes, taken, strict=True):
            if seconds > least:
                memory = one.memory_full_info()
                found.append(Memory(memory.rss / 1e6, memory.uss / 1e6))
        return sorted(found, reverse=True)


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
