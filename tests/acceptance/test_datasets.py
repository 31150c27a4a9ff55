"""Tables over HTTP: every way in, what is told of them, and what never comes in."""

import io
import json
import math
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import polars as pl
import psutil
import pytest
from sklearn import datasets as bundled

from tests.deployment import Deployment, eventually

MIB = 2**20
MAX_UPLOAD_BYTES = 4 * MIB
API_BYTES = 96 * MIB
"""Reading large tables leaves a process some MB above the 90 that predictions alone keep to."""

PARQUET = "application/vnd.apache.parquet"
NDJSON = "application/x-ndjson"

ROWS: list[dict[str, Any]] = [
    {"weight": 150, "colour": "red", "ripe": True, "fruit": "apple"},
    {"weight": 8.5, "colour": "red", "ripe": False, "fruit": "cherry"},
    {"weight": None, "colour": "green", "ripe": True, "fruit": "apple"},
    {"weight": 120, "colour": None, "ripe": True, "fruit": "apple"},
]


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    """Write rows as CSV; nothing stands for a missing value."""
    lines = [",".join(rows[0])]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
    return "\n".join(lines).encode()


def parquet_of(columns: Any) -> bytes:
    """Write columns as a Parquet file."""
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


def ndjson_of(rows: list[dict[str, Any]]) -> bytes:
    """Write rows as one JSON object a line."""
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Path]]:
    """A deployment with one API process, small limits, and a temporary directory of its own."""
    temporary = tmp_path_factory.mktemp("temporary")
    settings = {
        "TMPDIR": str(temporary),
        "PERCEPTRON_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
        "PERCEPTRON_MAX_DATASET_ROWS": "50000",
        "PERCEPTRON_MAX_DATASET_BYTES": str(16 * MIB),
    }
    data = tmp_path_factory.mktemp("datasets") / "data"
    started = Deployment(data, "--api-workers", "1", settings=settings).start()
    yield started, temporary
    started.stop()


@pytest.fixture
def deployment(place: tuple[Deployment, Path]) -> Iterator[Deployment]:
    """The deployment, which has no file of an upload left after the test."""
    started, temporary = place
    yield started
    eventually(lambda: not list(temporary.glob("perceptron-*")))


@pytest.fixture
def nothing_is_stored(deployment: Deployment) -> Iterator[None]:
    """After the test the datasets are those that were there before."""

    def stored() -> Any:
        return deployment.get("/datasets?limit=100").json()

    before = stored()
    yield
    assert stored() == before


def upload(
    deployment: Deployment, content: bytes, media_type: str = "text/csv", **query: str
) -> Any:
    """POST a table as the whole body."""
    headers = {"Content-Type": media_type}
    return deployment.client.post("/datasets", content=content, params=query, headers=headers)


def form(deployment: Deployment, file: tuple[str, bytes, str], **fields: str) -> Any:
    """POST a table as the file of a form."""
    return deployment.client.post("/datasets", files={"file": file}, data=fields)


def ways() -> dict[str, Callable[[Deployment, str], Any]]:
    """Give every way to POST the rows under a name."""
    csv, ndjson = csv_of(ROWS), ndjson_of(ROWS)
    parquet = parquet_of(pl.from_dicts(ROWS, schema_overrides={"weight": pl.Float64}))

    def whole(content: bytes, media_type: str) -> Callable[[Deployment, str], Any]:
        return lambda deployment, name: upload(deployment, content, media_type, name=name)

    def part(*file: Any) -> Callable[[Deployment, str], Any]:
        return lambda deployment, name: form(deployment, file, name=name)

    return {
        "csv": whole(csv, "text/csv; charset=utf-8"),
        "parquet": whole(parquet, PARQUET),
        "x-parquet": whole(parquet, "application/x-parquet"),
        "ndjson": whole(ndjson, NDJSON),
        "csv in CP949": whole(csv.decode().encode("cp949"), "text/csv; charset=CP949"),
        "csv in UTF-16": whole(csv.decode().encode("utf-16"), 'text/csv; charset="utf-16"'),
        "csv in a charset without other names": whole(
            csv.decode().encode("utf-8-sig"), "text/csv; charset=utf-8-sig"
        ),
        "csv in a form": part("rows.txt", csv, "text/csv"),
        "csv in a form, in EUC-KR": part(
            "행.csv", csv.decode().encode("cp949"), "text/csv;charset=euc-kr"
        ),
        "parquet in a form": part("rows.PARQUET", parquet, "application/octet-stream"),
        "ndjson in a form": part("rows.jsonl", ndjson, "application/octet-stream"),
        "records": lambda deployment, name: deployment.post(
            "/datasets", {"name": name, "records": ROWS}
        ),
    }


def test_every_way_in_makes_the_same_table(deployment: Deployment) -> None:
    """One table is understood alike, and stored as the same bytes, whatever it came as."""
    made = {}
    for number, (way, post) in enumerate(ways().items()):
        name = f"way-{number}"
        response = post(deployment, name)
        assert response.status_code == 201, (way, response.text)
        assert response.headers["Location"] == f"/datasets/{name}"
        dataset = response.json()
        assert deployment.get(f"/datasets/{name}").json() == dataset
        assert dataset["created_at"] is not None
        made[way] = {k: v for k, v in dataset.items() if k not in ("name", "created_at")}
    first = made["csv"]
    assert [way for way, dataset in made.items() if dataset != first] == []
    assert first["records"] == ROWS
    assert (first["rows"], first["target"], first["task"]) == (4, "fruit", "binary")
    assert first["feature_names"] == ["weight", "colour", "ripe"]
    weight, colour, ripe, _ = first["columns"]
    known = np.array([150, 8.5, 120])
    assert weight["kind"] == "numeric"
    assert (weight["minimum"], weight["maximum"], weight["missing"]) == (8.5, 150, 1)
    assert math.isclose(weight["mean"], known.mean(), rel_tol=1e-12)
    assert math.isclose(weight["standard_deviation"], known.std(), rel_tol=1e-12)
    assert colour["categories"] == [{"value": "red", "rows": 2}, {"value": "green", "rows": 1}]
    assert (colour["kind"], colour["missing"], colour["distinct"]) == ("categorical", 1, 2)
    assert ripe["categories"] == [{"value": "true", "rows": 3}, {"value": "false", "rows": 1}]


def test_what_an_upload_says_of_its_table(deployment: Deployment) -> None:
    """Target, description and kinds are taken from the query, the form and the body alike."""
    said = {"target": "weight", "description": "größer, 100 % & mehr"}
    columns = {"ripe": "categorical", "colour": "text"}
    asked = said | {"columns": json.dumps(columns)}
    responses = [
        upload(deployment, csv_of(ROWS), name="said-1", **asked),
        form(deployment, ("rows.csv", csv_of(ROWS), "text/csv"), name="said-2", **asked),
        deployment.post(
            "/datasets", {"name": "said-3", "records": ROWS, **said, "columns": columns}
        ),
    ]
    for response in responses:
        assert response.status_code == 201, response.text
        dataset = response.json()
        assert (dataset["target"], dataset["description"]) == tuple(said.values())
        assert dataset["feature_names"] == ["ripe", "fruit"]
        kinds = {column["name"]: column["kind"] for column in dataset["columns"]}
        assert kinds == {
            "weight": "numeric",
            "colour": "text",
            "ripe": "categorical",
            "fruit": "categorical",
        }


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "iris", "wine"])
def test_scikit_learns_tables_are_there(deployment: Deployment, name: str) -> None:
    """The tables that scikit-learn brings are there, with its numbers, and cannot be deleted."""
    found = getattr(bundled, f"load_{name}")()
    dataset = deployment.get(f"/datasets/{name}").json()
    assert dataset["built_in"]
    assert dataset["rows"] == len(found.target)
    assert dataset["feature_names"] == [str(feature) for feature in found.feature_names]
    assert dataset["task"] == ("regression" if name == "diabetes" else dataset["task"])
    for column, values in zip(dataset["columns"], found.data.T, strict=False):
        assert math.isclose(column["mean"], values.mean(), rel_tol=1e-9, abs_tol=1e-12)
        assert math.isclose(column["standard_deviation"], values.std(), rel_tol=1e-9)
    shown = [[row[key] for key in dataset["feature_names"]] for row in dataset["records"]]
    np.testing.assert_array_equal(shown, found.data[:100])
    assert deployment.client.delete(f"/datasets/{name}").json()["code"] == "built_in_dataset"


def test_truth_tables_are_datasets(deployment: Deployment) -> None:
    """A gate's table is told like any other, whole, and cannot be deleted."""
    xor = deployment.get("/datasets/xor").json()
    assert xor["records"] == [
        {"x1": 0, "x2": 0, "y": 0},
        {"x1": 0, "x2": 1, "y": 1},
        {"x1": 1, "x2": 0, "y": 1},
        {"x1": 1, "x2": 1, "y": 0},
    ]
    assert (xor["built_in"], xor["target"], xor["task"]) == (True, "y", "binary")
    assert xor["created_at"] is None
    refused = deployment.client.delete("/datasets/xor")
    assert (refused.status_code, refused.json()["code"]) == (409, "built_in_dataset")


def test_samples(deployment: Deployment) -> None:
    """The same seed draws the same table, another one another; all of its classes are drawn."""

    def draw(name: str, **sample: Any) -> Any:
        response = deployment.post("/datasets", {"name": name, "sample": sample})
        assert response.status_code == 201, response.text
        return response.json()

    first = draw("drawn-1", kind="spirals", rows=300, classes=3)
    assert draw("drawn-2", kind="spirals", rows=300, classes=3)["sha256"] == first["sha256"]
    assert draw("drawn-3", kind="spirals", rows=300, classes=3, seed=1)["sha256"] != first["sha256"]
    assert (first["rows"], first["task"]) == (300, "multiclass")
    target = next(c for c in first["columns"] if c["name"] == first["target"])
    assert sum(category["rows"] for category in target["categories"]) == 300
    assert target["distinct"] == 3


def test_a_deleted_datasets_name_is_free(deployment: Deployment) -> None:
    """A dataset is deleted once; then its name may be used again, for another table."""
    assert upload(deployment, b"a,b\n1,0\n2,1\n", name="again").status_code == 201
    taken = upload(deployment, b"a,b\n1,0\n2,1\n", name="again")
    assert (taken.status_code, taken.json()["code"]) == (409, "dataset_exists")
    assert deployment.client.delete("/datasets/again").status_code == 204
    assert deployment.client.delete("/datasets/again").status_code == 404
    assert deployment.get("/datasets/again").status_code == 404
    assert upload(deployment, b"c,d\n1,0\n2,1\n", name="again").status_code == 201
    assert list(deployment.get("/datasets/again").json()["records"][0]) == ["c", "d"]


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize("name", ["xor", "iris"])
def test_names_that_are_always_taken(deployment: Deployment, name: str) -> None:
    """Nobody's table takes the name of one that is always there."""
    for response in (
        upload(deployment, b"a,b\n1,0\n2,1\n", name=name),
        deployment.post("/datasets", {"name": name, "sample": {"kind": "moons"}}),
    ):
        assert (response.status_code, response.json()["code"]) == (409, "dataset_exists")


def test_one_of_many_takes_a_name(deployment: Deployment) -> None:
    """Of eight uploads under one name at the same moment one is stored; one is read at a time."""
    bodies = [f"a,b\n{number},0\n7,1\n".encode() for number in range(8)]

    def post(body: bytes) -> int:
        return int(upload(deployment, body, name="race").status_code)

    most = 0
    with ThreadPoolExecutor(8) as pool:
        posted = [pool.submit(post, body) for body in bodies]
        while not all(future.done() for future in posted):
            most = max(most, len(deployment.pids("service.apart")))
    statuses = [future.result() for future in posted]
    assert sorted(statuses) == [201] + [409] * 7
    stored = deployment.get("/datasets/race").json()["records"][0]["a"]
    assert stored == statuses.index(201)
    assert most <= 1


BAD_CSV: dict[str, tuple[bytes, dict[str, str], tuple[str, str]]] = {
    "empty": (b"", {}, ("pointer", "#")),
    "only a line of names": (b"a,b\n", {}, ("pointer", "#")),
    "ragged": (b"a,b\n1,2\n1,2,3\n", {}, ("pointer", "#")),
    "latin-1": ("a,b\ngrün,0\n".encode("latin-1"), {}, ("pointer", "#")),
    "latin-1 far from the start": (
        b"a,b\n" + b"x,0\n" * 50_000 + "grün,0\n".encode("latin-1"),
        {},
        ("pointer", "#"),
    ),
    "a million columns": (b",".join(b"c%d" % n for n in range(400_000)), {}, ("pointer", "#")),
    "too many rows": (b"a,b\n" + b"1,0\n" * 50_001, {}, ("pointer", "#")),
    "two columns of one name": (b"a,a,b\n1,2,0\n", {}, ("pointer", "#")),
    "a column without a name": (b"a,,b\n1,2,0\n", {}, ("pointer", "#")),
    "an infinite number": (b"a,b\n1e999,0\n2,1\n", {}, ("pointer", "#")),
    "unknown target": (b"a,b\n1,0\n", {"target": "c"}, ("parameter", "target")),
    "kind of an unknown column": (
        b"a,b\n1,0\n",
        {"columns": '{"c":"numeric"}'},
        ("parameter", "columns"),
    ),
    "kind that the column cannot be": (
        b"a,b\nred,0\n",
        {"columns": '{"a":"numeric"}'},
        ("parameter", "columns"),
    ),
    "unknown kind": (b"a,b\n1,0\n", {"columns": '{"a":"date"}'}, ("parameter", "columns")),
    "kinds that are no JSON": (b"a,b\n1,0\n", {"columns": "{a"}, ("parameter", "columns")),
    "kinds that are no object": (b"a,b\n1,0\n", {"columns": "3"}, ("parameter", "columns")),
    "bad name": (b"a,b\n1,0\n", {"name": "../etc"}, ("parameter", "name")),
    "name of rows in a job": (b"a,b\n1,0\n", {"name": "inline"}, ("parameter", "name")),
    "long description": (b"a,b\n1,0\n", {"description": "x" * 1_001}, ("parameter", "description")),
    "unknown parameter": (b"a,b\n1,0\n", {"delimiter": ";"}, ("parameter", "delimiter")),
}


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_table(deployment: Deployment, case: str) -> None:
    """A table that cannot be stored is refused with 422, which says where, and leaves nothing."""
    content, query, place = BAD_CSV[case]
    response = upload(deployment, content, **{"name": "bad"} | query)
    assert response.status_code == 422, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    (error,) = response.json()["errors"]
    assert {key: error[key] for key in error if key != "detail"} == dict([place])
    assert len(response.content) < 2_000


CHARSETS: dict[str, tuple[str, bytes, str]] = {
    "unknown": ("text/csv; charset=klingon", b"a,b\n1,0\n", "Content-Type"),
    "long": (f"text/csv; charset={'x' * 5_000}", b"a,b\n1,0\n", "Content-Type"),
    "from bytes to bytes": ("text/csv; charset=hex", b"a,b\n1,0\n", "Content-Type"),
    "no charset": ("text/csv; charset=utf-7", b"a,b\n1,0\n", "Content-Type"),
    "of source code": ("text/csv; charset=unicode_escape", b"a,b\n1,0\n", "Content-Type"),
    "NDJSON is in UTF-8": (f"{NDJSON}; charset=cp949", b'{"a":1,"b":2}', "Content-Type"),
    "another one": ("text/csv; charset=cp949", b"a,b\n1,0\n\xff,1\n", ""),
}


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize("case", CHARSETS)
def test_bad_charset(deployment: Deployment, case: str) -> None:
    """A charset that is none, or not the table's, is pointed at, in each way in."""
    told, content, parameter = CHARSETS[case]
    refused = [
        (upload(deployment, content, told, name="bad"), "#"),
        (form(deployment, ("rows.csv", content, told), name="bad"), "#/file"),
        (deployment.client.post(
            "/predict?model=xor", content=content, headers={"Content-Type": told}
        ), "#"),
    ]  # fmt: skip
    for response, pointer in refused:
        assert response.status_code == 422, response.text
        (error,) = response.json()["errors"]
        place = {"pointer": pointer}
        if parameter and pointer == "#":
            place = {"parameter": parameter}
        assert {key: error[key] for key in error if key != "detail"} == place
        assert len(response.content) < 2_000
        assert parameter or error["detail"].startswith("line 3 is not CP949")
        assert parameter or error["detail"].endswith(" at byte 8")


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "#/name"),
        ({"name": "Bad"}, "#/name"),
        ({"name": "bad", "target": "c"}, "#/target"),
        ({"name": "bad", "columns": "{a"}, "#/columns"),
        ({"name": "bad", "columns": '{"a":"date"}'}, "#/columns/a"),
        ({"name": "bad", "columns": '{"a":"numeric"}'}, "#/columns/a"),
        ({"name": "bad", "nope": "1"}, "#/nope"),
    ],
)
def test_bad_form(deployment: Deployment, fields: dict[str, str], pointer: str) -> None:
    """A form's wrong field is pointed at."""
    response = form(deployment, ("rows.csv", b"a,b\nred,0\nblue,1\n", "text/csv"), **fields)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["pointer"] == pointer


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "bad"}, "#/records"),
        ({"name": "bad", "records": []}, "#/records"),
        ({"name": "bad", "records": [{"a": 1}], "sample": {"kind": "moons"}}, "#/records"),
        ({"name": "bad", "records": [{"a": [1]}]}, "#/records/0/a"),
        ({"name": "bad", "records": [{"a": 1, "b": 0}], "target": "c"}, "#/target"),
        ({"name": "bad", "sample": {"kind": "squares"}}, "#/sample/kind"),
        ({"name": "bad", "sample": {"kind": "moons", "rows": 10**9}}, "#/sample/rows"),
        ({"name": "bad", "sample": {"kind": "moons"}, "target": "c"}, "#/target"),
        ({"records": [{"a": 1}]}, "#/name"),
    ],
)
def test_bad_records(deployment: Deployment, body: dict[str, Any], pointer: str) -> None:
    """A wrong place of a JSON body is pointed at."""
    response = deployment.post("/datasets", body)
    assert response.status_code == 422, response.text
    pointers = [error["pointer"] for error in response.json()["errors"]]
    assert any(found.startswith(pointer) for found in pointers), pointers


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"PAR1" + b"\x00" * 100 + b"PAR1", PARQUET),
        (b"a,b\n1,2\n", PARQUET),
        (b"", PARQUET),
        (parquet_of({"a": [1, 2], "b": [0, 1]})[:-20], PARQUET),
        (parquet_of({"a": [[1], [2]], "b": [0, 1]}), PARQUET),
        (b'{"a": 1}\n{"a": ', NDJSON),
        (b"[1, 2, 3]\n", NDJSON),
        (b'{"a": {"b": 1}}\n{"a": {"b": 2}}\n', NDJSON),
        (b"\xff\xfe\n", NDJSON),
    ],
)
def test_files_that_are_no_tables(deployment: Deployment, content: bytes, media_type: str) -> None:
    """A damaged file, and one whose cells are no single values, is refused with 422."""
    response = upload(deployment, content, media_type, name="bad")
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["pointer"] == "#"


def bomb(kind: str) -> bytes:
    """Write a small Parquet file that is large when it is read."""
    numbers = pl.repeat(0, 20_000_000 if kind == "rows" else 40_000, dtype=pl.Int8, eager=True)
    texts = pl.Series(["x" * 2**16]).gather(np.zeros(40_000, np.uint32))
    columns = {
        "rows": {"a": numbers},
        "columns": {f"c{number}": numbers for number in range(400)},
        "text": {"a": texts},
    }
    file = io.BytesIO()
    groups = 1_000 if kind == "text" else None
    pl.DataFrame(columns[kind]).write_parquet(file, compression="zstd", row_group_size=groups)
    assert len(file.getvalue()) < MAX_UPLOAD_BYTES
    return file.getvalue()


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize("kind", ["rows", "columns", "text"])
def test_bomb(deployment: Deployment, kind: str) -> None:
    """A small file that unfolds into gigabytes is refused, and the API process stays small."""
    response = upload(deployment, bomb(kind), PARQUET, name="bomb")
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["pointer"] == "#"
    eventually(lambda: psutil.Process(api_process(deployment)).memory_info().rss < API_BYTES)


def api_process(deployment: Deployment) -> int:
    """Process id of the one API process."""
    children = psutil.Process(deployment.api_master).children()
    return children[0].pid


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("in_form", [False, True])
def test_upload_over_the_limit(deployment: Deployment, chunked: bool, in_form: bool) -> None:
    """A body over the limit is refused with 413, declared or chunked, a file or a form."""
    table = b"a,b\n" + b"1,0\n" * (MAX_UPLOAD_BYTES // 4)
    body, media_type = as_form(table) if in_form else (table, "text/csv")
    answer = post_by_hand(deployment, body, media_type, chunked=chunked)
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("in_form", [False, True])
def test_upload_that_breaks_off(deployment: Deployment, chunked: bool, in_form: bool) -> None:
    """A client that goes away in the middle of its table leaves nothing behind."""
    table = b"a,b\n" + b"1,0\n" * 1_000
    body, media_type = as_form(table) if in_form else (table, "text/csv")
    post_by_hand(deployment, body, media_type, chunked=chunked, sent=len(body) // 2)
    assert deployment.get("/livez").status_code == 200


@pytest.mark.usefixtures("nothing_is_stored")
def test_form_without_its_end(deployment: Deployment) -> None:
    """A form whose last boundary is missing is refused with 400, though its length is right."""
    body, media_type = as_form(b"a,b\n1,0\n2,1\n")
    answer = post_by_hand(deployment, body[:-20], media_type, chunked=False)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


def as_form(table: bytes) -> tuple[bytes, str]:
    """Write a form with a name and a file."""
    boundary = b"----limit"
    parts = (
        b'Content-Disposition: form-data; name="name"\r\n\r\nbad',
        b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n'
        b"Content-Type: text/csv\r\n\r\n" + table,
    )
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return body + b"--" + boundary + b"--\r\n", f"multipart/form-data; boundary={boundary.decode()}"


def post_by_hand(
    deployment: Deployment, body: bytes, media_type: str, *, chunked: bool, sent: int | None = None
) -> bytes:
    """POST a body, or its first bytes alone, and read the answer, however early it comes."""
    target = urlsplit(deployment.url)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    query = "" if media_type.startswith("multipart") else "?name=bad"
    head = (
        f"POST /datasets{query} HTTP/1.1\r\nHost: {target.netloc}\r\n"
        f"Content-Type: {media_type}\r\n{length}\r\n\r\n"
    )
    with socket.create_connection((target.hostname, target.port), timeout=60) as connection:
        connection.sendall(head.encode())
        part = body[:sent]
        try:
            for start in range(0, len(part), 65_536):
                piece = part[start : start + 65_536]
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            if sent is not None:
                return b""
            connection.sendall(b"0\r\n\r\n" if chunked else b"")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer came first
        return connection.recv(4_096)


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"a,b\n1,0\n", {"Content-Type": "application/xml"}),
        (b"a,b\n1,0\n", {}),
        (b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}),
    ],
)
def test_media_types_that_are_no_tables(
    deployment: Deployment, content: bytes, headers: dict[str, str]
) -> None:
    """A body that is no table by its content type is a 415 that says what one may be."""
    response = deployment.client.post("/datasets?name=bad", content=content, headers=headers)
    assert response.status_code == 415, response.text
    assert "text/csv" in response.json()["detail"]


@pytest.mark.usefixtures("nothing_is_stored")
def test_forms_that_hold_no_table(deployment: Deployment) -> None:
    """A form needs one file, of a kind that is known, and says everything itself."""
    csv = ("a.csv", b"a,b\n1,0\n", "text/csv")
    unknown = form(deployment, ("a.xls", b"\x00", "application/octet-stream"), name="bad")
    assert unknown.status_code == 415, unknown.text
    two = deployment.client.post(
        "/datasets", files=[("file", csv), ("file", csv)], data={"name": "bad"}
    )
    other = deployment.client.post("/datasets", files={"table": csv}, data={"name": "bad"})
    for response in (two, other):
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["pointer"] == "#/file"
    twice = deployment.client.post("/datasets?name=bad", files={"file": csv})
    assert twice.status_code == 422, twice.text
    assert twice.json()["errors"][0]["parameter"] == "name"


def test_train_on_an_uploaded_table(deployment: Deployment) -> None:
    """A network learns from categories, truths and missing values, and answers in their words."""
    rows = [
        {"size": size, "colour": colour, "ripe": ripe, "fruit": fruit}
        for size, colour, ripe, fruit in (
            (150, "green", True, "apple"),
            (160, "red", None, "apple"),
            (8, "red", True, "cherry"),
            (9, "dark red", None, "cherry"),
            (300, "green", False, "melon"),
            (None, "dark green", True, "melon"),
        )
    ] * 5
    unknown = {"size": 9, "colour": "red", "ripe": True, "fruit": None}
    assert upload(deployment, csv_of([*rows, unknown]), name="learned").status_code == 201
    training = {"optimizer": "adam", "epochs": 500}
    network = {"hidden_layers": [8], "activation": "tanh"}
    job = deployment.finished(
        deployment.submit(dataset="learned", model="learned", network=network, training=training)
    )
    assert job["status"] == "succeeded", job["error"]
    counts = {"train": 30, "validation": 0, "test": 0, "without_target": 1}
    assert job["metrics"]["rows"] == counts
    inputs = [
        {"size": 155, "colour": "red", "ripe": True},
        {"size": 8.5, "colour": "dark red", "ripe": None},
        {"size": 290, "colour": "dark green", "ripe": None},
    ]
    answer = deployment.post("/predict", {"model": "learned", "inputs": inputs}).json()
    assert answer["predictions"] == ["apple", "cherry", "melon"]
    card = deployment.get("/models/learned/versions/1").json()["card"]
    assert card["metrics"]["rows"] == counts
    assert card["dataset_sha256"] == deployment.get("/datasets/learned").json()["sha256"]


def test_the_how_to(deployment: Deployment, tmp_path: Path) -> None:
    """The commands of `bring-your-own-table.md` do what it says, one after the other."""
    page = Path(__file__).parents[2] / "docs" / "howto" / "bring-your-own-table.md"
    export, *blocks = re.findall(
        r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert export == "export PERCEPTRON=http://127.0.0.1:8000\n"
    bash = shutil.which("bash")
    assert bash is not None, "bash is not installed"
    finished = subprocess.run(
        [bash, "-euo", "pipefail", "-c", "\n".join(blocks)],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PERCEPTRON": deployment.url, "NO_PROXY": "*"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    answers = list(documents(finished.stdout))
    assert [answer for answer in answers if "code" in answer] == []  # no problem among them
    jobs = [answer for answer in answers if answer.get("object") == "job"]
    assert {job["status"] for job in jobs} == {"succeeded"}, jobs
    cities = ["cities", "cities-2"]
    for name in cities:
        records = deployment.get(f"/datasets/{name}").json()["records"]
        assert records[1] == {"도시": "부산", "인구": 327, "수도": "아니요"}
    datasets = {answer["name"] for answer in answers if answer.get("object") == "dataset"}
    assert datasets == {"penguins", "penguins-2", "penguins-3", "fruit", "two-moons", *cities}
    predictions = [answer["predictions"] for answer in answers if "predictions" in answer]
    assert predictions == [["Gentoo"], [1, 0]]


def documents(text: str) -> Iterator[dict[str, Any]]:
    """Read JSON documents that stand one after the other."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        yield document
        rest = rest[end:].strip()


def test_a_job_whose_dataset_is_another_by_now(deployment: Deployment) -> None:
    """A job fails where its dataset was deleted, or made anew, while it waited."""
    for name in ("gone", "anew"):
        assert upload(deployment, b"a,b\n1,0\n2,1\n", name=name).status_code == 201
    long = {"dataset": "xor", "network": {"hidden_layers": [2]}}
    first = deployment.submit(**long, training={"epochs": 1_000_000, "engine": "torch"})
    deployment.running(first)
    waiting = {name: deployment.submit(dataset=name) for name in ("gone", "anew")}
    for name in waiting:
        assert deployment.client.delete(f"/datasets/{name}").status_code == 204
    assert upload(deployment, b"a,b\n1,1\n2,0\n", name="anew").status_code == 201
    deployment.post(f"/jobs/{first}/cancel")
    for name, job_id in waiting.items():
        job = deployment.finished(job_id)
        assert job["status"] == "failed"
        assert job["error"]["code"] == "invalid_data"
        assert name in job["error"]["message"]


def test_a_table_that_takes_too_long(new_deployment: Callable[..., Deployment]) -> None:
    """Reading that takes longer than it may is ended, and answered with 422."""
    settings = {"PERCEPTRON_UPLOAD_SECONDS": "0.01"}
    deployment = new_deployment("--workers", "0", **settings)
    response = upload(deployment, b"a,b\n1,0\n2,1\n", name="slow")
    assert response.status_code == 422, response.text
    assert "0.01 seconds" in response.json()["detail"]
    assert deployment.get("/datasets/slow").status_code == 404
    assert deployment.pids("service.apart") == []


def test_memory_of_the_api_process(new_deployment: Callable[..., Deployment]) -> None:
    """After a table of 300,000 rows the API process is within 96 MB, and the table is whole."""
    deployment = new_deployment("--workers", "0", "--api-workers", "1")
    columns = {f"c{number}": np.random.default_rng(number).random(300_000) for number in range(20)}
    for name in ("large-1", "large-2"):
        response = upload(deployment, parquet_of(columns), PARQUET, name=name)
        assert response.status_code == 201, response.text
    assert response.json()["size_bytes"] >= 300_000 * 20 * 8
    for column, values in zip(response.json()["columns"], columns.values(), strict=True):
        assert (column["minimum"], column["maximum"]) == (values.min(), values.max())
    eventually(lambda: psutil.Process(api_process(deployment)).memory_info().rss < API_BYTES)
