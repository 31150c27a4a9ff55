"""Permutation importance: how much worse a network gets when a feature tells it nothing."""

import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from perceptron import inference
from perceptron.evaluation import binary_cross_entropy, cross_entropy
from perceptron.layers import FloatArray, Layers, parameter_counts
from perceptron.preparation import Prepared
from perceptron.preprocessing import places_of, with_derived
from perceptron.tables import Table
from schemas.preprocessing import Preprocessing
from schemas.training import Importance

REPEATS = 5
"""Permutations of each feature."""
MOST_ROWS = 20_000
MOST_WORK = 50_000_000_000
"""Most multiplications in all, some seconds' worth: beyond, fewer rows are taken."""
ACTIVATION_WORK = 250
"""Multiplications that take as long as one activation."""
LARGEST = sys.float_info.max / 4
"""Losses count as at most this: no mean of their differences is infinite."""
LEAST_ROWS = 20
"""From fewer of a table's rows nothing is told."""


def permutation_importance(layers: Layers, prepared: Prepared) -> tuple[Importance, ...]:
    """
    Shuffle each feature among the rows, and see how the loss rises.

    The rows are those of validation, or else those of training; where all would be too much work,
    some that are drawn once. A feature moves with all of its columns, and with what is derived
    from it. A regression's loss is that of its target as it was trained on. Nothing is told where
    no feature could tell anything, with fewer than two features or rows, and for networks that are
    too large.

    Source: Breiman (2001), Random Forests, §10; Fisher, Rudin and Dominici (2019).
    """
    table = prepared.valid or prepared.train
    features = prepared.preprocessing.features
    rows = _affordable(layers, len(features), len(table.targets))
    if len(features) < 2 or rows < min(LEAST_ROWS, len(table.targets)) or rows < 2:
        return ()
    random = np.random.default_rng(0)
    if rows < len(table.targets):
        table = table.take(np.sort(random.choice(len(table.targets), rows, replace=False)))
    return tuple(
        Importance(
            feature=feature.name,
            mean=float(np.mean(rises)),
            standard_deviation=float(np.std(rises)),
        )
        for feature, rises in zip(features, _rises(layers, table, prepared, random), strict=True)
    )


def _rises(
    layers: Layers, table: Table, prepared: Prepared, random: np.random.Generator
) -> Iterator[list[float]]:
    """
    Give the loss's rise for each shuffle of each feature.

    A feature's shuffle changes the first layer's sums by its share of them alone.
    """
    weight, bias, _ = layers[0]
    with np.errstate(all="ignore"):
        sums = table.features @ weight.T + bias
    base = _loss(layers, sums, table, prepared)
    for place in places_of(prepared.preprocessing):
        rises = []
        for _ in range(REPEATS):
            order = random.permutation(len(table.targets))
            with np.errstate(all="ignore"):
                moved, change = _change(prepared.preprocessing, table.features, place, order)
                shuffled = sums + change @ weight[:, moved].T
            rises.append(_loss(layers, shuffled, table, prepared) - base)
        yield rises


def _change(
    preprocessing: Preprocessing,
    inputs: npt.NDArray[np.float32],
    place: slice,
    order: npt.NDArray[np.int64],
) -> tuple[slice, npt.NDArray[np.float32]]:
    """Say which inputs a feature's shuffle moves, and by how much. Shape (rows, inputs moved)."""
    if not preprocessing.derived:
        return place, inputs[order, place] - inputs[:, place]
    shuffled = inputs[:, : -len(preprocessing.derived)].copy()
    shuffled[:, place] = inputs[order, place]
    return slice(None), with_derived(preprocessing, shuffled) - inputs


def _affordable(layers: Layers, features: int, rows: int) -> int:
    first = parameter_counts(layers[:1])
    rest = parameter_counts(layers[1:])
    activations = ACTIVATION_WORK * (first.biases + rest.biases)
    work = REPEATS * (first.weights + features * (rest.weights + activations))
    return min(rows, MOST_ROWS, MOST_WORK // work)


def _loss(layers: Layers, sums: FloatArray, table: Table, prepared: Prepared) -> float:
    """Go on from the first layer's sums, of shape (rows, outputs), to the loss."""
    with np.errstate(all="ignore"):
        values = inference.ACTIVATIONS[layers[0].activation](np.nan_to_num(sums))
    if len(layers) > 1:
        outputs = inference.forward(layers[1:], values)
    else:
        outputs = values[:, 0] if values.shape[1] == 1 else values
    if table.task == "binary":
        return binary_cross_entropy(outputs, table.targets)
    if table.task == "multiclass":
        return cross_entropy(outputs, table.targets.astype(np.int64))
    scaled = (outputs.astype(np.float64) - prepared.target_mean) / prepared.target_scale
    with np.errstate(over="ignore"):
        return min(float(np.mean((scaled - table.targets) ** 2)), LARGEST)
