"""Answers as files: four formats that say the same, read back by other readers."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from perceptron import answering
from perceptron.answering import Answered, write
from perceptron.frames import booleans, categories, numbers
from schemas.preprocessing import Label, Target
from tests.acceptance.rows import in_digits

ODD = 'a "quoted", b\nline 두'


def answered(classes: tuple[Label, ...] | None, outputs: Any) -> Answered:
    """Make answers of a model by its classes."""
    task: Any = "regression" if classes is None else "binary" if len(classes) == 2 else "multiclass"
    return Answered("m", 3, Target(name="y", task=task, classes=classes), np.asarray(outputs))


PROBABILITIES = np.random.default_rng(2).dirichlet(np.ones(3), 25)
SCORES = np.array([0.1, 0.5, 0.5000001, 1 / 3, 1e-30, 1.0], np.float32)
CASES = {
    "numbers": answered((0, 1), SCORES),
    "truths": answered((False, True), SCORES.astype(np.float64)),
    "texts": answered(("no", ODD), SCORES),
    "fractions": answered((0, 1.5), SCORES),
    "several": answered(("a", ODD, "c"), PROBABILITIES.astype(np.float32)),
    "several numbers": answered((0, 1, 2), PROBABILITIES),
    "regression": answered(None, np.array([-1.5, 0, 1e-7, 3.4e38, 16_777_217], np.float32)),
    "doubles": answered(None, np.array([0.1, 1e300, 123456789.123456789])),
}


def digits(case: Answered) -> list[Any]:
    """Give the outputs as texts tell them: in as few digits as no other FP32 is nearer to."""
    numbers = [float(str(number)) for number in case.outputs.ravel()]
    return list(np.reshape(numbers, case.outputs.shape).tolist())


def told(case: Answered) -> list[dict[str, Any]]:
    """Say what each row is to be, by the definition of an answer."""
    target, rows = case.target, []
    for output in digits(case):
        if target.classes is None:
            rows.append({"prediction": output})
        elif target.task == "binary":
            rows.append({"prediction": target.classes[output > 0.5], "probability": output})
        else:
            best = max(range(len(output)), key=output.__getitem__)
            names = [f"probability_{label}" for label in target.classes]
            rows.append(
                {"prediction": target.classes[best]} | dict(zip(names, output, strict=True))
            )
    return rows


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write lists of JSON in several parts."""
    monkeypatch.setattr(answering, "BATCH", 4)


def written(case: Answered, media_type: str, directory: Path) -> bytes:
    """Write the answers and read the file."""
    path = directory / "answers"
    write(case, path, media_type)
    return path.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_ndjson_and_parquet(name: str, tmp_path: Path) -> None:
    """Each row has its prediction and its probabilities, to the last bit, by their names."""
    case = CASES[name]
    lines = written(case, "application/x-ndjson", tmp_path).decode().splitlines()
    assert [json.loads(line) for line in lines] == told(case)
    parquet = written(case, "application/vnd.apache.parquet", tmp_path)
    assert in_digits(pl.read_parquet(io.BytesIO(parquet))).to_dicts() == told(case)


@pytest.mark.parametrize("name", CASES)
def test_csv(name: str, tmp_path: Path) -> None:
    """A line of names and a line for each row, quoted where that is needed."""
    case = CASES[name]
    text = written(case, "text/csv", tmp_path).decode()
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    for ours, row in zip(found, told(case), strict=True):
        assert list(ours) == list(row)
        for column, value in row.items():
            if isinstance(value, bool):
                assert ours[column] == str(value).lower()
            elif isinstance(value, str):
                assert ours[column] == value
            else:
                assert float(ours[column]) == value


@pytest.mark.parametrize("name", CASES)
def test_json(name: str, tmp_path: Path) -> None:
    """JSON is what a request is answered with: lists, and the classes."""
    case = CASES[name]
    found = json.loads(written(case, "application/json", tmp_path))
    rows = told(case)
    classes = None if case.target.classes is None else list(case.target.classes)
    several = classes is not None and len(classes) > 2
    probabilities = [row.get("probability") for row in rows]
    assert found == {
        "model": "m",
        "version": 3,
        "predictions": [row["prediction"] for row in rows],
        "probabilities": digits(case) if several else probabilities if classes else None,
        "classes": classes,
    }


def test_kept_columns_come_first(tmp_path: Path) -> None:
    """Columns of the table are repeated as they are, missing values too, whole numbers whole."""
    columns = (
        categories("id", ["007", None, ODD, "x", "x", ""], "text"),
        numbers("whole", [1, np.nan, 3, 4, 5, -6]),
        numbers("half", [0.5, np.nan, 3, 4, 5, 6]),
        booleans("is", [True, None, False, True, True, True]),
    )
    case = CASES["numbers"]._replace(kept=columns)
    kept: list[dict[str, Any]] = [
        {"id": "007", "whole": 1, "half": 0.5, "is": True},
        {"id": None, "whole": None, "half": None, "is": None},
        {"id": ODD, "whole": 3, "half": 3, "is": False},
        {"id": "x", "whole": 4, "half": 4, "is": True},
        {"id": "x", "whole": 5, "half": 5, "is": True},
        {"id": "", "whole": -6, "half": 6, "is": True},
    ]
    expected = [own | row for own, row in zip(kept, told(case), strict=True)]
    lines = written(case, "application/x-ndjson", tmp_path).decode().splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert list(json.loads(lines[0])) == [*kept[0], "prediction", "probability"]
    parquet = pl.read_parquet(io.BytesIO(written(case, "application/vnd.apache.parquet", tmp_path)))
    assert in_digits(parquet).to_dicts() == expected
    assert parquet.schema["whole"] == pl.Int64
    assert written(case, "text/csv", tmp_path).splitlines()[2].startswith(b",,,,0,")
