"""scikit-learn's tables, which are read without scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from cli import bundled
from perceptron.datasets import describe
from schemas.dataset import DatasetOptions

TASKS = {
    "iris": "multiclass",
    "wine": "multiclass",
    "breast_cancer": "binary",
    "digits": "multiclass",
    "diabetes": "regression",
}


@pytest.mark.parametrize("name", TASKS)
def test_scikit_learns_tables(name: str) -> None:
    """The table holds scikit-learn's numbers to the last bit, with classes by their names."""
    theirs = getattr(datasets, f"load_{name}")()
    target = bundled.TABLES[name].target
    frame = bundled.frame(name)
    values = np.column_stack([column.values for column in frame.columns[:-1]])
    np.testing.assert_array_equal(values, theirs.data)
    assert frame.names == (*theirs.feature_names, target)
    goal = frame.columns[-1]
    if name in ("digits", "diabetes"):
        np.testing.assert_array_equal(goal.values, theirs.target)
    else:
        assert goal.cells() == theirs.target_names[theirs.target].tolist()
    described = describe(frame, DatasetOptions(name=name, target=target), frame.to_bytes())
    assert described.task == TASKS[name]


def test_no_table_is_missing() -> None:
    """Each has its task here, and a description."""
    assert bundled.TABLES.keys() == TASKS.keys()
    assert all(table.description for table in bundled.TABLES.values())


def test_scikit_learn_is_not_imported() -> None:
    """Reading all of them loads nothing of it."""
    program = (
        "import sys; from cli import bundled; list(map(bundled.frame, bundled.TABLES));"
        "print(*{'sklearn', 'scipy'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
