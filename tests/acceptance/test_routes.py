"""Aliases that split the traffic, have shadows, and are rolled back: over HTTP, in both ways."""

import itertools
import json
from collections import Counter
from typing import Any

import httpx
import pytest

from perceptron.routing import choose
from tests.acceptance.test_swaps import LABELS, Askers, infer, move, predict
from tests.deployment import Deployment, eventually

NAME = "routed"
ASKED = 600
USERS = [f"user-{number}" for number in range(60)]
BOTH = [predict, infer]


@pytest.fixture(scope="module", autouse=True)
def versions(deployment: Deployment) -> None:
    """Version 1 is AND, 2 is OR, 3 is OR again, and 4 takes three numbers."""
    training = {"epochs": 2_000, "learning_rate": 1.0}
    three = {"features": [[0, 0, 0], [1, 1, 1], [0, 1, 1], [1, 0, 0]], "targets": [0, 1, 1, 0]}
    for dataset in ("and", "or", "or", three):
        job = deployment.submit(dataset=dataset, training=training, model=NAME)
        assert deployment.finished(job)["status"] == "succeeded"


def put(deployment: Deployment, alias: str, body: dict[str, Any]) -> httpx.Response:
    """Set an alias, whatever it was."""
    path = f"/models/{NAME}/aliases/{alias}"
    is_there = deployment.get(path).is_success
    headers = {"If-Match": "*"} if is_there else {}
    return deployment.client.put(path, json=body, headers=headers)


def split(*weights: float, **others: Any) -> dict[str, Any]:
    """A split between versions 1, 2, …."""
    shares = [{"version": 1 + i, "weight": weight} for i, weight in enumerate(weights)]
    return {"split": shares, **others}


def answered(deployment: Deployment, form: Any, alias: str, **headers: str) -> int:
    """Ask for one prediction; the version that gave it, which its label agrees with."""
    way, body = form(NAME, alias)
    told = deployment.post(way, body, **headers).raise_for_status().json()
    outputs = told.get("outputs")
    version = int(told["model_version"] if outputs else told["version"])
    label = outputs[0]["data"][0] if outputs else told["predictions"][0]
    assert label == (LABELS | {3: 1})[version]
    return version


@pytest.mark.parametrize("form", BOTH)
def test_traffic_is_split_by_the_weights(deployment: Deployment, form: Any) -> None:
    """Of 600 requests each version gets its part, within five standard deviations."""
    assert put(deployment, "split", split(3, 1)).is_success
    counts = Counter(answered(deployment, form, "split") for _ in range(ASKED))
    assert set(counts) == {1, 2}
    assert abs(counts[1] / ASKED - 0.75) < 5 * (0.75 * 0.25 / ASKED) ** 0.5


@pytest.mark.parametrize("form", BOTH)
def test_who_sends_the_same_gets_the_same(deployment: Deployment, form: Any) -> None:
    """A sticky header decides, in every process; without it requests are split at random."""
    assert put(deployment, "sticky", split(1, 1, sticky_by="X-User")).is_success
    for user in USERS:
        expected = 1 + choose((1, 1), f"{NAME}/{user}")
        for _ in range(4):
            way, body = form(NAME, "sticky")
            headers = {"x-uSER": user, "Connection": "close"}  # so that both processes are asked
            told = deployment.client.post(way, json=body, headers=headers).json()
            assert int(told.get("version") or told["model_version"]) == expected
    assert len({answered(deployment, form, "sticky") for _ in range(60)}) == 2


@pytest.mark.parametrize("accept", ["text/csv", "application/json"])
def test_tables_follow_the_split(deployment: Deployment, accept: str) -> None:
    """A whole table goes to one version, by the same header, and the answer names it."""
    assert put(deployment, "tables", split(1, 1, sticky_by="X-User")).is_success
    for user in USERS[:3]:
        answer = deployment.client.post(
            f"/predict?model={NAME}&version=tables",
            content=b"x1,x2\n0,1\n1,0\n",
            headers={"Content-Type": "text/csv", "X-User": user, "Accept": accept},
        ).raise_for_status()
        version = 1 + choose((1, 1), f"{NAME}/{user}")
        assert answer.headers["Model-Version"] == str(version)
        if accept == "application/json":
            assert answer.json()["version"] == version


def test_more_traffic_moves_nobody_else(deployment: Deployment) -> None:
    """As version 2 gets more, users go from 1 to 2, and none from 2 to 1."""
    versions = []
    for weights in ((9, 1), (5, 5), (1, 9)):
        assert put(deployment, "ramp", split(*weights, sticky_by="X-User")).is_success
        versions.append([answered(deployment, predict, "ramp", X_User=user) for user in USERS])
    for before, after in itertools.pairwise(versions):
        assert all(now >= then for then, now in zip(before, after, strict=True))
        assert before != after


@pytest.mark.parametrize("form", BOTH)
def test_shadows_are_compared_and_never_returned(deployment: Deployment, form: Any) -> None:
    """AND's shadows: itself would agree; OR differs in this row; a wider network cannot answer."""
    shadows = f"/models/{NAME}/versions/2/shadows"
    assert put(deployment, "shadowed", {"version": 2, "shadows": [1, 3, 4]}).is_success

    def counted() -> dict[int, Counter[str]]:
        data = deployment.get(shadows).raise_for_status().json()["data"]
        return {one.pop("shadow"): Counter(one) for one in data}

    before = counted()
    for _ in range(20):
        assert answered(deployment, form, "shadowed") == 2

    def new() -> dict[int, dict[str, int]] | None:
        after = counted()
        found = {shadow: dict(after[shadow] - before.get(shadow, Counter())) for shadow in after}
        asked = sum(
            one.get("requests", 0) + one.get("failed_requests", 0) for one in found.values()
        )
        return found if asked == 60 else None

    assert eventually(new) == {
        1: {"requests": 20, "rows": 20},
        3: {"requests": 20, "rows": 20, "agreed_rows": 20},
        4: {"failed_requests": 20},
    }
    metrics = deployment.get("/metrics").text
    for result in ("agreed", "differed", "failed"):
        assert f'perceptron_shadow_predictions_total{{result="{result}"}}' in metrics


ROWS = [{"x1": x1, "x2": x2} for x1 in (0, 1) for x2 in (0, 1)]
CSV_ROWS = "x1,x2\n" + "".join(f"{row['x1']},{row['x2']}\n" for row in ROWS)
NDJSON_ROWS = "".join(json.dumps(row) + "\n" for row in ROWS)
TABLES = {
    "CSV": ("text/csv", CSV_ROWS),
    "NDJSON": ("application/x-ndjson", NDJSON_ROWS),
    "records": ("application/json", json.dumps(ROWS)),
    "inputs": (
        "application/json",
        json.dumps(
            {"model": NAME, "version": "tabled", "inputs": [[0, 0], [0, 1], [1, 0], [1, 1]]}
        ),
    ),
}


@pytest.mark.parametrize("form", TABLES)
def test_shadows_are_asked_for_tables(deployment: Deployment, form: str) -> None:
    """A whole table is compared row by row, and the answer is that of the version alone."""
    shadows = f"/models/{NAME}/versions/2/shadows"
    assert put(deployment, "tabled", {"version": 2, "shadows": [1, 3, 4]}).is_success

    def counted() -> dict[int, Counter[str]]:
        data = deployment.get(shadows).raise_for_status().json()["data"]
        return {one.pop("shadow"): Counter(one) for one in data}

    before = counted()
    media_type, table = TABLES[form]
    query = "" if form == "inputs" else f"?model={NAME}&version=tabled"
    headers = {"Content-Type": media_type, "Accept": "text/csv"}
    answer = deployment.client.post(f"/predict{query}", content=table, headers=headers)
    assert answer.raise_for_status().headers["Model-Version"] == "2"
    assert [line.split(",")[0] for line in answer.text.splitlines()[1:]] == ["0", "1", "1", "1"]

    def new() -> dict[int, dict[str, int]] | None:
        after = counted()
        found = {shadow: dict(after[shadow] - before.get(shadow, Counter())) for shadow in after}
        return found if found.keys() == {1, 3, 4} and found[4] else None

    assert eventually(new) == {
        1: {"requests": 1, "rows": 4, "agreed_rows": 2},
        3: {"requests": 1, "rows": 4, "agreed_rows": 4},
        4: {"failed_requests": 1},
    }


def test_a_shadow_does_not_hurt(deployment: Deployment) -> None:
    """A row that the answering version refuses is refused; the shadows are not asked."""
    assert put(deployment, "hurt", {"version": 1, "shadows": [4]}).is_success
    body = {"model": NAME, "version": "hurt", "inputs": [[0, 1, 1]]}
    answer = deployment.post("/predict", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/inputs/0"


def test_rolling_back_is_one_step_for_all(deployment: Deployment) -> None:
    """Once it is acknowledged nobody is answered as before; the history says what it was."""
    path = f"/models/{NAME}/aliases/back"
    move(deployment, NAME, "back", 1)
    assert put(deployment, "back", split(0.5, 0.5, sticky_by="X-User", shadows=[3])).is_success
    move(deployment, NAME, "back", 2)
    assert [one["version"] for one in deployment.get(f"{path}/history").json()["data"]] == [1, 1]
    way, body = predict(NAME, "back")
    for expected in ({1, 2}, {1}):
        etag = deployment.get(path).headers["ETag"]
        assert deployment.post(f"{path}/rollback").status_code == 428
        assert deployment.post(f"{path}/rollback", None, If_Match='"old"').status_code == 412
        rolled = deployment.post(f"{path}/rollback", None, If_Match=etag)
        assert rolled.status_code == 200
        assert rolled.headers["ETag"] not in (etag, '""')
        assert rolled.json() == deployment.get(path).json()
        askers = Askers(deployment.url, body, way)
        with askers.at_work():
            askers.hear(100)
        assert {asked.version for asked in askers.asked} == expected
    assert rolled.json()["version"] == 1
    assert deployment.get(f"{path}/history").json()["data"] == []
    nothing = deployment.post(f"{path}/rollback", None, If_Match="*")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_roll_back_to")


BAD = [
    ({}, "#/version"),
    ({"version": 1, "split": [{"version": 2, "weight": 1}]}, "#/version"),
    ({"split": []}, "#/split"),
    ({"split": [{"version": 1}]}, "#/split/0/weight"),
    ({"split": [{"version": 1, "weight": 0}]}, "#/split/0/weight"),
    ({"split": [{"version": 1, "weight": -1}]}, "#/split/0/weight"),
    ({"split": [{"version": 1, "weight": 1}, {"version": 1, "weight": 1}]}, "#/split/1/version"),
    ({"split": [{"version": 9, "weight": 1}]}, "#/split/0/version"),
    ({"version": 1, "sticky_by": "X-User"}, "#/sticky_by"),
    ({"split": [{"version": 1, "weight": 1}], "sticky_by": "X User"}, "#/sticky_by"),
    ({"version": 1, "shadows": [1]}, "#/shadows/0"),
    ({"version": 1, "shadows": [2, 2]}, "#/shadows/1"),
    ({"version": 1, "shadows": [9]}, "#/shadows/0"),
    ({"version": 1, "shadows": [2, 3, 4, 5, 6]}, "#/shadows"),
    ({"version": 9}, "#/version"),
    ({"version": 1, "weight": 1}, "#/weight"),
]


@pytest.mark.parametrize(("body", "pointer"), BAD, ids=map(str, range(len(BAD))))
def test_bad_routes(deployment: Deployment, body: dict[str, Any], pointer: str) -> None:
    """Each wrong field is pointed at, and no alias is made."""
    answer = deployment.client.put(f"/models/{NAME}/aliases/bad", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert deployment.get(f"/models/{NAME}/aliases/bad").status_code == 404
