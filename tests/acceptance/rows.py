"""Rows to predict, in every form that they may come and go in."""

import csv
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import polars as pl

from tests.deployment import Deployment

CSV = "text/csv"
JSON = "application/json"
NDJSON = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
RANDOM = Random(11)  # noqa: S311  # no secrets

TARGETS = {"binary": "bought", "multiclass": "town", "regression": "price"}
FEATURES = ["age", "member", "colour"]


def _row(number: int) -> dict[str, Any]:
    age = RANDOM.gauss(40, 10)
    return {
        "id": f"{number:05}",
        "age": None if number % 17 == 3 else age,
        "member": [True, False, None][number % 3],
        "colour": RANDOM.choice(["red", "green, or so", '"blue"', None]),
        "bought": "sure" if age > 40 else "no",
        "town": RANDOM.choice(["Bonn", "Köln, 두", "Ulm"]),
        "price": 3 * age + RANDOM.gauss(0, 5),
    }


ROWS = [_row(number) for number in range(400)]
OPTIONAL = {"age": pl.Float64, "member": pl.Boolean, "colour": pl.String}


def frame() -> pl.DataFrame:
    """Lay the rows out as columns."""
    return pl.DataFrame(ROWS, schema_overrides=OPTIONAL)


def written(form: str, columns: list[str] | None = None) -> bytes:
    """Write the rows in a form, with the columns in an order."""
    table = frame().select(columns or frame().columns)
    file = io.BytesIO()
    if form == JSON:
        return json.dumps(table.to_dicts()).encode()
    writers: dict[str, Callable[[Any], None]] = {
        CSV: table.write_csv,
        NDJSON: table.write_ndjson,
        PARQUET: table.write_parquet,
    }
    writers[form](file)
    return file.getvalue()


def read(form: str, content: bytes) -> list[dict[str, Any]]:
    """Read an answer that is a table; numbers as such."""
    if form == PARQUET:
        return in_digits(pl.read_parquet(io.BytesIO(content))).to_dicts()
    if form == NDJSON:
        return [json.loads(line) for line in content.decode().splitlines()]
    found = csv.DictReader(io.StringIO(content.decode(), newline=""))
    return [{name: _value(name, text) for name, text in row.items()} for row in found]


def in_digits(table: pl.DataFrame) -> pl.DataFrame:
    """Make FP32 what texts tell of it: the number of the fewest digits that none else is near."""
    floats = pl.col(pl.Float32)
    return table.with_columns(floats.map_elements(lambda x: float(str(np.float32(x))), pl.Float64))


def _value(name: str, text: str) -> Any:
    is_number = name.startswith("probability") or (
        name == "prediction" and text[:1] in "-0123456789"
    )
    return float(text) if is_number else text


def ask(
    deployment: Deployment, content: bytes, form: str, accept: str | None = None, **query: Any
) -> Any:
    """POST rows as a table."""
    headers = {"Content-Type": form} | ({"Accept": accept} if accept else {})
    return deployment.client.post("/predict", content=content, headers=headers, params=query)


def as_rows(answer: Any) -> list[dict[str, Any]]:
    """Turn a JSON answer into the rows that tables have."""
    rows: list[dict[str, Any]] = [{"prediction": found} for found in answer["predictions"]]
    for row, probability in zip(rows, answer["probabilities"] or (), strict=False):
        if isinstance(probability, float):
            row["probability"] = probability
        else:
            names = [f"probability_{label}" for label in answer["classes"]]
            row |= dict(zip(names, probability, strict=True))
    return rows


def model_of(deployment: Deployment, task: str, name: str) -> Any:
    """Train a model of a task on the rows, and give what it says of them in one JSON request."""
    query = {"name": name, "columns": json.dumps({"id": "text"})}
    headers = {"Content-Type": PARQUET}
    response = deployment.client.post(
        "/datasets", content=written(PARQUET), params=query, headers=headers
    )
    assert response.status_code == 201, response.text
    job = deployment.submit(
        dataset=name,
        target=TARGETS[task],
        features=FEATURES,
        network={"hidden_layers": [12, 7]},
        training={"epochs": 60},
        model=name,
    )
    assert deployment.finished(job)["status"] == "succeeded"
    inputs = [{feature: row[feature] for feature in FEATURES} for row in ROWS]
    answer = deployment.post("/predict", {"model": name, "inputs": inputs})
    assert answer.status_code == 200, answer.text
    return answer.json()
