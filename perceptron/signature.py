"""Which tensors a model takes and gives."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.frames import FLOAT32_MAX, spelled
from perceptron.layers import FloatArray
from perceptron.preprocessing import chosen
from perceptron.tensors import DTYPES, Values
from schemas.open_inference import Datatype, TensorMetadata
from schemas.preprocessing import Label, Preprocessing, Target

MATRIX = "input"
"""Name of the one tensor of models whose features are all numbers."""
ROWS = -1
FEATURE_DATATYPES: Mapping[str, Datatype] = {
    "numeric": "FP64",
    "boolean": "BOOL",
    "categorical": "BYTES",
}
"""As what a feature's values come best; any other data type that holds them will do too."""

_INT64 = np.iinfo(np.int64)


class Output(NamedTuple):
    """One tensor of an answer."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    values: Values


def takes_matrix(preprocessing: Preprocessing) -> bool:
    """Whether all features are numbers, so that rows may come as one tensor."""
    return preprocessing.scaling is not None


def inputs_of(preprocessing: Preprocessing) -> tuple[TensorMetadata, ...]:
    """Name the tensors that a model takes: one of rows, or one for each feature."""
    if takes_matrix(preprocessing):
        shape = (ROWS, len(preprocessing.features))
        return (TensorMetadata(name=MATRIX, datatype="FP32", shape=shape),)
    return tuple(
        TensorMetadata(name=each.name, datatype=FEATURE_DATATYPES[each.kind], shape=(ROWS,))
        for each in preprocessing.features
    )


def outputs_of(target: Target) -> tuple[TensorMetadata, ...]:
    """Name the tensors that a model gives: `predictions`, and in classification `probabilities`."""
    datatype: Datatype = "FP32" if target.classes is None else label_datatype(target.classes)
    predictions = TensorMetadata(name="predictions", datatype=datatype, shape=(ROWS,))
    if target.classes is None:
        return (predictions,)
    shape = (ROWS, target.outputs) if target.task == "multiclass" else (ROWS,)
    return (predictions, TensorMetadata(name="probabilities", datatype="FP32", shape=shape))


def output_names(target: Target) -> tuple[str, ...]:
    """Name the tensors that a model gives, in their order."""
    return ("predictions",) if target.classes is None else ("predictions", "probabilities")


def label_datatype(classes: tuple[Label, ...]) -> Datatype:
    """Find the data type that holds every class as it is; BYTES spells them."""
    kinds = set(map(type, classes))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int} and all(_INT64.min <= label <= _INT64.max for label in classes):  # type: ignore[operator]
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def outputs(target: Target, found: FloatArray) -> dict[str, Output]:
    """
    Say what the network's output means, as tensors by their names.

    Shapes: found (rows,) for one output unit, (rows, classes) for several.
    """
    numbers = _float32(found)
    if target.classes is None:
        return {"predictions": Output("predictions", "FP32", numbers.shape, numbers)}
    datatype = label_datatype(target.classes)
    labels = _labels(target.classes, datatype, chosen(target, found))
    return {
        "predictions": Output("predictions", datatype, found.shape[:1], labels),
        "probabilities": Output("probabilities", "FP32", numbers.shape, numbers.reshape(-1)),
    }


def _labels(classes: tuple[Label, ...], datatype: Datatype, numbers: npt.NDArray[Any]) -> Values:
    if datatype == "BYTES":
        texts = [spelled(label) for label in classes]
        return [texts[number] for number in numbers.tolist()]
    labels: npt.NDArray[Any] = np.array(classes, DTYPES[datatype])[numbers]
    return labels


def _float32(found: FloatArray) -> npt.NDArray[np.float32]:
    """Give numbers as FP32; those beyond its range count as its largest."""
    if found.dtype != np.float32:
        found = np.clip(found, -FLOAT32_MAX, FLOAT32_MAX)
    return np.ascontiguousarray(found, np.float32)
