"""Which tensors a model takes and gives."""

import numpy as np
import pytest

from perceptron.signature import inputs_of, label_datatype, output_names, outputs, outputs_of
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    Label,
    NumericFeature,
    Preprocessing,
    Target,
)

NUMBER = NumericFeature(name="age")
TRUTH = BooleanFeature(name="smokes")
CATEGORY = CategoricalFeature(
    name="town", categories=("Bonn", "Ulm"), missing="zeros", unknown="ignore"
)
BINARY = Target(name="y", task="binary", classes=("no", "yes"))
SEVERAL = Target(name="y", task="multiclass", classes=(3, 1, 2))
NUMERIC = Target(name="y", task="regression", classes=None)


def test_numbers_are_one_matrix() -> None:
    """Where all features are numbers, rows come as one tensor."""
    features = (NUMBER, NumericFeature(name="height"))
    (found,) = inputs_of(Preprocessing(features=features, target=BINARY))
    assert (found.name, found.datatype, found.shape) == ("input", "FP32", (-1, 2))


def test_others_are_columns() -> None:
    """Where they are not, each feature is a tensor of its own."""
    found = inputs_of(Preprocessing(features=(NUMBER, TRUTH, CATEGORY), target=BINARY))
    assert [(each.name, each.datatype, each.shape) for each in found] == [
        ("age", "FP64", (-1,)),
        ("smokes", "BOOL", (-1,)),
        ("town", "BYTES", (-1,)),
    ]


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [
        ((False, True), "BOOL"),
        ((0, 1), "INT64"),
        ((-(2**63), 2**63 - 1), "INT64"),
        ((0, 2**63), "FP64"),
        ((0.5, 1), "FP64"),
        (("a", "b"), "BYTES"),
        ((True, 2), "BYTES"),
        ((1, "b"), "BYTES"),
    ],
)
def test_data_type_of_classes(classes: tuple[Label, ...], datatype: str) -> None:
    """The data type holds every class as it is, or its text where there are several kinds."""
    assert label_datatype(classes) == datatype


@pytest.mark.parametrize("target", [BINARY, SEVERAL, NUMERIC], ids=lambda target: target.task)
def test_outputs_are_as_they_are_told(target: Target) -> None:
    """What a model gives has the names, data types and shapes that its metadata tell."""
    found = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]], np.float32)
    given = outputs(target, found if target.task == "multiclass" else found[:, 1])
    assert tuple(given) == output_names(target) == tuple(each.name for each in outputs_of(target))
    for told in outputs_of(target):
        tensor = given[told.name]
        assert (tensor.datatype, tensor.shape) == (told.datatype, (2, *told.shape[1:]))
        assert len(tensor.values) == np.prod(tensor.shape)


def test_meaning_of_outputs() -> None:
    """The likeliest class is predicted; of two, the second where its probability is over 0.5."""
    two = outputs(BINARY, np.array([0.5, 0.75], np.float32))
    assert two["predictions"].values == ["no", "yes"]
    several = outputs(SEVERAL, np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]], np.float32))
    np.testing.assert_array_equal(several["predictions"].values, [1, 3])


def test_numbers_beyond_fp32() -> None:
    """A prediction that FP32 does not hold is its largest number."""
    found = outputs(NUMERIC, np.array([1e300, -1e300]))["predictions"].values
    limit = np.finfo(np.float32).max
    np.testing.assert_array_equal(found, [limit, -limit])
