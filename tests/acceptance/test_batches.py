"""Whole tables over HTTP: every form in and out, and what is refused with a pointer."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest

from tests.acceptance.rows import (
    CSV,
    FEATURES,
    JSON,
    NDJSON,
    PARQUET,
    RANDOM,
    ROWS,
    TARGETS,
    as_rows,
    ask,
    model_of,
    read,
    written,
)
from tests.acceptance.test_observing import samples
from tests.deployment import Deployment, eventually

MIB = 2**20
API_BYTES = 96 * MIB
"""Reading large tables leaves a process some MB above the 90 that predictions alone keep to."""


@pytest.fixture(scope="module", params=TARGETS)
def trained(request: pytest.FixtureRequest, deployment: Deployment) -> tuple[str, Any]:
    """A model of each task, and what it says of the rows in one JSON request."""
    name = f"batches-{request.param}"
    return name, model_of(deployment, request.param, name)


@pytest.mark.parametrize("form", [CSV, NDJSON, PARQUET, JSON])
def test_every_form_in_says_what_a_request_says(
    deployment: Deployment, trained: tuple[str, Any], form: str
) -> None:
    """A table in each form, its columns in another order, is answered to the last bit alike."""
    name, expected = trained
    columns = ["colour", "town", "member", "id", "age"]
    for content in (written(form), written(form, columns)):
        answer = ask(deployment, content, form, model=name)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == JSON
        assert answer.json() == expected


@pytest.mark.parametrize("form", [CSV, NDJSON, PARQUET])
def test_every_form_out_says_the_same(
    deployment: Deployment, trained: tuple[str, Any], form: str
) -> None:
    """The answer in each form has a row for each row, in order; kept columns stand before."""
    name, expected = trained
    answer = ask(deployment, written(CSV), CSV, form, model=name, version="latest")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].partition(";")[0] == form
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert read(form, answer.content) == as_rows(expected)
    answer = ask(deployment, written(CSV), CSV, form, model=name, version=1, keep=["id", "colour"])
    kept = [{"id": row["id"], "colour": row["colour"]} for row in ROWS]
    if form == CSV:
        kept = [{name: text or "" for name, text in row.items()} for row in kept]
    found = read(form, answer.content)
    assert found == [own | row for own, row in zip(kept, as_rows(expected), strict=True)]
    assert list(found[0])[:3] == ["id", "colour", "prediction"]


@pytest.mark.parametrize("charset", ["cp949", "utf-16"])
def test_rows_in_another_charset(
    deployment: Deployment, trained: tuple[str, Any], charset: str
) -> None:
    """CSV is predicted in the charset that it is sent in, and answered in UTF-8."""
    name, expected = trained
    table = written(CSV).decode().replace("town", "마을").replace("ö", "외")
    told = f"{CSV}; charset={charset}"
    answer = ask(deployment, table.encode(charset), told, CSV, model=name, keep="마을")
    assert answer.status_code == 200, answer.text
    kept = [{"마을": row["town"].replace("ö", "외")} for row in ROWS]
    answers = as_rows(expected)
    assert read(CSV, answer.content) == [a | b for a, b in zip(kept, answers, strict=True)]


@pytest.mark.parametrize("form", [CSV, NDJSON, PARQUET])
def test_a_json_request_is_answered_in_every_form(
    deployment: Deployment, trained: tuple[str, Any], form: str
) -> None:
    """Rows in a JSON body, by place or by name, are answered in what `Accept` asks for."""
    name, expected = trained
    records = [{feature: row[feature] for feature in FEATURES} for row in ROWS]
    for inputs in (records, [list(record.values()) for record in records]):
        answer = deployment.post("/predict", {"model": name, "inputs": inputs}, Accept=form)
        assert answer.status_code == 200, answer.text
        assert read(form, answer.content) == as_rows(expected)
    wrong = [[1, True, "red"], ["old", True, "red"]]
    answer = deployment.post("/predict", {"model": name, "inputs": wrong}, Accept=form)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == "#/inputs/1/0"


def test_which_form_is_answered(deployment: Deployment) -> None:
    """JSON is the default, also for clients that take anything; other names mean the same form."""
    table = b"x1,x2\n0,1\n"
    for accept in (None, "*/*", "application/json, text/csv", "image/png", "application/*"):
        answer = ask(deployment, table, CSV, accept, model="xor")
        assert answer.headers["Content-Type"] == JSON, accept
    others = {"application/x-parquet": PARQUET, "application/jsonl": NDJSON, "text/*": CSV}
    others["application/json;q=0.5, text/csv"] = CSV
    others["text/csv; charset=utf-8"] = CSV
    others["text/csv;q=0.5, application/x-ndjson; charset=utf-8"] = NDJSON
    others["text/csv;q=0.5, application/json; charset=utf-8"] = JSON
    for accept, form in others.items():
        answer = ask(deployment, table, CSV, accept, model="xor")
        assert answer.headers["Content-Type"].partition(";")[0] == form, accept


def test_rows_of_tables_are_counted(new_deployment: Callable[..., Deployment]) -> None:
    """The metrics count the rows of a table, and those that are answered with one."""
    deployment = new_deployment("--workers", "0")

    def counted() -> list[float]:
        names = ("predicted_rows_total", "predict_batch_size_count", "predict_batch_size_sum")
        found = samples(deployment)
        return [found[f"perceptron_{name}",] for name in names]

    assert ask(deployment, b"x1,x2\n0,1\n1,1\n0,0\n", CSV, CSV, model="xor").is_success
    body = {"model": "xor", "inputs": [[0, 1], [1, 1]]}
    assert deployment.post("/predict", body, Accept=CSV).is_success
    assert ask(deployment, b"x1,x2\n0,one\n", CSV, CSV, model="xor").status_code == 422
    eventually(lambda: counted() == [5, 2, 5])


def test_numbers_of_many_digits(deployment: Deployment) -> None:
    """Numbers of seventeen digits are understood alike in CSV, NDJSON, Parquet and JSON."""
    values = [RANDOM.gauss(0, 10 ** RANDOM.randrange(-8, 8)) for _ in range(2_000)]
    targets = [2 * value for value in values]
    rows = {"features": [[value] for value in values], "targets": targets}
    job = deployment.submit(
        dataset=rows, task="regression", model="digits-17", training={"epochs": 1}
    )
    assert deployment.finished(job)["status"] == "succeeded"
    inputs = [[value] for value in values]
    expected = deployment.post("/predict", {"model": "digits-17", "inputs": inputs}).json()
    lines = [json.dumps({"x1": value}) for value in values]
    file = io.BytesIO()
    pl.DataFrame({"x1": values}).write_parquet(file)
    forms = {
        CSV: "\n".join(["x1", *map(repr, values)]).encode(),
        NDJSON: "\n".join(lines).encode(),
        JSON: f"[{','.join(lines)}]".encode(),
        PARQUET: file.getvalue(),
    }
    for form, content in forms.items():
        assert ask(deployment, content, form, model="digits-17").json() == expected, form


def test_cells_as_tables_spell_them(deployment: Deployment) -> None:
    """Blanks, missing values and leading zeros in CSV are what they are for a stored table."""
    table = b"x2;other;x1\n 1 ;;0\n 01;NA;1\n"
    answer = ask(deployment, table, CSV, model="xor")
    assert answer.json()["predictions"] == [1, 0]


REFUSED: list[tuple[str, bytes, dict[str, Any], str, str]] = [
    (CSV, b"x1,x2\n0,1\n0\n", {}, "#", "line 3 has 1 values"),
    (CSV, b"", {}, "#", "the table is empty"),
    (CSV, b"x1,x2\n", {}, "#", "the table has no rows"),
    (CSV, b"x1,x2\n0,\xff\n", {}, "#", "line 2 is not UTF-8"),
    (CSV, b"x1,x1\n0,1\n", {}, "#", "two columns are called 'x1'"),
    (CSV, b"x1\n0\n", {}, "#/x2", "the feature 'x2' is missing"),
    (CSV, b"x1,x2\n0,1\n0,zero\n", {}, "#/x2", "row 2: 'x2' is the text 'zero'"),
    (CSV, b"x1,x2\n0,1\n0,true\n", {}, "#/x2", "row 2: 'x2' is the text 'true'"),
    (CSV, b"x1,x2\n0,true\n", {}, "#/x2", "row 1: 'x2' is true: a number is needed"),
    (CSV, b"x1,x2\n0,1\n,1\n", {}, "#/x1", "row 2: 'x1' is missing"),
    (CSV, b"x1,x2\n0,1e400\n", {}, "#", "infinite"),
    (NDJSON, b'{"x1":0,"x2":1}\n{"x1":0,\n', {}, "#", "cannot be read as NDJSON"),
    (NDJSON, b'{"x1":0}\n', {}, "#/x2", "the feature 'x2' is missing"),
    (NDJSON, b'{"x1":0,"x2":"1"}\n', {}, "#/x2", "row 1: 'x2' is the text '1'"),
    (NDJSON, b'{"x1":0,"x2":1}\n{"x1":0,"x2":"no"}\n', {}, "#/x2", "row 2: 'x2' is the text 'no'"),
    (JSON, b'[{"x1":0,"x2":1},{"x1":0,"x2":"no"}]', {}, "#/x2", "row 2: 'x2' is the text 'no'"),
    (PARQUET, b"PAR1 and no more", {}, "#", "cannot be read as Parquet"),
    (PARQUET, b"", {}, "#", "cannot be read as Parquet"),
    (JSON, b'[{"x1":0,"x2":1}, {"x1"', {}, "#", "cannot be read as JSON"),
    (JSON, b"[]", {}, "#", "the table is empty"),
    (JSON, b'{"x1":0,"x2":1}', {}, "model", "name it in the body"),
    (JSON, b"", {}, "model", "name it in the body"),
    (CSV, b"x1,x2\n0,1\n", {"keep": "x1"}, "keep", "JSON has no place for it"),
    (CSV, b"x1,x2\n0,1\n", {"keep": "y", "accept": CSV}, "keep", "there is no column 'y'"),
    (CSV, b"x1,x2\n0,1\n", {"keep": ["x1", "x1"], "accept": CSV}, "keep", "would be called 'x1'"),
    (
        CSV,
        b"x1,x2,probability\n0,1,1\n",
        {"keep": "probability", "accept": NDJSON},
        "keep",
        "would be called 'probability'",
    ),
    (CSV, b"x1,x2\n0,1\n", {"model": None}, "model", "is required"),
    (CSV, b"x1,x2\n0,1\n", {"version": "-1"}, "version", ""),
    (CSV, b"x1,x2\n0,1\n", {"target": "y"}, "target", "not permitted"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}-{case[4]}")
def test_bad_tables(deployment: Deployment, case: tuple[Any, ...]) -> None:
    """What cannot be predicted is 422, with the column or the parameter, and the row from 1."""
    form, content, query, place, message = case
    asked = {"model": "xor", **query}
    if asked["model"] is None:
        del asked["model"]
    answer = ask(deployment, content, form, **asked)
    assert answer.status_code == 422, answer.text
    error = answer.json()["errors"][0]
    assert error.get("pointer", error.get("parameter")) == place
    assert message in error["detail"]


def test_not_there_or_not_taken(deployment: Deployment) -> None:
    """An unknown model or version is 404 at its parameter; an unknown form is 415."""
    table = b"x1,x2\n0,1\n"
    for query, place in (({"model": "none"}, "model"), ({"model": "xor", "version": 9}, "version")):
        answer = ask(deployment, table, CSV, **query)
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["parameter"] == place
    assert ask(deployment, table, "text/plain", model="xor").status_code == 415
    assert ask(deployment, table, "multipart/form-data; boundary=x", model="xor").status_code == 415
    answer = deployment.client.post(
        "/predict", params={"version": 1}, json={"model": "xor", "inputs": [[0, 1]]}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "version"


def test_a_category_that_training_has_not_seen(deployment: Deployment) -> None:
    """Under the policy `error` it is refused by its row and column, in every form."""
    records = [{"c": "ab"[number % 2], "y": number % 2} for number in range(20)]
    assert deployment.post("/datasets", {"name": "strict", "records": records}).status_code == 201
    policy = {"unknown_categories": "error", "categorical_missing": "error"}
    job = deployment.submit(dataset="strict", model="strict", preprocessing=policy)
    assert deployment.finished(job)["status"] == "succeeded"
    for value, message in (
        ("z", "row 3: 'c' is 'z', which training has not seen"),
        (None, "row 3: 'c' is missing"),
    ):
        table = pl.DataFrame({"c": ["a", "b", value]})
        for form, write in ((CSV, table.write_csv), (PARQUET, table.write_parquet)):
            file = io.BytesIO()
            write(file)
            answer = ask(deployment, file.getvalue(), form, model="strict")
            assert answer.status_code == 422
            assert answer.json()["errors"] == [{"detail": message, "pointer": "#/c"}]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Path]]:
    """A deployment with one API process, small limits, and a temporary directory of its own."""
    temporary = tmp_path_factory.mktemp("temporary")
    settings = {
        "TMPDIR": str(temporary),
        "PERCEPTRON_MAX_UPLOAD_BYTES": str(16 * MIB),
        "PERCEPTRON_MAX_DATASET_BYTES": str(64 * MIB),
    }
    data = tmp_path_factory.mktemp("batches") / "data"
    started = Deployment(data, "--api-workers", "1", settings=settings).start()
    yield started, temporary
    started.stop()


def files(directory: Path) -> set[Path]:
    """List what the deployment has in its temporary directory."""
    return set(directory.glob("perceptron-*"))


def test_a_million_rows(small: tuple[Deployment, Path]) -> None:
    """A large file is answered row by row, and the API process stays small and leaves nothing."""
    deployment, temporary = small
    before = files(temporary)
    lines = [f"{number},{number // 2 % 2},{number % 2}" for number in range(1_000_000)]
    content = "\n".join(["id,x1,x2", *lines]).encode()
    api = psutil.Process(psutil.Process(deployment.api_master).children()[0].pid)
    answer = ask(deployment, content, CSV, CSV, model="xor", keep="id")
    assert answer.status_code == 200, answer.text
    told = pl.read_csv(io.BytesIO(answer.content))
    assert told.columns == ["id", "prediction", "probability"]
    np.testing.assert_array_equal(told["id"], np.arange(1_000_000))
    np.testing.assert_array_equal(told["prediction"], np.tile([0, 1, 1, 0], 250_000))
    assert api.memory_info().rss < API_BYTES
    assert files(temporary) == before


def _bomb(kind: str) -> bytes:
    """Write a small Parquet file that is large when it is read, or when it is written out."""
    zeros = pl.repeat(0, 20_000_000, dtype=pl.Int8, eager=True)
    some = pl.repeat(0, 900_000, dtype=pl.Int8, eager=True)
    texts = pl.Series(["x" * 2_000]).gather(np.zeros(900_000, np.uint32))
    table = {"rows": {"x1": zeros, "x2": zeros}, "texts": {"x1": some, "x2": some, "id": texts}}
    file = io.BytesIO()
    pl.DataFrame(table[kind]).write_parquet(file, compression="zstd")
    assert len(file.getvalue()) < MIB
    return file.getvalue()


@pytest.mark.parametrize("kind", ["rows", "texts"])
def test_bombs(small: tuple[Deployment, Path], kind: str) -> None:
    """A small file that unfolds into gigabytes, read or repeated, is refused without a trace."""
    deployment, temporary = small
    before = files(temporary)
    query = {"keep": "id"} if kind == "texts" else {}
    answer = ask(deployment, _bomb(kind), PARQUET, NDJSON, model="xor", **query)
    assert answer.status_code == 422, answer.text[:200]
    assert answer.json()["errors"][0]["pointer"] == "#"
    assert files(temporary) == before


def test_over_the_limits(small: tuple[Deployment, Path]) -> None:
    """A file over the upload's limit, and JSON over the body's, are 413."""
    deployment, _ = small
    assert ask(deployment, b"x" * (16 * MIB + 1), CSV, model="xor").status_code == 413
    assert ask(deployment, b"[" + b" " * (10 * MIB), JSON, model="xor").status_code == 413
