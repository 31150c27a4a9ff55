"""
scikit-learn's tables, installed once: read where they lie.

Importing scikit-learn to have it read its own files would take longer than all the rest of a start.
"""

import gzip
from collections.abc import Iterator
from importlib.metadata import distribution
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.datasets import describe
from perceptron.frames import Column, Frame, categories, numbers
from schemas.dataset import DatasetOptions
from storage.datasets import DatasetStore

DIRECTORY = "sklearn/datasets/data"
"""Where scikit-learn has its files."""

Values = npt.NDArray[np.float64]


class Bundled(NamedTuple):
    """One of the tables: what it is called, and its files."""

    description: str
    features: tuple[str, ...]
    target: str
    file: str
    """
    `.csv`: the first line holds the numbers of rows and columns and the names of the classes. The
    last column is the target.
    """
    targets: str | None = None
    """File of the target, where that is apart; the features are then standardised."""


_MEASURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)

TABLES = {
    "iris": Bundled(
        "Irises of three species (Fisher, 1936)",
        ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
        "species",
        "iris.csv",
    ),
    "wine": Bundled(
        "Wines of three cultivars (Forina et al., 1991)",
        (
            "alcohol",
            "malic_acid",
            "ash",
            "alcalinity_of_ash",
            "magnesium",
            "total_phenols",
            "flavanoids",
            "nonflavanoid_phenols",
            "proanthocyanins",
            "color_intensity",
            "hue",
            "od280/od315_of_diluted_wines",
            "proline",
        ),
        "cultivar",
        "wine_data.csv",
    ),
    "breast_cancer": Bundled(
        "Breast masses, malignant or benign (Wolberg et al., 1995)",
        (
            *(f"mean {measure}" for measure in _MEASURES),
            *(f"{measure} error" for measure in _MEASURES),
            *(f"worst {measure}" for measure in _MEASURES),
        ),
        "diagnosis",
        "breast_cancer.csv",
    ),
    "digits": Bundled(
        "Digits written by hand, 8 × 8 pixels",
        tuple(f"pixel_{row}_{column}" for row, column in product(range(8), repeat=2)),
        "digit",
        "digits.csv.gz",
    ),
    "diabetes": Bundled(
        "Diabetes after one year (Efron et al., 2004)",
        ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
        "progression",
        "diabetes_data_raw.csv.gz",
        "diabetes_target.csv.gz",
    ),
}
"""Tables that scikit-learn brings along."""


def install(stored: DatasetStore) -> None:
    """Store those that are missing. Raises: Conflict where users have one by such a name."""
    for name in sorted(TABLES.keys() - stored.built_in_names()):
        table, found = TABLES[name], frame(name)
        options = DatasetOptions(name=name, target=table.target, description=table.description)
        data = found.to_bytes()
        stored.install_built_in(describe(found, options, data), data)


def frame(name: str) -> Frame:
    """Read one of the tables."""
    table = TABLES[name]
    rows, classes = _read(table.file)
    if table.targets is None:
        features, targets = rows[:, :-1], rows[:, -1]
    else:
        features, targets = _standardised(rows), _read(table.targets)[0]
    columns = [
        numbers(feature, values)
        for feature, values in zip(table.features, _contiguous(features), strict=True)
    ]
    return Frame((*columns, _target(table.target, targets, classes)))


def _read(file: str) -> tuple[Values, tuple[str, ...]]:
    """Read a file's rows, and the names of its classes where it has them."""
    path = Path(str(distribution("scikit-learn").locate_file(DIRECTORY))) / file
    if file.endswith(".csv"):
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        return np.loadtxt(lines, delimiter=","), tuple(first.split(",")[2:])
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return np.loadtxt(lines, delimiter="," if "," in lines[0] else None), ()


def _standardised(rows: Values) -> Values:
    """Give each column a mean of 0 and a sum of squares of 1, in scikit-learn's order of steps."""
    centred = rows - rows.mean(axis=0)
    return np.asarray(centred / rows.std(axis=0) / len(rows) ** 0.5, np.float64)


def _contiguous(features: Values) -> Iterator[Values]:
    return (np.ascontiguousarray(values) for values in features.T)


def _target(name: str, targets: Values, classes: tuple[str, ...]) -> Column:
    if not classes:
        return numbers(name, targets)
    return categories(name, [classes[int(number)] for number in targets])
