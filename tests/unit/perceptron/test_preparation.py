"""From a table and a request to rows to train on, and back to the target's own unit."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from perceptron.datasets import in_request
from perceptron.frames import Frame, booleans, categories, numbers
from perceptron.inference import forward
from perceptron.initialisation import initial_layers
from perceptron.preparation import (
    Outline,
    Prepared,
    Source,
    finish,
    outline,
    prepare,
)
from schemas.errors import InvalidField
from schemas.job import JobRequest
from schemas.network import Task
from schemas.training import RowCounts

GAP: Any = np.nan
FRAME = Frame(
    (
        numbers("age", [20, 30, GAP, 50, 60, 70]),
        categories("town", ["Ulm", "Bonn", "Ulm", None, "Bonn", "Ulm"]),
        booleans("smokes", [True, False, True, True, False, False]),
        categories("note", list("abcdef"), "text"),
        numbers("price", [1.5, 2.5, 3, 4, GAP, 6]),
        categories("species", ["s", "v", "s", "v", "s", "v"]),
    )
)


def _request(**fields: Any) -> JobRequest:
    return JobRequest.model_validate_json(json.dumps({"dataset": "mine", **fields}))


def _prepare(frame: Frame = FRAME, target: str = "species", **fields: Any) -> Prepared:
    return prepare(_request(**fields), Source(frame, "mine", target, is_standardised=True))


def _outline(frame: Frame = FRAME, target: str = "species", **fields: Any) -> Outline:
    return outline(_request(**fields), frame.summaries(), frame.rows, target)


def _target(values: Any) -> Frame:
    """Make a table with this target."""
    rows = len(values)
    if isinstance(values[0], str):
        goal = categories("y", values)
    elif isinstance(values[0], bool):
        goal = booleans("y", values)
    else:
        goal = numbers("y", values)
    return Frame((numbers("x", np.arange(rows)), goal))


def test_what_a_job_comes_to() -> None:
    """All columns but text and the target are features; categories take a place each."""
    assert _outline() == ("binary", "species", ("age", "town", "smokes", "price"), 6, 1, 6)
    assert _outline(target="price").rows == 5
    chosen = _outline(target="price", features=["town", "age"])
    assert chosen == ("regression", "price", ("town", "age"), 4, 1, 5)
    several = _outline(_target(["a", "b", "c"] * 2), "y")
    assert (several.task, several.outputs) == ("multiclass", 3)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([0, 1, 1, 0], "binary", (0, 1)),
        ([1, 1, 1, 1], "binary", (0, 1)),
        ([0, 1], "binary", (0, 1)),
        ([2.5, -1, 2.5], "binary", (-1, 2.5)),
        ([True, False], "binary", (False, True)),
        ([True, True], "binary", (False, True)),
        (["no", "yes"], "binary", ("no", "yes")),
        (["c", "a", "b"] * 2, "multiclass", ("a", "b", "c")),
        ([3, -1, 2] * 2, "multiclass", (-1, 2, 3)),
        ([3, 1, 2, 3, 1], "regression", None),
        ([1, 2.5, 3] * 2, "regression", None),
        (list(range(21)) * 3, "regression", None),
        (list(range(20)) * 2, "multiclass", tuple(range(20))),
        (list(range(20)) + [0] * 19, "regression", None),
        ([5, 7], "binary", (5, 7)),
        ([1e300, 2, 3] * 3, "regression", None),
    ],
)
def test_tasks_are_inferred(values: Any, task: Task, classes: Any) -> None:
    """Two values are binary, categories and few whole numbers multiclass, others regression."""
    prepared = _prepare(_target(values), "y")
    assert prepared.train.task == task
    assert prepared.preprocessing.target.classes == classes
    assert [type(label) for label in prepared.preprocessing.target.classes or ()] == [
        type(label) for label in classes or ()
    ]


def test_targets_are_class_numbers() -> None:
    """Classes are numbered in their order; a table of one truth value has the other one too."""
    assert _prepare().train.targets.tolist() == [0, 1, 0, 1, 0, 1]
    assert _prepare(_target([7, 3, 3]), "y").train.targets.tolist() == [1, 0, 0]
    assert _prepare(_target([True, True]), "y").train.targets.tolist() == [1, 1]
    assert _prepare(_target([0, 0]), "y").train.targets.tolist() == [0, 0]
    several = _prepare(_target(["b", "c", "a", "a", "b", "c"]), "y").train
    assert several.targets.tolist() == [1, 2, 0, 0, 1, 2]
    assert (several.classes, several.outputs) == (3, 3)
    assert several.targets.dtype == np.float32


def test_rows_without_a_target_are_left_out() -> None:
    """What has no target is not trained on; how many they are is said."""
    prepared = _prepare(target="price", features=["age"])
    assert len(prepared.train.targets) == 5
    counts = RowCounts(train=5, validation=0, test=0, without_target=FRAME.rows - 5)
    assert prepared.row_counts == counts
    assert counts.without_target > 0
    age = prepared.preprocessing.features[0]
    assert age.kind == "numeric"
    assert age.mean == pytest.approx((20 + 30 + 50 + 70) / 4)


@pytest.mark.parametrize(
    ("fields", "at", "message"),
    [
        ({"target": "weight"}, ("target",), "there is no column 'weight'"),
        ({"target": "note"}, ("target",), "'note' holds free text"),
        ({"task": "regression"}, ("task",), "'species' holds no numbers"),
        ({"target": "town", "features": ["town"]}, ("features", 0), "'town' is the target"),
        ({"features": ["age", "weight"]}, ("features", 1), "there is no column 'weight'"),
        ({"features": ["age", "age"]}, ("features", 1), "'age' repeats"),
        ({"features": ["note"]}, ("features", 0), "'note' holds free text"),
        ({"target": "price", "task": "binary"}, ("task",), "5 different values, not two"),
        ({"target": "price", "task": "multiclass"}, ("task",), "a regression may suit it"),
        (
            {"target": "price", "training": {"class_weights": "balanced"}},
            ("training", "class_weights"),
            "a regression has no classes",
        ),
        (
            {"training": {"class_weights": {"s": 1, "w": 2}}},
            ("training", "class_weights", "w"),
            "there is no class 'w', but s, v",
        ),
        (
            {"training": {"validation_fraction": 0.01}},
            ("training", "validation_fraction"),
            "0.01 of 6 rows leaves no row for validation",
        ),
        (
            {"training": {"test_fraction": 0.95}},
            ("training", "test_fraction"),
            "0.95 of 6 rows leaves no row for training",
        ),
        (
            {"training": {"validation_fraction": 0.5, "test_fraction": 0.45}},
            ("training", "test_fraction"),
            "leave none to train on",
        ),
        (
            {"preprocessing": {"missing": {"weight": "zero"}}},
            ("preprocessing", "missing", "weight"),
            "'weight' is no feature",
        ),
        (
            {"preprocessing": {"derived": [{"function": "square", "of": ["weight"]}]}},
            ("preprocessing", "derived", 0, "of", 0),
            "'weight' is no feature",
        ),
        (
            {"preprocessing": {"derived": [{"function": "product", "of": ["age", "town"]}]}},
            ("preprocessing", "derived", 0, "of", 1),
            "'town' is categorical: no number",
        ),
        (
            {"preprocessing": {"derived": 2 * [{"function": "sine", "of": ["age"]}]}},
            ("preprocessing", "derived", 1),
            r"sin\(π age\) repeats",
        ),
        (
            {
                "preprocessing": {
                    "derived": [
                        {"function": "product", "of": ["age", "price"]},
                        {"function": "product", "of": ["price", "age"]},
                    ]
                }
            },
            ("preprocessing", "derived", 1),
            "price · age repeats",
        ),
        (
            {"preprocessing": {"missing": {"town": "zero"}}},
            ("preprocessing", "missing", "town"),
            "'zero' does not suit the categorical column 'town'",
        ),
        (
            {"preprocessing": {"missing": {"age": "error"}}},
            ("preprocessing", "missing", "age"),
            "rows without a value of 'age': 1",
        ),
        (
            {"preprocessing": {"numeric_missing": "error"}},
            ("preprocessing", "numeric_missing"),
            "rows without a value of 'age': 1",
        ),
    ],
)
def test_requests_that_the_table_cannot_serve(
    fields: Any, at: tuple[Any, ...], message: str
) -> None:
    """Each is refused where it is to blame, by the summaries alone as by the rows."""
    for check in (_outline, _prepare):
        with pytest.raises(InvalidField, match=message) as caught:
            check(**fields)
        assert caught.value.at == at


@pytest.mark.parametrize(
    ("frame", "at", "message"),
    [
        (_target([7, 7, 7]), ("target",), "every row of 'y' is the same"),
        (_target(["a", "a", "a"]), ("target",), "every row of 'y' is the same"),
        (_target([1.0]), ("dataset",), "rows with a value of 'y': 1, and at least 2"),
        (_target([1, GAP, GAP]), ("target",), "rows with a value of 'y': 1"),
        (_target([GAP, GAP]), ("target",), "rows with a value of 'y': 0"),
        (_target(["a", "b", "c"]), ("target",), "3 classes in 3 rows"),
        (Frame((numbers("y", [0, 1]),)), ("dataset",), "no column to predict 'y' from"),
        (
            Frame((numbers("e", [GAP, GAP]), numbers("y", [0, 1]))),
            ("dataset",),
            "no row has a value of 'e': leave it out of `features`",
        ),
        (
            Frame((categories("e", ["a", "b"], "text"), numbers("y", [0, 1]))),
            ("dataset",),
            "no column to predict 'y' from",
        ),
    ],
)
def test_tables_that_cannot_be_learned(frame: Frame, at: Any, message: str) -> None:
    """A constant target, too few rows, and columns without a value are refused."""
    with pytest.raises(InvalidField, match=message) as caught:
        _prepare(frame, "y")
    assert caught.value.at == at


def test_a_thousand_classes_are_enough() -> None:
    """A table of categories may have a thousand classes, and no more."""
    texts = [f"{number:04}" for number in range(1_001)]
    assert _outline(_target(texts[:1_000] * 2), "y").outputs == 1_000
    with pytest.raises(InvalidField, match="1001 classes in 2002 rows"):
        _outline(_target(texts * 2), "y")


def test_statistics_are_those_of_the_training_rows() -> None:
    """What validates and what tests is scaled by the training rows' mean and deviation."""
    random = np.random.default_rng(0)
    values = random.normal(5, 3, (100, 2))
    frame = Frame((numbers("x", values[:, 0]), numbers("y", values[:, 1])))
    prepared = _prepare(frame, "y", training={"validation_fraction": 0.2, "test_fraction": 0.3})
    train, valid, test = prepared.train, prepared.valid, prepared.test
    assert valid is not None
    assert test is not None
    assert (len(train.targets), len(valid.targets), len(test.targets)) == (50, 20, 30)
    for column in (train.features[:, 0], train.targets):
        assert column.mean() == pytest.approx(0, abs=1e-6)
        assert column.std() == pytest.approx(1, abs=1e-6)
    feature = prepared.preprocessing.features[0]
    assert feature.kind == "numeric"
    restored = np.concatenate([part.features[:, 0] for part in (train, valid, test)])
    np.testing.assert_allclose(
        np.sort(restored * feature.scale + feature.mean), np.sort(values[:, 0]), rtol=1e-5
    )
    unit = valid.targets * prepared.target_scale + prepared.target_mean
    assert set(np.round(unit, 4)) <= set(np.round(values[:, 1], 4).astype(np.float32))


def test_truth_tables_and_inline_rows_stay_as_they_are() -> None:
    """XOR is trained on as 0 and 1, unless a job asks for scaling."""
    xor = in_request("xor")
    assert xor is not None
    prepared = prepare(JobRequest(dataset="xor"), xor)
    assert prepared.train.features.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert prepared.train.targets.tolist() == [0, 1, 1, 0]
    assert (prepared.train.name, prepared.train.feature_names) == ("xor", ("x1", "x2"))
    assert (prepared.target_mean, prepared.target_scale) == (0, 1)
    assert prepared.sha256 == xor.frame.sha256
    scaled = prepare(_request(dataset="xor", preprocessing={"standardise": True}), xor)
    assert scaled.train.features.tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]


def test_unseen_categories_may_be_kept_out() -> None:
    """With `unknown_categories: error`, rows that are kept out may have a category of their own."""
    frame = Frame((categories("c", [f"{row:02}" for row in range(20)]), numbers("y", [0, 1] * 10)))
    prepared = _prepare(
        frame,
        "y",
        training={"validation_fraction": 0.25},
        preprocessing={"unknown_categories": "error"},
    )
    assert prepared.valid is not None
    assert not prepared.valid.features.any()
    assert prepared.train.features.sum() == 15
    assert prepared.preprocessing.features[0].unknown == "error"  # type: ignore[union-attr]


def test_numbers_beyond_floats_are_pointed_at() -> None:
    """Unscaled, a number that 32 bits cannot hold is refused; scaled it can be learned."""
    frame = Frame((numbers("x", [0, 1e300, 2e300]), numbers("y", [0, 1, 0])))
    with pytest.raises(InvalidField, match=r"row 2: 'x' is beyond the range") as caught:
        _prepare(frame, "y", preprocessing={"standardise": False})
    assert caught.value.at == ("dataset",)
    assert np.isfinite(_prepare(frame, "y").train.features).all()
    goals = Frame((numbers("x", [0, 1, 2]), numbers("y", [0, 1.5, 1e300])))
    with pytest.raises(InvalidField, match="row 3: the target is beyond") as caught:
        _prepare(goals, "y", preprocessing={"standardise": False})
    assert caught.value.at == ("target",)


# Weights and units


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    """A row's weight is that of its class as scikit-learn balances them, in training only."""
    texts = ["a"] * 12 + ["b"] * 6 + ["c"] * 2
    prepared = _prepare(
        _target(texts),
        "y",
        training={"class_weights": "balanced", "validation_fraction": 0.3},
    )
    train = prepared.train
    of_class = compute_class_weight("balanced", classes=np.arange(3), y=train.targets)
    assert train.weights is not None
    np.testing.assert_allclose(train.weights, of_class[train.targets.astype(int)], rtol=1e-6)
    assert train.weights.mean() == pytest.approx(1)
    assert prepared.valid is not None
    assert prepared.valid.weights is None


def test_weights_by_name() -> None:
    """A class counts as asked for, others 1, scaled to a mean of 1."""
    weights = _prepare(_target([True, False, False]), "y", training={"class_weights": {"true": 4}})
    assert weights.train.weights is not None
    np.testing.assert_allclose(weights.train.weights, [2, 0.5, 0.5])
    many = [float(number) for number in range(30)] * 2
    for name in ("29", "30"):
        fields: Any = {"task": "multiclass", "training": {"class_weights": {name: 2}}}
        if name == "29":
            assert _prepare(_target(many), "y", **fields).train.weights is not None
        else:
            with pytest.raises(InvalidField, match=r"no class '30', but 0, 1, .*…"):
                _prepare(_target(many), "y", **fields)


@pytest.mark.parametrize("values", [[3, 4.5, 8, 1], [1e9, 1e9 + 1, 1e9 + 2], [1e300, 3e300, 0]])
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_finished_layers_answer_in_the_targets_unit(values: Any, hidden: Any) -> None:
    """A network of the scaled target becomes one of the target, near or far from 0."""
    prepared = _prepare(_target(values), "y", task="regression")
    layers = initial_layers((1, *hidden, 1), "tanh", 3)
    raw = (*layers[:-1], layers[-1]._replace(activation="identity"))
    scaled = forward(raw, prepared.train.features).astype(np.float64)
    expected = scaled * prepared.target_scale + prepared.target_mean
    found = forward(finish(prepared, raw), prepared.train.features)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5 * prepared.target_scale)


def test_finished_classifiers_are_as_trained() -> None:
    """Nothing is changed where no target was scaled."""
    layers = initial_layers((6, 1), "tanh", 3)
    assert finish(_prepare(), layers) is layers
