"""What a model answers over a plane, against sums by hand and the rows of the table."""

import numpy as np
import pytest

from perceptron.frames import Frame, booleans, categories, numbers
from perceptron.gates import BUILT_IN_MODELS
from perceptron.layers import Layer
from perceptron.regions import MOST_POINTS, Rows, chosen_axes, region
from schemas.errors import InvalidField
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    DerivedInput,
    NumericFeature,
    Preprocessing,
    Target,
    numbers_as_they_are,
)
from schemas.training import Importance, TrainingConfig

TWO = numbers_as_they_are(("x1", "x2"))
MIXED = Preprocessing(
    features=(
        NumericFeature(name="age", mean=40, scale=10, fill=40),
        CategoricalFeature(
            name="city",
            categories=("Busan", "Seoul"),
            missing="zeros",
            unknown="ignore",
        ),
        BooleanFeature(name="member", fill=0.5),
    ),
    target=Target(name="buys", task="binary", classes=("no", "yes")),
)
MIXED_LAYERS = (Layer(np.array([[1.0, 2.0, -3.0, 0.5]]), np.array([0.25]), "sigmoid"),)
TABLE = Frame(
    (
        numbers("age", [30, 50, np.nan, 70, 20]),
        categories("city", ["Seoul", "Seoul", "Busan", None, "Busan"]),
        booleans("member", [True, True, False, True, None]),
        categories("buys", ["no", "yes", "yes", None, "no"]),
    )
)


def _sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


def test_a_gate_has_its_line() -> None:
    """AND answers 1 exactly where 0.5 x1 + 0.5 x2 is over 0.7, all over the plane."""
    found = region(TWO, BUILT_IN_MODELS["and"], ("x1", "x2"), None)
    assert found.y is not None
    x, y = np.meshgrid(found.x.places, found.y.places)
    inputs = np.asarray([x, y], np.float32).astype(np.float64)
    np.testing.assert_array_equal(found.outputs, 0.5 * inputs[0] + 0.5 * inputs[1] - 0.7 > 0)
    assert (found.x.places[0], found.x.places[-1]) == pytest.approx((-0.12, 1.12))
    assert found.points is None
    assert found.others == {}


def test_axes_of_categories_and_truths() -> None:
    """One place for each category and truth; a number stays at the mean of the training rows."""
    found = region(MIXED, MIXED_LAYERS, ("city", "member"), Rows(TABLE, None))
    assert found.y is not None
    assert (found.x.cells, found.y.cells) == (("Busan", "Seoul"), (False, True))
    assert found.others == {"age": pytest.approx(100 / 3)}  # the row without a target is no row
    age = (100 / 3 - 40) / 10
    expected = [
        [_sigmoid(age + city + 0.5 * member + 0.25) for city in (2, -3)] for member in (0, 1)
    ]
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-5)


def test_what_is_usual() -> None:
    """Without the table it is what preprocessing has learned, with it the most frequent value."""
    without = region(MIXED, MIXED_LAYERS, ("age", None), None)
    assert without.others == {"city": "Busan", "member": False}
    assert (without.x.places[0], without.x.places[-1]) == pytest.approx((15.2, 64.8))
    rows = Frame((*TABLE.columns[:3], categories("buys", ["no", "yes", None, None, None])))
    within = region(MIXED, MIXED_LAYERS, ("age", None), Rows(rows, None))
    assert within.others == {"city": "Seoul", "member": True}
    assert within.outputs.shape == (1, len(within.x.places))


def test_rows_on_the_plane() -> None:
    """Rows with a target lie at their values, those of a category beside its place."""
    found = region(MIXED, MIXED_LAYERS, ("age", "city"), Rows(TABLE, None)).points
    assert found is not None
    assert found.x.tolist() == [30, 50, 20]  # the third has no age, the fourth no target
    assert found.numbers.tolist() == [0, 1, 0]
    assert found.parts.tolist() == [0, 0, 0]
    assert np.abs(found.y - [1, 1, 0]).max() <= 0.3


def test_parts_are_those_of_training() -> None:
    """Rows that were kept out of training are told apart, and are not what is usual."""
    count = 50
    target = numbers("y", [float(row % 2) for row in range(count)])
    rows = Frame((numbers("x1", np.arange(count)), numbers("x2", np.ones(count)), target))
    training = TrainingConfig(validation_fraction=0.2, test_fraction=0.1, seed=3)
    found = region(TWO, BUILT_IN_MODELS["or"], ("x2", None), Rows(rows, training))
    assert found.points is not None
    assert np.bincount(found.points.parts).tolist() == [35, 10, 5]
    kept_out = np.flatnonzero(found.points.parts)
    trained = np.delete(np.arange(count), kept_out)
    assert found.others == {"x1": pytest.approx(trained.mean())}


def test_many_rows_are_drawn_from() -> None:
    """Of more rows than are shown a sample is, the same one each time."""
    count = MOST_POINTS * 3
    values = np.linspace(0, 1, count)
    rows = Frame((numbers("x1", values), numbers("x2", values), numbers("y", values.round())))
    first, second = (
        region(TWO, BUILT_IN_MODELS["or"], ("x1", "x2"), Rows(rows, None)).points for _ in range(2)
    )
    assert first is not None
    assert second is not None
    assert (len(first.x), first.of) == (MOST_POINTS, count)
    np.testing.assert_array_equal(first.x, second.x)


def test_several_classes_and_numbers() -> None:
    """Softmax gives a number for each class; of a regression the values are kept."""
    target = Target(name="kind", task="multiclass", classes=("a", "b", "c"))
    several = TWO.model_copy(update={"target": target})
    layers = (Layer(np.eye(3, 2), np.zeros(3), "softmax"),)
    found = region(several, layers, ("x1", "x2"), None)
    np.testing.assert_allclose(found.outputs.sum(axis=-1), 1, rtol=1e-6)
    number = TWO.model_copy(
        update={"target": Target(name="price", task="regression", classes=None)}
    )
    line = (Layer(np.array([[2.0, 3.0]]), np.array([1.0]), "identity"),)
    rows = Frame((numbers("x1", [0, 2]), numbers("x2", [5, 7]), numbers("price", [16, np.nan])))
    found = region(number, line, ("x1", None), Rows(rows, None))
    np.testing.assert_allclose(found.outputs[0], 2 * found.x.places + 16, rtol=1e-6)
    assert found.points is not None
    assert (found.points.x.tolist(), found.points.y.tolist()) == ([0], [16])


def test_large_networks_have_fewer_places() -> None:
    """The plane gets coarser where each place costs more."""
    wide = 2_000
    layers = (
        Layer(np.ones((wide, 2), np.float32), np.zeros(wide, np.float32), "relu"),
        Layer(np.ones((wide, wide), np.float32), np.zeros(wide, np.float32), "relu"),
        Layer(np.ones((1, wide), np.float32), np.zeros(1, np.float32), "sigmoid"),
    )
    assert region(TWO, layers, ("x1", "x2"), None).outputs.shape == (40, 40)


IMPORTANCE = (
    Importance(feature="city", mean=0.5, standard_deviation=0),
    Importance(feature="member", mean=0.7, standard_deviation=0),
    Importance(feature="age", mean=0.1, standard_deviation=0),
)


@pytest.mark.parametrize(
    ("asked", "axes"),
    [
        ((None, None), ("city", "member")),
        (("age", None), ("age", "member")),
        ((None, "member"), ("city", "member")),
        (("member", "age"), ("member", "age")),
    ],
)
def test_axes_are_the_most_important(
    asked: tuple[str | None, str | None], axes: tuple[str, str]
) -> None:
    """What is not asked for is the most important feature that is left."""
    assert chosen_axes(MIXED, IMPORTANCE, *asked) == axes


def test_axes_that_cannot_be() -> None:
    """An unknown feature, the same one twice, and a second axis where there is one feature."""
    for x, y, parameter in (("size", None, "x"), (None, "size", "y"), ("age", "age", "y")):
        with pytest.raises(InvalidField) as found:
            chosen_axes(MIXED, IMPORTANCE, x, y)
        assert found.value.parameter == parameter
    one = numbers_as_they_are(("x",))
    assert chosen_axes(one, (), None, None) == ("x", None)
    with pytest.raises(InvalidField) as found:
        chosen_axes(one, (), None, "x")
    assert found.value.parameter == "y"


def test_derived_inputs_vary_with_their_features() -> None:
    """A unit of two squares answers a circle, all over the plane."""
    derived = tuple(DerivedInput(function="square", of=(name,)) for name in ("x1", "x2"))
    circle = (Layer(np.array([[0.0, 0.0, -4.0, -4.0]]), np.array([1.0]), "sigmoid"),)
    found = region(TWO.model_copy(update={"derived": derived}), circle, ("x1", "x2"), None)
    assert found.y is not None
    x, y = np.meshgrid(found.x.places, found.y.places)
    expected = 1 / (1 + np.exp(4 * x**2 + 4 * y**2 - 1))
    np.testing.assert_allclose(found.outputs, expected, atol=1e-6)
