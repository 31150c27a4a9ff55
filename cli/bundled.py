"""scikit-learn's datasets, installed once: read by a process of their own, which it leaves with."""

import tempfile
from pathlib import Path

from pydantic import TypeAdapter

from perceptron.datasets import describe, scikit_learn_frames
from schemas.dataset import Dataset
from service import apart
from storage.datasets import DatasetStore

NAMES = frozenset({"breast_cancer", "diabetes", "digits", "iris", "wine"})
"""Datasets that scikit-learn brings along."""

MOST_SECONDS = 300
"""Time for a cold start of scikit-learn on a slow disk."""

_DATASETS = TypeAdapter(tuple[Dataset, ...])


def install(stored: DatasetStore) -> None:
    """Store those that are missing. Raises: Conflict where users have one by such a name."""
    missing = NAMES - stored.built_in_names()
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix="perceptron-") as directory:
        told = apart.run("cli.bundled", directory.encode(), apart.Limits(MOST_SECONDS))
        for dataset in _DATASETS.validate_json(told):
            if dataset.name in missing:
                stored.install_built_in(dataset, (Path(directory) / dataset.name).read_bytes())


def work(directory: bytes) -> bytes:
    """Write the datasets into a directory, by their names; answers with what is known of them."""
    found = []
    for options, frame in scikit_learn_frames():
        data = frame.to_bytes()
        (Path(directory.decode()) / options.name).write_bytes(data)
        found.append(describe(frame, options, data))
    return _DATASETS.dump_json(tuple(found))
