"""What can be seen of a deployment: metrics, identifiers of requests, traces, log lines."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from schemas.settings import Settings
from service.app import create_app
from service.counting import DIRECTORY
from storage.migrations import migrate
from tests.acceptance.wire import address_of, exchange
from tests.deployment import Deployment, eventually

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
QUICK: dict[str, Any] = {"dataset": "and", "training": {"epochs": 5}}


def samples(deployment: Deployment) -> dict[tuple[str, ...], float]:
    """Scrape, as {(name, label's value, …): value}."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parsed(deployment.get("/metrics").text)
        for sample in family.samples
    }


def log_lines(deployment: Deployment, event: str) -> list[dict[str, Any]]:
    """Read the log lines of an event."""
    log = deployment.data_dir.parent / f"{deployment.data_dir.name}.log"
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["event"] == event]


def request_lines(deployment: Deployment, path: str) -> list[dict[str, Any]]:
    """Read the log lines of requests for a path."""
    return [line for line in log_lines(deployment, "request") if line["path"] == path]


def ask_anew(deployment: Deployment, method: str, path: str) -> int:
    """Ask on a connection of its own, which any process may take."""
    with httpx.Client(base_url=deployment.url, trust_env=False) as client:
        return client.request(method, path).status_code


def test_counts_of_all_processes_add_up(
    new_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    """Whatever process answers a request, scrapes soon tell the exact number of all of them."""
    counted = tmp_path / "counted"
    deployment = new_deployment("--workers", "0", **{DIRECTORY: str(counted)})
    sent = 0

    def both_have_answered() -> bool:
        nonlocal sent
        sent += 1
        assert ask_anew(deployment, "GET", f"/jobs/unknown-{sent}") == 404
        return len(files_with("/jobs/<job_id>", counted)) == 2

    eventually(both_have_answered)
    for method, path in (("GET", "/gates"), ("GET", "/gates/and"), ("BREW", "/gates")):
        for _ in range(3):
            ask_anew(deployment, method, path)
    requests = "perceptron_http_requests_total"
    duration = "perceptron_http_request_duration_seconds"
    expected = {
        (requests, "GET", "/jobs/<job_id>", "404"): sent,
        (requests, "GET", "/gates", "200"): 3,
        (requests, "GET", "/gates/<name>", "200"): 3,
        (requests, "other", "unmatched", "405"): 3,
    }
    eventually(lambda: expected.items() <= samples(deployment).items())
    found = samples(deployment)
    assert found[f"{duration}_count", "/jobs/<job_id>"] == sent
    assert found[f"{duration}_bucket", "+Inf", "/jobs/<job_id>"] == sent
    assert 0 < found[f"{duration}_sum", "/jobs/<job_id>"] < 60


def test_a_process_that_ends_tells_what_it_counted(
    new_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    """A request just before the end counts, although counts are summed up before they are told."""
    counted = tmp_path / "counted"
    deployment = new_deployment("--workers", "0", **{DIRECTORY: str(counted)})
    for _ in range(7):
        ask_anew(deployment, "GET", "/gates/nor")
    deployment.stop()
    values = [
        value
        for path in files_with("/gates/<name>", counted)
        for key, value, *_ in MmapedDict.read_all_values_from_file(path)
        if '"/gates/<name>"' in key
    ]
    assert sum(values) == 7


def files_with(route: str, directory: Path) -> list[Path]:
    """Find the processes' files that count a route."""
    return [
        path
        for path in directory.glob("counter_*.db")
        if any(f'"{route}"' in key for key, *_ in MmapedDict.read_all_values_from_file(path))
    ]


def test_paths_without_a_route_are_one_series(new_deployment: Callable[..., Deployment]) -> None:
    """However many paths, methods, names and jobs clients make up, the series stay few."""
    deployment = new_deployment("--workers", "0")
    for number in range(20):
        deployment.get(f"/nonsense/{number}")
        deployment.get(f"/models/m{number}/versions")
        deployment.client.request(f"METHOD{number}", f"/nonsense/{number}")
    text = deployment.get("/metrics").text
    assert "nonsense" not in text
    assert "METHOD" not in text
    assert "m19" not in text
    requests = "perceptron_http_requests_total"
    expected = {(requests, method, "unmatched", "404"): 20 for method in ("GET", "other")}
    eventually(lambda: expected.items() <= samples(deployment).items())


def test_requests_that_cannot_be_read_are_counted(
    new_deployment: Callable[..., Deployment],
) -> None:
    """What is refused before it is a request is one series for each status."""
    deployment = new_deployment("--workers", "0")
    line = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    two_hosts = line + b"Host: other.example\r\n\r\n"
    large_head = line + b"X: " + b"x" * 65_536 + b"\r\n\r\n"
    no_method = b"G{T /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sent = [*[two_hosts] * 5, *[no_method] * 3, large_head]
    statuses = [exchange(address_of(deployment), request)[0].status for request in sent]
    assert statuses == [*[400] * 8, 431]
    requests = ("perceptron_http_requests_total", "other", "unread")
    expected = {(*requests, "400"): 8, (*requests, "431"): 1}
    eventually(lambda: expected.items() <= samples(deployment).items())


def test_a_queue_without_workers(new_deployment: Callable[..., Deployment]) -> None:
    """What waits is counted by queue, and the age of what comes next grows until it is gone."""
    deployment = new_deployment("--workers", "0")
    first = deployment.submit(**QUICK)
    deployment.submit(**QUICK)
    deployment.submit(dataset="xor", training={"device": "cuda"})
    found = samples(deployment)
    assert found["perceptron_queue_jobs", "train"] == 2
    assert found["perceptron_queue_jobs", "gpu"] == 1
    assert found["perceptron_jobs", "queued"] == 3
    assert found["perceptron_workers", "train"] == 0
    name = "perceptron_queue_oldest_job_age_seconds"
    age = found[name, "train"]
    eventually(lambda: samples(deployment)[name, "train"] > age + 1)
    found = samples(deployment)
    assert found[name, "train"] >= found[name, "gpu"]
    deployment.client.post(f"/jobs/{first}/cancel")
    eventually(lambda: samples(deployment)["perceptron_queue_jobs", "train"] == 1)
    cancelled = ("perceptron_jobs_finished_total", "train", "cancelled")
    eventually(lambda: samples(deployment)[cancelled] == 1)


def test_workers_and_finished_jobs(new_deployment: Callable[..., Deployment]) -> None:
    """Workers that live are counted, and jobs that ended, also when they are deleted."""
    deployment = new_deployment("--workers", "2")
    eventually(lambda: samples(deployment)["perceptron_workers", "train"] == 2)
    job = deployment.finished(deployment.submit(**QUICK))
    deployment.client.delete(f"/jobs/{job['id']}")
    finished = ("perceptron_jobs_finished_total", "train", "succeeded")
    eventually(lambda: samples(deployment)[finished] == 1)
    found = samples(deployment)
    assert found["perceptron_jobs", "succeeded"] == 0
    assert found["perceptron_job_duration_seconds_count", "train"] == 1
    assert 0 < found["perceptron_job_duration_seconds_sum", "train"] < 60
    assert found["perceptron_up", "database"] == found["perceptron_up", "valkey"] == 1


def test_scrape_while_everything_is_away(tmp_path: Path) -> None:
    """Without database and Valkey a scrape tells what the process knows, and what is away."""
    nowhere = {
        "data_dir": tmp_path,
        "database_url": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        "valkey_url": "redis://127.0.0.1:1/0",
    }
    response = create_app(Settings.model_validate(nowhere)).test_client().get("/metrics")
    assert response.status_code == 200
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parsed(response.text)
        for sample in family.samples
    }
    assert found["perceptron_up", "database"] == found["perceptron_up", "valkey"] == 0
    assert found["perceptron_predicted_rows_total",] == 0
    assert not [name for name, *_ in found if name.startswith(("perceptron_jobs", "perceptron_q"))]


def test_open_metrics(deployment: Deployment) -> None:
    """A scraper that asks for OpenMetrics gets it, as the standard's parser reads it."""
    accept = "application/openmetrics-text; version=1.0.0"
    response = deployment.get("/metrics", Accept=accept)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")

    def families() -> set[str]:
        text = deployment.get("/metrics", Accept=accept).text
        return {family.name for family in open_metrics(text)}

    eventually(lambda: "perceptron_http_requests" in families())
    assert deployment.get("/metrics").headers["Content-Type"].startswith("text/plain")


def test_promtool_finds_nothing(deployment: Deployment) -> None:
    """Prometheus' own tool finds nothing to improve in the metrics."""
    deployment.get("/gates")
    check = ("check", "metrics")
    text = deployment.get("/metrics").text
    run = checked(*check, text=text)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def promtool() -> str:
    """Find Prometheus' tool; a machine without it skips the test, but CI does not."""
    found = shutil.which("promtool")
    if found is None and not os.environ.get("CI"):
        pytest.skip("promtool is not installed")
    assert found is not None, "promtool is not installed"
    return found


def checked(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run Prometheus' tool."""
    command = [promtool(), *arguments]
    return subprocess.run(command, check=False, input=text, capture_output=True, text=True)


def test_rules_of_the_how_to(tmp_path: Path) -> None:
    """The alerts that the how-to gives are rules that Prometheus takes."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "observe.md").read_text("utf-8")
    blocks = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    rules = [block for block in blocks if block.startswith("groups:")]
    assert len(rules) == 1
    (tmp_path / "rules.yml").write_text(rules[0])
    check = ("check", "rules", str(tmp_path / "rules.yml"))
    run = checked(*check)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "SUCCESS" in run.stdout


@pytest.mark.parametrize("given", ["my-request", None])
def test_one_identifier_everywhere(
    new_deployment: Callable[..., Deployment], given: str | None
) -> None:
    """The header, the problem and the log line of a request name it alike."""
    deployment = new_deployment("--workers", "0", PERCEPTRON_LOG_REQUESTS="true")
    own = {"X_Request_Id": given} if given else {}
    response = deployment.get("/jobs/unknown", traceparent=TRACEPARENT, **own)
    expected = given or TRACE_ID
    assert response.headers["X-Request-Id"] == response.json()["request_id"] == expected
    [line] = eventually(lambda: request_lines(deployment, "/jobs/unknown"))
    assert (line["request_id"], line["trace_id"]) == (expected, TRACE_ID)
    told = ("method", "route", "path", "status", "bytes")
    assert [line[name] for name in told] == [
        "GET", "/jobs/<job_id>", "/jobs/unknown", 404, len(response.content)
    ]  # fmt: skip
    protocol = deployment.get("/v2/models/unknown")
    assert set(protocol.json()) == {"error"}
    assert len(protocol.headers["X-Request-Id"]) == 32


def test_requests_on_one_connection_are_told_apart(
    new_deployment: Callable[..., Deployment],
) -> None:
    """Each request of a connection that is kept has an identifier of its own in its log line."""
    deployment = new_deployment("--workers", "0", PERCEPTRON_LOG_REQUESTS="true")
    sent = [deployment.get("/gates").headers["X-Request-Id"] for _ in range(5)]
    assert len(set(sent)) == 5
    lines = eventually(lambda: (found := request_lines(deployment, "/gates"))[4:] and found)
    assert [line["request_id"] for line in lines] == sent
    assert [line["trace_id"] for line in lines] == sent


@pytest.mark.parametrize(
    "wrong",
    [
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        "nonsense",
    ],
)
def test_a_wrong_traceparent_is_replaced(deployment: Deployment, wrong: str) -> None:
    """What is no `traceparent` by W3C begins a new trace."""
    found = deployment.get("/livez", traceparent=wrong).headers["X-Request-Id"]
    assert len(found) == 32
    assert found != TRACE_ID
    assert int(found, 16) > 0


def test_a_later_traceparent_is_read(deployment: Deployment) -> None:
    """A later version of the header, which may say more, is read as far as it is known."""
    later = f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like"
    assert deployment.get("/livez", traceparent=later).headers["X-Request-Id"] == TRACE_ID


@pytest.mark.parametrize("wrong", ["two words", "x" * 129, "é".encode("latin-1").decode("latin-1")])
def test_a_wrong_request_id_is_replaced(deployment: Deployment, wrong: str) -> None:
    """An identifier that is too long, or more than visible ASCII, comes back in no header."""
    headers = [(b"X-Request-Id", wrong.encode("latin-1"))]
    response = deployment.client.get("/livez", headers=headers)
    assert len(response.headers["X-Request-Id"]) == 32


def test_the_request_goes_on_in_the_worker(new_deployment: Callable[..., Deployment]) -> None:
    """The worker's log lines name the job, and the trace and identifier of what made it."""
    deployment = new_deployment("--workers", "1")
    named = {"traceparent": TRACEPARENT, "X_Request_Id": "order-4711"}
    job = deployment.post("/jobs", QUICK, **named).json()
    assert job["request_id"] == "order-4711"
    assert deployment.finished(job["id"])["request_id"] == "order-4711"
    [line] = eventually(lambda: log_lines(deployment, "attempt ended"))
    assert (line["job_id"], line["trace_id"]) == (job["id"], TRACE_ID)
    assert line["request_id"] == "order-4711"
    assert (line["kind"], line["attempt"], line["outcome"]) == ("train", 1, "done")


def test_shards_are_of_their_sweeps_trace(new_deployment: Callable[..., Deployment]) -> None:
    """Every attempt at a sweep and at its shards names the sweep's trace and request."""
    deployment = new_deployment("--workers", "1")
    sweep = {**QUICK, "kind": "sweep", "search": {"space": {"seed": [1, 2]}}}
    named = {"traceparent": TRACEPARENT, "X_Request_Id": "order-4711"}
    job = deployment.post("/jobs", sweep, **named).json()
    assert deployment.finished(job["id"])["status"] == "succeeded"
    lines = eventually(lambda: (found := log_lines(deployment, "attempt ended"))[2:] and found)
    assert {line["kind"] for line in lines} == {"sweep", "shard"}
    assert {line["trace_id"] for line in lines} == {TRACE_ID}
    assert {line["request_id"] for line in lines} == {"order-4711"}


class Receiver(BaseHTTPRequestHandler):
    """Takes spans over HTTP, as an OpenTelemetry collector does."""

    def do_POST(self) -> None:
        """Keep the spans of one export."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            raise NotImplementedError
        exported = ExportTraceServiceRequest.FromString(body)
        for resource in exported.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    """An OTLP receiver."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.spans = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_spans_of_one_trace(
    new_deployment: Callable[..., Deployment], receiver: ThreadingHTTPServer
) -> None:
    """A client's trace goes on in the request's span, and from there in the job's."""
    deployment = new_deployment(
        "--workers",
        "1",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.server_port}",
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    response = deployment.post("/jobs", QUICK, traceparent=TRACEPARENT)
    deployment.finished(response.json()["id"])
    trace = bytes.fromhex(TRACE_ID)

    def both() -> dict[str, Any] | None:
        found = {span.name: span for span in receiver.spans if span.trace_id == trace}  # type: ignore[attr-defined]
        return found if len(found) == 2 else None

    found = eventually(both)
    request, job = found["POST /jobs"], found["job train"]
    assert request.parent_span_id.hex() == SPAN_ID
    assert job.parent_span_id == request.span_id
    assert (request.kind, job.kind) == (request.SPAN_KIND_SERVER, request.SPAN_KIND_CONSUMER)
    assert told_by(request) == {
        "http.request.method": "POST",
        "http.route": "/jobs",
        "http.response.status_code": 202,
        "url.path": "/jobs",
    }
    assert request.start_time_unix_nano < job.end_time_unix_nano < time.time_ns()


@pytest.mark.parametrize("victim", ["work-horse", "worker"])
def test_a_killed_attempt_has_a_span(
    new_deployment: Callable[..., Deployment], receiver: ThreadingHTTPServer, victim: str
) -> None:
    """An attempt that is killed is one failed span of its job's trace, and in the log as such."""
    deployment = new_deployment(
        *("--workers", "1"),
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.server_port}",
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    long = {"dataset": "xor", "training": {"engine": "torch", "epochs": 100_000}}
    named = {"traceparent": TRACEPARENT, "X_Request_Id": "order-4711"}
    job = deployment.post("/jobs", long, **named).json()
    deployment.running(job["id"], after_epoch=10)
    horse = deployment.horse
    assert horse is not None
    os.kill(horse if victim == "work-horse" else deployment.worker, signal.SIGKILL)
    deployment.running(job["id"], after_epoch=10)
    eventually(lambda: deployment.job(job["id"])["attempt"] == 2)
    deployment.client.post(f"/jobs/{job['id']}/cancel")
    trace = bytes.fromhex(TRACE_ID)

    def spans() -> list[Any] | None:
        of_trace = [span for span in receiver.spans if span.trace_id == trace]  # type: ignore[attr-defined]
        found = [span for span in of_trace if span.name in ("POST /jobs", "job train")]
        return found if len(found) >= 3 else None

    request, *attempts = sorted(eventually(spans), key=lambda span: span.start_time_unix_nano)
    assert (request.name, len(attempts)) == ("POST /jobs", 2)
    lost, ended = attempts
    assert [told_by(span)["job.attempt"] for span in attempts] == [1, 2]
    assert told_by(lost) == {
        "job.kind": "train", "job.id": job["id"], "job.attempt": 1, "job.outcome": "lost"
    }  # fmt: skip
    assert (lost.kind, lost.parent_span_id) == (lost.SPAN_KIND_CONSUMER, request.span_id)
    assert (lost.status.code, ended.status.code) == (lost.status.STATUS_CODE_ERROR, 0)
    assert request.start_time_unix_nano < lost.start_time_unix_nano < lost.end_time_unix_nano
    assert lost.end_time_unix_nano < ended.end_time_unix_nano
    (line,) = log_lines(deployment, "worker lost")
    names = ("job_id", "trace_id", "request_id", "kind", "attempt")
    assert [line[name] for name in names] == [job["id"], TRACE_ID, "order-4711", "train", 1]


def test_an_attempt_that_is_ended_under_its_work_has_a_span(
    new_deployment: Callable[..., Deployment], receiver: ThreadingHTTPServer
) -> None:
    """One epoch that lasts far longer than a cancelled job may: its end is told all the same."""
    deployment = new_deployment(
        *("--workers", "1"),
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.server_port}",
        PERCEPTRON_LEASE_SECONDS="6",
        PERCEPTRON_MAX_PARAMETERS="10000000",
    )
    table = {"name": "many", "sample": {"kind": "moons", "rows": 16_000}}
    deployment.post("/datasets", table).raise_for_status()
    slow = {
        "dataset": "many",
        "network": {"hidden_layers": [3000, 3000]},
        "training": {"engine": "fused", "epochs": 100},
    }
    job = deployment.post("/jobs", slow, traceparent=TRACEPARENT).json()
    eventually(lambda: deployment.job(job["id"])["status"] == "running")
    deployment.client.post(f"/jobs/{job['id']}/cancel")

    def ended() -> Any:
        return next((span for span in receiver.spans if span.name == "job train"), None)  # type: ignore[attr-defined]

    span = eventually(ended)
    assert span.trace_id.hex() == TRACE_ID
    assert told_by(span) == {
        "job.kind": "train", "job.id": job["id"], "job.attempt": 1, "job.outcome": "cancel"
    }  # fmt: skip
    assert span.status.code != span.status.STATUS_CODE_ERROR
    assert deployment.finished(job["id"])["status"] == "cancelled"
    assert [event["type"] for event in deployment.events(job["id"])] == [
        *("queued", "started", "cancelling", "cancelled")
    ], "it ended by itself"
    (line,) = log_lines(deployment, "attempt ended")
    assert (line["job_id"], line["outcome"]) == (job["id"], "cancel")


def told_by(span: Any) -> dict[str, str | int]:
    """Read a span's attributes."""
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def test_an_exporter_that_reaches_nobody_stops_nothing(
    new_deployment: Callable[..., Deployment],
) -> None:
    """Where nobody takes the spans, requests are answered and jobs are done all the same."""
    nobody = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    deployment = new_deployment("--workers", "1", **nobody)
    for _ in range(3):
        assert deployment.finished(deployment.submit(**QUICK))["status"] == "succeeded"


def test_without_an_endpoint_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    """OpenTelemetry is imported only where spans go somewhere."""
    migrate(Settings(data_dir=tmp_path).database_location)
    program = (
        "import sys; from service.app import create_app; from workers import tasks; create_app();"
        "tasks.prepared(); print('storage.telemetry' in sys.modules, 'requests' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"PERCEPTRON_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["False", "False"]
