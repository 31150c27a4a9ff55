"""How good a model's answers are for a table that it was not trained on, or was."""

import numpy as np
import numpy.typing as npt

from perceptron.evaluation import binary, multiclass, regression
from perceptron.frames import Column, moments, spelled
from perceptron.layers import FloatArray
from schemas.preprocessing import Target
from schemas.training import Evaluation


def judge(target: Target, column: Column, found: FloatArray) -> Evaluation | None:
    """
    Judge outputs on the rows whose target is known; None where there is no such row.

    The baseline answers with the classes' shares, or the mean, of these very rows.
    Shapes: column (rows,); found (rows,) or (rows, classes).
    """
    if target.classes is None:
        if column.kind != "numeric" or column.missing.all():
            return None
        known = ~column.missing
        actual = column.values[known]
        return regression(found[known], actual, moments(actual)[0])
    classes = _class_numbers(target, column)
    known = classes >= 0
    if not known.any():
        return None
    found, classes = found[known], classes[known]
    shares = np.bincount(classes, minlength=len(target.classes)) / len(classes)
    if target.task == "binary":
        return binary(found, classes.astype(np.float32), float(shares[1]))
    return multiclass(found, classes, shares, target.classes)


def _class_numbers(target: Target, column: Column) -> npt.NDArray[np.int64]:
    """Give each row the number of its class, −1 where that is missing or none of the target's."""
    places = {spelled(label): place for place, label in enumerate(target.classes or ())}
    values, inverse = np.unique(column.values, return_inverse=True)
    cells = column._replace(values=values).cells()
    known = [-1 if cell is None else places.get(spelled(cell), -1) for cell in cells]
    return np.array(known, np.int64)[inverse]
