"""The conventions of the HTTP surface: acceptance, idempotency, waiting, pages, events, aliases."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from flask.testing import FlaskClient

from schemas.errors import NotFound, PerceptronError, Unavailable
from schemas.settings import Settings
from service.app import create_app
from storage import Storage
from storage.migrations import migrate
from tests.deployment import Deployment, event_stream, eventually

QUICK: dict[str, Any] = {"dataset": "and", "training": {"epochs": 20}}
LONG: dict[str, Any] = {
    "dataset": "xor",
    "network": {"hidden_layers": [2]},
    "training": {"epochs": 1_000_000, "engine": "torch"},
}


def test_acceptance(deployment: Deployment) -> None:
    """A job is accepted with 202, where to find it, when to ask again, and its whole body."""
    response = deployment.post("/jobs", QUICK)
    job = response.json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/jobs/{job['id']}"
    assert response.headers["Retry-After"] == "1"
    assert job["status"] in ("queued", "running")
    assert job["links"]["self"] == f"/jobs/{job['id']}"
    assert job["training"]["seed"] == 777
    for link in ("self", "events"):
        assert deployment.get(job["links"][link]).status_code == 200


def test_idempotency(deployment: Deployment) -> None:
    """The same key gives the same job; another body with it is refused."""
    first = deployment.post("/jobs", QUICK, Idempotency_Key='"once"')
    again = deployment.post("/jobs", QUICK, Idempotency_Key="once")
    assert first.json()["id"] == again.json()["id"]
    other = deployment.post("/jobs", {"dataset": "or"}, Idempotency_Key="once")
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_mismatch"


def test_idempotency_race(deployment: Deployment) -> None:
    """Fifty posts with one key at the same moment make one job."""
    barrier = threading.Barrier(50)

    def post(_: int) -> str:
        with httpx.Client(base_url=deployment.url, timeout=60, trust_env=False) as client:
            barrier.wait()
            response = client.post("/jobs", json=QUICK, headers={"Idempotency-Key": "race"})
        assert response.status_code in (200, 202), response.text
        return str(response.json()["id"])

    with ThreadPoolExecutor(50) as pool:
        assert len(set(pool.map(post, range(50)))) == 1


def test_prefer_wait(deployment: Deployment) -> None:
    """`Prefer: wait=N` answers 200 with the ended job."""
    response = deployment.post("/jobs", QUICK, Prefer="respond-async, wait=60")
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=60"
    assert response.json()["status"] == "succeeded"


def test_prefer_wait_runs_out(deployment: Deployment) -> None:
    """A wait that runs out answers 202 with the job as it stands."""
    response = deployment.post("/jobs", LONG, Prefer="wait=1")
    assert response.status_code == 202
    job = response.json()
    assert job["status"] in ("queued", "running")
    deployment.post(f"/jobs/{job['id']}/cancel")
    assert deployment.finished(job["id"])["status"] == "cancelled"


def test_cancel_after_the_end(deployment: Deployment) -> None:
    """A job that succeeded cannot be cancelled any more: 409."""
    job = deployment.finished(deployment.submit(**QUICK))
    response = deployment.post(f"/jobs/{job['id']}/cancel")
    assert response.status_code == 409
    assert response.json()["code"] == "already_final"


def test_pages(deployment: Deployment) -> None:
    """Pages follow each other by the last id, newest first, without gap or repetition."""
    made = [deployment.submit(**QUICK) for _ in range(6)]
    seen: list[str] = []
    after = ""
    while len(seen) < 6:
        page = deployment.get(f"/jobs?limit=2{after}").json()
        assert (page["object"], len(page["data"])) == ("list", 2)
        assert page["data"][-1]["id"] == page["last_id"]
        assert "history" not in page["data"][0]
        seen += [job["id"] for job in page["data"]]
        after = f"&after={page['last_id']}"
    assert seen == made[::-1]


@pytest.mark.parametrize("path", ["/gates", "/datasets", "/models/pages/versions"])
def test_links_to_the_next_page(deployment: Deployment, path: str) -> None:
    """`Link: rel="next"` leads through a whole list, the query kept; the last page has none."""
    for _ in range(2 if path.startswith("/models/pages") else 0):
        deployment.finished(deployment.submit(dataset="and", model="pages", training={"epochs": 1}))
    everything = deployment.get(f"{path}?limit=100")
    assert everything.json()["object"] == "list"
    assert "Link" not in everything.headers
    seen, following = [], f"{path}?limit=1"
    while following:
        page = deployment.get(following)
        seen += page.json()["data"]
        assert len(page.json()["data"]) == 1
        following = page.links.get("next", {}).get("url", "")
    assert seen == everything.json()["data"]
    assert len(seen) > 1


def test_event_list(deployment: Deployment) -> None:
    """A job's events count up from 1, tell its story, and hold its curves."""
    job = deployment.finished(deployment.submit(**QUICK))
    events = deployment.events(job["id"])
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    assert types[:2] == ["queued", "started"]
    assert types[-1] == "succeeded"
    records = [r for e in events if e["type"] == "epochs" for r in e["data"]["records"]]
    assert [r["epoch"] for r in records] == [r["epoch"] for r in job["history"]]


def test_event_stream(deployment: Deployment) -> None:
    """A stream tells everything from the first event to `done`, and resumes after Last-Event-ID."""
    body = {"dataset": "xor", "training": {"epochs": 4_000, "record_every": 10}}
    job_id = deployment.submit(**body)
    headers = {"Accept": "text/event-stream"}
    with deployment.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        told = list(event_stream(response))
    assert [int(id_) for id_, *_ in told if id_] == list(range(1, len(told)))
    assert [event for _, event, _ in told][-2:] == ["succeeded", "done"]
    records = [r for _, event, data in told if event == "epochs" for r in data["data"]["records"]]
    assert [r["epoch"] for r in records] == [*range(0, 4_000, 10), 3_999]
    headers["Last-Event-ID"] = "2"
    with deployment.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
        resumed = list(event_stream(response))
    assert resumed == told[2:]
    for last, rest in ((len(told) - 1, told[-1:]), (len(told), told)):  # all, after none that is
        headers["Last-Event-ID"] = str(last)
        with deployment.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
            assert list(event_stream(response)) == rest


def test_event_stream_is_live(deployment: Deployment) -> None:
    """A stream tells of epochs while the training still runs, and of its cancellation."""
    job_id = deployment.submit(**LONG)
    headers = {"Accept": "text/event-stream"}
    with deployment.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
        stream = event_stream(response)
        assert any(event == "epochs" for _, event, _ in stream)
        assert deployment.job(job_id)["status"] == "running"
        deployment.post(f"/jobs/{job_id}/cancel")
        rest = [event for _, event, _ in stream]
    assert rest[-2:] == ["cancelled", "done"]


def test_versions_and_aliases(deployment: Deployment) -> None:
    """Each training under a name is its next version; an alias moves only with its ETag."""
    for dataset in ("and", "or"):
        deployment.finished(
            deployment.submit(dataset=dataset, model="steps", training={"epochs": 300})
        )
    assert deployment.get("/models/steps").json()["versions"] == [1, 2]
    alias = "/models/steps/aliases/champion"
    made = deployment.client.put(alias, json={"version": 1})
    assert made.status_code == 201
    etag = made.headers["ETag"]
    body = {"model": "steps", "version": "champion", "inputs": [[0, 1]]}
    assert deployment.post("/predict", body).json()["version"] == 1
    assert deployment.client.put(alias, json={"version": 2}).status_code == 428
    stale = deployment.client.put(alias, json={"version": 2}, headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    moved = deployment.client.put(alias, json={"version": 2}, headers={"If-Match": etag})
    assert moved.status_code == 200
    assert moved.headers["ETag"] != etag
    assert deployment.post("/predict", body).json()["version"] == 2
    missing = deployment.client.put(
        alias, json={"version": 9}, headers={"If-Match": moved.headers["ETag"]}
    )
    assert missing.json()["errors"][0]["pointer"] == "#/version"


def test_conditions(deployment: Deployment) -> None:
    """If-Match may list ETags or be `*`; a weak one never matches."""
    deployment.finished(deployment.submit(dataset="and", model="held", training={"epochs": 5}))
    alias = "/models/held/aliases/champion"
    etag = deployment.client.put(alias, json={"version": 1}).headers["ETag"]

    def status(if_match: str) -> int:
        headers = {"If-Match": if_match}
        return deployment.client.put(alias, json={"version": 1}, headers=headers).status_code

    assert status(f"W/{etag}") == 412
    assert status("") == 412
    assert status(f'"0", {etag}') == 200
    assert status(etag) == 412
    assert status("*") == 200
    assert deployment.client.delete(alias, headers={"If-Match": "*"}).status_code == 204
    assert status("*") == 412


def test_diagnosis_in_korean(deployment: Deployment) -> None:
    """The job, the version's card and the lists of both give the diagnosis in Korean."""
    body = {"dataset": "xor", "model": "told", "training": {"epochs": 5}}
    job = deployment.finished(deployment.submit(**body))
    version = "/models/told/versions"
    for language, word in (("ko", "선형 분리"), ("en", "Not linearly separable")):
        for path in (f"/jobs/{job['id']}", "/jobs?limit=1", f"{version}/1", version):
            response = deployment.get(path, Accept_Language=language)
            assert word in response.text, path
            assert "Accept-Language" in response.headers["Vary"]


def test_work_of_a_prediction_is_bounded(deployment: Deployment) -> None:
    """Rows × units of one request are bounded: the refusal says how many rows will do."""
    network = {"hidden_layers": [65_536]}
    body = {"dataset": "and", "model": "wide", "network": network, "training": {"epochs": 1}}
    assert deployment.finished(deployment.submit(**body))["status"] == "succeeded"
    refused = deployment.post("/predict", {"model": "wide", "inputs": [[0, 1]] * 754})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "#/inputs"
    assert "at most 753 rows" in refused.json()["detail"]
    assert deployment.post("/predict", {"model": "wide", "inputs": [[0, 1]] * 7}).status_code == 200


def test_predict_by_many_names(deployment: Deployment) -> None:
    """Thousands of names are brought into order in less time than their square would take."""
    names = [f"n{number}" for number in range(4_096)]
    dataset = {"features": [[0] * 4_096, [1] * 4_096], "targets": [0, 1], "feature_names": names}
    body = {"dataset": dataset, "model": "names", "training": {"epochs": 1}}
    assert deployment.finished(deployment.submit(**body))["status"] == "succeeded"
    record = dict.fromkeys(reversed(names), 1)
    response = deployment.post("/predict", {"model": "names", "inputs": [record] * 100})
    assert response.status_code == 200
    assert response.elapsed.total_seconds() < 4


def test_deleted_versions_are_gone_and_numbers_not_reused(deployment: Deployment) -> None:
    """A deleted version answers 404 at once, and the next training does not take its number."""
    body = {"dataset": "and", "model": "shortlived", "training": {"epochs": 5}}
    deployment.finished(deployment.submit(**body))
    ask = {"model": "shortlived", "inputs": [[1, 1]]}
    assert deployment.post("/predict", ask).status_code == 200
    assert deployment.client.delete("/models/shortlived").status_code == 204
    assert deployment.post("/predict", ask).status_code == 404
    assert deployment.get("/models/shortlived").status_code == 404
    job = deployment.finished(deployment.submit(**body))
    assert job["model"] == {"name": "shortlived", "version": 2}


def test_predict_by_name_in_any_order(deployment: Deployment) -> None:
    """Records by feature name are predicted like rows, whatever the order of the names."""
    dataset = {
        "features": [[0.0, 5.0], [1.0, 5.0], [0.0, 6.0], [1.0, 6.0]],
        "targets": [0, 1, 0, 1],
        "feature_names": ["width", "height"],
    }
    training = {"epochs": 500, "learning_rate": 0.5}
    deployment.finished(deployment.submit(dataset=dataset, model="named", training=training))
    rows = deployment.post("/predict", {"model": "named", "inputs": [[1.0, 5.0]]}).json()
    record = {"height": 5.0, "width": 1.0}
    records = deployment.post("/predict", {"model": "named", "inputs": [record]}).json()
    assert records == rows


def test_datasets(deployment: Deployment) -> None:
    """The gates and the parities are datasets, with their rows."""
    names = {item["name"] for item in deployment.get("/datasets?limit=100").json()["data"]}
    gates = {"and", "or", "nand", "nor", "xor", "xnor", "parity-3", "parity-4"}
    assert gates <= names
    parity = deployment.get("/datasets/parity-3").json()
    outputs = [record["y"] for record in parity["records"]]
    assert (parity["rows"], outputs) == (8, [0, 1, 1, 0, 1, 0, 0, 1])
    xnor = deployment.get("/datasets/xnor").json()
    inputs = [[record["x1"], record["x2"]] for record in xnor["records"]]
    assert inputs == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_openapi_and_docs(deployment: Deployment) -> None:
    """The API describes itself in OpenAPI 3.1 with every route and shows it as a page."""
    document = deployment.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    routes = {"/jobs", "/jobs/{job_id}", "/jobs/{job_id}/cancel", "/jobs/{job_id}/events"}
    routes |= {"/predict", "/models", "/datasets", "/gates", "/backprop", "/livez", "/readyz"}
    assert routes <= set(document["paths"])
    refused = document["paths"]["/jobs"]["post"]["responses"]["422"]["content"]
    assert list(refused) == ["application/problem+json"]
    page = deployment.client.get("/docs", follow_redirects=True)
    assert page.status_code == 200
    assert "html" in page.headers["Content-Type"]


def test_problem_type_resolves(deployment: Deployment) -> None:
    """A problem's `type` leads to a page that explains it."""
    problem = deployment.get("/jobs/nope").json()
    page = deployment.client.get(problem["type"])
    assert page.status_code == 200
    assert problem["title"] in page.text


def test_unready_without_valkey(new_deployment: Any) -> None:
    """With Valkey silent, `/readyz` is a 503 that names it, and jobs are accepted all the same."""
    deployment = new_deployment()
    valkey = deployment.valkey
    os.kill(valkey, signal.SIGSTOP)
    try:
        report = deployment.get("/readyz")
        assert report.status_code == 503
        assert report.json()["checks"]["database"] == "ok"
        assert "Valkey" in report.json()["checks"]["valkey"]
        assert deployment.get("/livez").status_code == 200
        job_id = deployment.submit(**QUICK)
    finally:
        os.kill(valkey, signal.SIGCONT)
    assert deployment.finished(job_id)["status"] == "succeeded"
    eventually(lambda: deployment.get("/readyz").status_code == 200)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes(deployment: Deployment, path: str) -> None:
    """The probes answer 200 while everything is well."""
    assert deployment.get(path).json()["status"] == "ok"


def test_memory_is_given_back(new_deployment: Any) -> None:
    """Six predictions of 900,000 rows leave an API process at its size, not at twice that."""
    deployment = new_deployment("--api-workers", "1", "--workers", "0")
    body = json.dumps({"model": "xor", "inputs": [[0, 1]] * 900_000})
    headers = {"Content-Type": "application/json"}
    for _ in range(6):
        assert deployment.client.post("/predict", content=body, headers=headers).is_success
    (api,) = [pid for pid in deployment.pids("service") if pid != deployment.api_master]
    eventually(lambda: psutil.Process(api).memory_info().rss < 110 * 2**20)


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({}, "localhost:8000", 200),
        ({}, "127.0.0.1", 200),
        ({}, "[::1]:8000", 200),
        ({}, "LOCALHOST", 200),
        ({}, "rebound.example", 400),
        ({}, "localhost.rebound.example", 400),
        ({}, "rebound.example:8000", 400),
        ({"host": "::1"}, "[::1]", 200),
        ({"host": "127.9.9.9"}, "127.9.9.9:80", 200),
        ({"host": "0.0.0.0"}, "api.example", 200),  # noqa: S104
        ({"trusted_hosts": "api.example, [2001:db8::1]"}, "API.example:443", 200),
        ({"trusted_hosts": "api.example, [2001:db8::1]"}, "[2001:db8::1]:8000", 200),
        ({"trusted_hosts": "api.example, [2001:db8::1]"}, "localhost", 400),
        ({"host": "0.0.0.0", "trusted_hosts": "api.example"}, "b.example", 400),  # noqa: S104
    ],
)
def test_trusted_hosts(settings: dict[str, str], host: str, status: int, tmp_path: Path) -> None:
    """The API answers as the hosts that it trusts: on a loopback address, as that alone."""
    app = create_app(Settings.model_validate({"data_dir": tmp_path, **settings}))
    assert app.test_client().get("/livez", headers={"Host": host}).status_code == status


def test_refusal_of_a_host(deployment: Deployment) -> None:
    """A page that has rebound its name to our address reads no more than a refusal of that name."""
    for path in ("/models", "/nope", "/docs/"):
        response = deployment.get(path, Host="rebound.example")
        assert response.status_code == 400
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["type"] == "/problems/bad_request"
        assert "rebound.example" not in response.text


# The database fails between two steps of one request: in one process, where that can be arranged.


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """An application on SQLite, without Valkey and workers."""
    settings = Settings(data_dir=tmp_path)
    migrate(settings.database_location)
    app = create_app(settings)
    yield app.test_client()
    app.extensions["storage"].database.close()


@pytest.fixture
def stored(client: FlaskClient) -> Storage:
    """The application's storage."""
    found: Storage = client.application.extensions["storage"]
    return found


def failing(error: PerceptronError, *before: Any) -> Any:
    """Give these answers, and then fail."""
    answers = iter(before)

    def fail(*_: Any) -> Any:
        for answer in answers:
            return answer
        raise error

    return fail


def test_accepted_though_the_database_fails_then(
    client: FlaskClient, stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is stored is answered with 202, whatever fails while its end is waited for."""
    monkeypatch.setattr(stored.jobs, "history", failing(Unavailable()))
    monkeypatch.setattr(stored.jobs, "get", failing(Unavailable()))
    for headers in ({}, {"Prefer": "wait=5"}):
        response = client.post("/jobs", json=QUICK, headers=headers)
        assert response.status_code == 202, response.text
        assert response.json is not None
        assert (response.json["status"], response.json["history"]) == ("queued", [])


def test_cancelled_though_the_database_fails_then(
    client: FlaskClient, stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request to cancel that is stored is answered with 202, if need be without the curves."""
    job = client.post("/jobs", json=QUICK).json
    assert job is not None
    assert stored.leases.claim("train", "worker") is not None
    monkeypatch.setattr(stored.jobs, "history", failing(Unavailable()))
    response = client.post(f"/jobs/{job['id']}/cancel")
    assert response.status_code == 202, response.text
    assert response.json is not None
    assert response.json["cancel_requested"] is True


@pytest.mark.parametrize(
    ("error", "last"), [(Unavailable(), "retry"), (NotFound("job", "gone"), "event: deleted")]
)
def test_event_stream_ends_in_order(
    client: FlaskClient,
    stored: Storage,
    monkeypatch: pytest.MonkeyPatch,
    error: PerceptronError,
    last: str,
) -> None:
    """A stream whose job cannot be looked at any more ends, and says so where it was deleted."""
    job = client.post("/jobs", json=QUICK).json
    assert job is not None
    monkeypatch.setattr(stored.jobs, "standing", failing(error, (1, False)))
    headers = {"Accept": "text/event-stream"}
    response = client.get(f"/jobs/{job['id']}/events?after=1", headers=headers)
    assert response.status_code == 200
    assert response.text.strip().split("\n\n")[-1].startswith(last)


def test_event_stream_tells_of_an_end_between_two_looks(
    client: FlaskClient, stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that ends just after its stream found nothing new: the end is told before `done`."""
    job = client.post("/jobs", json=QUICK).json
    assert job is not None
    standing = stored.jobs.standing
    looks = iter([None, stored.jobs.cancel])

    def end_after(job_id: str) -> Any:
        found = standing(job_id)
        if (end := next(looks, None)) is not None:
            end(job_id)
        return found

    monkeypatch.setattr(stored.jobs, "standing", end_after)
    headers = {"Accept": "text/event-stream"}
    response = client.get(f"/jobs/{job['id']}/events?after=1", headers=headers)
    told = [line for line in response.text.splitlines() if line.startswith("event: ")]
    assert told == ["event: cancelled", "event: done"]


def test_streams_of_one_job_read_its_events_once(
    client: FlaskClient, stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens to a job is read once for all of its streams, and told to each."""
    job = client.post("/jobs", json=QUICK).json
    assert job is not None
    events, read, told = stored.jobs.events, [], threading.Barrier(9)

    def counted(job_id: str, after: int, limit: int) -> Any:
        read.append(after)
        return events(job_id, after, limit)

    def follow(_: int) -> str:
        headers = {"Accept": "text/event-stream"}
        path = f"/jobs/{job['id']}/events"
        chunks = client.application.test_client().get(path, headers=headers).iter_encoded()
        begun = b""
        while b"event: queued" not in begun:
            begun += next(chunks)
        told.wait(30)
        return (begun + b"".join(chunks)).decode()

    with ThreadPoolExecutor(8) as pool:
        streams = pool.map(follow, range(8))
        told.wait(30)
        monkeypatch.setattr(stored.jobs, "events", counted)
        stored.jobs.cancel(job["id"])
        for stream in streams:
            kinds = [line for line in stream.splitlines() if line.startswith("event: ")]
            assert kinds == ["event: queued", "event: cancelled", "event: done"]
    assert read == [1]


def test_a_job_says_which_worker_it_lacks(deployment: Deployment) -> None:
    """A job for a GPU that no worker has waits, and names its queue; another lacks nothing."""
    job_id = deployment.submit(dataset="xor", training={"device": "cuda"})
    job = deployment.job(job_id)
    assert job["status"] == "queued"
    waiting = job["waiting_for"]
    assert (waiting["code"], waiting["queue"]) == ("no_worker", "gpu")
    assert "`gpu`" in waiting["message"]
    listed = deployment.get("/jobs?limit=100").json()["data"]
    assert next(job for job in listed if job["id"] == job_id)["waiting_for"] == waiting
    assert deployment.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    assert deployment.job(job_id)["waiting_for"] is None
    served = deployment.submit(dataset="and", training={"epochs": 5})
    assert deployment.finished(served)["waiting_for"] is None


def test_a_job_says_what_it_learns_from_what(
    new_deployment: Callable[..., Deployment],
) -> None:
    """Trainings and sweeps name their columns while they wait; what was not chosen is told too."""
    idle = new_deployment("--workers", "0", name="idle")
    derived = [{"function": "square", "of": ["b"]}]
    asked: dict[str, Any] = {"target": "b", "features": ["y"]}
    records = [{"a": at, "b": at % 3, "y": ["low", "high"][at % 2]} for at in range(9)]
    assert idle.post("/datasets", {"name": "mine", "records": records, "target": "y"}).is_success
    told = idle.job(idle.submit(dataset="mine", **asked, task="regression"))["columns"]
    assert told == {"target": "b", "task": "regression", "features": ["y"], "derived": []}
    sweep = idle.job(
        idle.submit(
            kind="sweep",
            dataset="mine",
            features=["a", "b"],
            preprocessing={"derived": derived},
            search={"space": {"seed": [1, 2]}},
        )
    )
    assert sweep["columns"] == {
        "target": "y",
        "task": "binary",
        "features": ["a", "b"],
        "derived": derived,
    }
    rows = {"features": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": [0, 1, 1, 0]}
    inline = idle.job(idle.submit(dataset=rows))["columns"]
    assert (inline["task"], len(inline["features"])) == ("binary", 2)


def test_a_job_without_any_worker_says_so(new_deployment: Callable[..., Deployment]) -> None:
    """Where no worker runs, a job of the ordinary queue lacks one, until one starts."""
    alone = new_deployment("--workers", "0", name="alone")
    job_id = alone.submit(dataset="and")
    assert alone.job(job_id)["waiting_for"]["queue"] == "train"


def test_early_stopping_tells_how_far_it_came(deployment: Deployment) -> None:
    """A training that stopped early counts the epochs that it did, not those asked for."""
    training = {
        "optimizer": "adam",
        "epochs": 5_000,
        "validation_fraction": 0.3,
        "early_stopping": {"patience": 20},
        "record_every": 1,
    }
    body = {"dataset": "iris", "network": {"hidden_layers": [8]}, "training": training}
    job = deployment.client.post("/jobs", json=body, headers={"Prefer": "wait=60"}).json()
    assert job["status"] == "succeeded", job
    assert job["progress"]["epoch"] == job["history"][-1]["epoch"] + 1 < 5_000
    assert job["progress"]["epochs"] == 5_000
