"""The ONNX file answers as the service does: against the service's path, PyTorch, scikit-learn."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from perceptron.export import to_onnx
from perceptron.gates import BUILT_IN_MODELS, NAMED_TABLES
from perceptron.inference import forward
from perceptron.layers import Layer, Layers
from perceptron.preprocessing import Answers, answers, encode_rows
from schemas.dataset import Cell
from schemas.errors import InvalidField
from schemas.network import OUTPUT_ACTIVATIONS, LayerActivation, Task
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    DerivedInput,
    Feature,
    Label,
    NumericFeature,
    Preprocessing,
    Target,
    numbers_as_they_are,
)
from tests.unit.perceptron.pytorch import MODULES

TOLERANCE = 1e-5
HIDDEN: Mapping[str, Any] = {**MODULES, "step": lambda z: (z > 0).to(z.dtype)}
OUTPUTS: Mapping[Task, Any] = {
    "binary": torch.nn.Sigmoid(),
    "multiclass": torch.nn.Softmax(dim=1),
    "regression": torch.nn.Identity(),
}
TASKS: tuple[Task, ...] = get_args(Task)
CLASSES: Mapping[Task, tuple[Label, ...] | None] = {
    "binary": ("no", "yes"),
    "multiclass": (3, 5, 8),
    "regression": None,
}
Rows = Sequence[Sequence[Cell]]


class Exported:
    """A model's ONNX file, valid by ONNX's own checker, in ONNX Runtime."""

    def __init__(self, preprocessing: Preprocessing, layers: Layers) -> None:
        self.data = to_onnx(preprocessing, layers, "model", 7)
        self.model = onnx.load_from_string(self.data)
        onnx.checker.check_model(self.model, full_check=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what is refused is told by the error too
        cpu = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(self.data, options, providers=cpu)
        self.types = {item.name: item.type for item in self.session.get_inputs()}

    def __call__(self, rows: Rows) -> dict[str, Any]:
        """Answer rows of cells; None: missing."""
        return self.run(self.feed(rows))

    def run(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """Answer tensors."""
        names = [item.name for item in self.session.get_outputs()]
        return dict(zip(names, self.session.run(None, dict(feed)), strict=True))

    def feed(self, rows: Rows) -> dict[str, Any]:
        """Bring rows of cells into the tensors that the file asks for."""
        if list(self.types) == ["inputs"] and self.types["inputs"] != "tensor(string)":
            return {"inputs": _tensor([list(row) for row in rows], self.types["inputs"])}
        columns = zip(self.types.items(), zip(*rows, strict=True), strict=True)
        return {name: _tensor([[cell] for cell in cells], kind) for (name, kind), cells in columns}


def _tensor(cells: Any, kind: str) -> Any:
    if kind == "tensor(string)":
        return np.array([["" if cell is None else cell for cell in row] for row in cells], object)
    return np.array(cells, np.float64).astype({"tensor(float)": "f4", "tensor(double)": "f8"}[kind])


def _served(preprocessing: Preprocessing, layers: Layers, rows: Rows) -> Answers:
    return answers(preprocessing.target, forward(layers, encode_rows(preprocessing, rows)))


def _assert_same(found: Mapping[str, Any], served: Answers) -> None:
    """The probabilities are the same, and so are the labels where no rounding can turn them."""
    if served.probabilities is None:
        assert set(found) == {"predictions"}
        numbers = np.array(served.predictions, float)
        scale = max(1.0, np.abs(numbers).max())
        np.testing.assert_allclose(found["predictions"], numbers, rtol=0, atol=TOLERANCE * scale)
        return
    expected = np.array(served.probabilities)
    np.testing.assert_allclose(found["probabilities"], expected, rtol=0, atol=TOLERANCE)
    best = np.sort(expected, axis=-1)
    gap = np.abs(expected - 0.5) if expected.ndim == 1 else best[:, -1] - best[:, -2]
    clear = gap > 2 * TOLERANCE
    assert (found["predictions"][clear] == np.array(served.predictions)[clear]).all()


# Models and rows of every kind

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=9)
FILLS = st.none() | st.floats(-100, 100)
NUMERIC = st.builds(
    NumericFeature,
    name=st.just(""),
    mean=st.floats(-1e6, 1e6) | st.just(0.0),
    scale=st.floats(1e-2, 1e3) | st.just(1.0),
    fill=FILLS,
)
BOOLEAN = st.builds(BooleanFeature, name=st.just(""), fill=st.sampled_from([None, 0.0, 0.5, 1.0]))


@st.composite
def _categorical(draw: st.DrawFn) -> CategoricalFeature:
    categories = tuple(sorted(draw(st.sets(NAMES, min_size=1, max_size=5))))
    missing = draw(st.sampled_from(["place", "zeros", "fill", "error"]))
    return CategoricalFeature(
        name="",
        categories=categories,
        missing=missing,
        fill=draw(st.sampled_from(categories)) if missing == "fill" else None,
        unknown=draw(st.sampled_from(["ignore", "error"])),
    )


FEATURES: Mapping[str, st.SearchStrategy[Feature]] = {
    "numbers": NUMERIC,
    "booleans": BOOLEAN,
    "categories": _categorical(),
    "mixed": NUMERIC | BOOLEAN | _categorical(),
}


@st.composite
def _cell(draw: st.DrawFn, feature: Feature) -> Cell:
    """Draw a value that the feature takes, as exact as its tensor is."""
    if feature.kind == "categorical":
        known = st.sampled_from(feature.categories)
        unknown = NAMES if feature.unknown == "ignore" else st.nothing()
        missing = st.none() if feature.missing != "error" else st.nothing()
        return draw(known | unknown | missing)
    missing = st.none() if feature.fill is not None else st.nothing()
    if feature.kind == "boolean":
        return draw(st.booleans() | missing)
    deviations = draw(st.floats(-3, 3) | missing)
    if deviations is None:
        return None
    value = feature.mean + feature.scale * deviations
    is_wide = abs(feature.mean) > 1_000 * feature.scale
    return value if is_wide else float(np.float32(value))


@st.composite
def _derived(draw: st.DrawFn, operands: list[str]) -> tuple[DerivedInput, ...]:
    """Draw squares and sines, and products where there are two to multiply."""
    name = st.sampled_from(operands)
    functions = ["square", "sine", "product"][: 2 + (len(operands) > 1)]
    found = []
    for function in draw(st.lists(st.sampled_from(functions), max_size=3)):
        two = st.lists(name, min_size=2, max_size=2, unique=True)
        of = draw(two) if function == "product" else [draw(name)]
        found.append(DerivedInput.model_validate({"function": function, "of": tuple(of)}))
    return tuple(found)


@st.composite
def _models(draw: st.DrawFn, kinds: str, task: Task) -> tuple[Preprocessing, tuple[int, ...], Rows]:
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    features = tuple(draw(FEATURES[kinds]).model_copy(update={"name": name}) for name in names)
    target = Target(name="y", task=task, classes=CLASSES[task])
    operands = [feature.name for feature in features if feature.kind != "categorical"]
    derived = draw(_derived(operands)) if operands else ()
    preprocessing = Preprocessing(features=features, derived=derived, target=target)
    hidden = draw(st.lists(st.integers(1, 6), max_size=3))
    rows = draw(st.lists(st.tuples(*map(_cell, features)), min_size=1, max_size=5))
    return preprocessing, (preprocessing.width, *hidden, target.outputs), rows


def _layers(widths: Sequence[int], activation: str, task: Task, seed: int) -> Layers:
    random = np.random.default_rng(seed)
    last = len(widths) - 2
    return tuple(
        Layer(
            (random.uniform(-2, 2, (outputs, inputs)) / np.sqrt(inputs)).astype(np.float32),
            random.uniform(-1, 1, outputs).astype(np.float32),
            OUTPUT_ACTIVATIONS[task] if index == last else activation,  # type: ignore[arg-type]
        )
        for index, (inputs, outputs) in enumerate(pairwise(widths))
    )


@pytest.mark.parametrize("kinds", FEATURES)
@pytest.mark.parametrize(("task", "activation"), list(product(TASKS, HIDDEN)))
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=12)
def test_the_file_answers_as_the_service_does(
    kinds: str, task: Task, activation: str, data: st.DataObject, seed: int
) -> None:
    """Every activation, task and kind of feature: a valid file, and the service's answers."""
    preprocessing, widths, rows = data.draw(_models(kinds, task))
    layers = _layers(widths, activation, task, seed)
    if activation == "step":
        assume(_is_off_the_edge(layers, encode_rows(preprocessing, rows)))
    _assert_same(Exported(preprocessing, layers)(rows), _served(preprocessing, layers, rows))


def _is_off_the_edge(layers: Layers, values: Any) -> bool:
    """Whether no unit's sum is so near to 0 that rounding may move it over the step."""
    for layer in layers[:-1]:
        z = values @ layer.weight.T + layer.bias
        if np.abs(z).min() < TOLERANCE:
            return False
        values = z > 0
    return True


# Against other people's arithmetic


@pytest.mark.parametrize(("task", "activation"), list(product(TASKS, HIDDEN)))
def test_the_network_is_that_of_pytorch(task: Task, activation: str) -> None:
    """Numbers that are taken as they are give the outputs of the same network in PyTorch."""
    layers = _layers((4, 7, 5, 3 if task == "multiclass" else 1), activation, task, seed=3)
    preprocessing = numbers_as_they_are(tuple("abcd")).model_copy(
        update={"target": Target(name="y", task=task, classes=CLASSES[task])}
    )
    rows = np.random.default_rng(5).normal(size=(50, 4)).astype(np.float32)
    values = torch.tensor(rows, dtype=torch.float64)
    for index, layer in enumerate(layers):
        z = values @ torch.tensor(layer.weight).double().T + torch.tensor(layer.bias).double()
        values = HIDDEN[activation](z) if index < 2 else OUTPUTS[task](z)
    expected = values.numpy() if task == "multiclass" else values.numpy()[:, 0]
    found = Exported(preprocessing, layers).run({"inputs": rows})
    output = "predictions" if task == "regression" else "probabilities"
    np.testing.assert_allclose(found[output], expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_the_whole_is_that_of_scikit_learn() -> None:
    """Filling, standardising, one-hot and network give a scikit-learn pipeline's answers."""
    random = np.random.default_rng(11)
    height = np.where(random.random(300) < 0.2, np.nan, random.normal(170, 9, 300))
    colour = random.choice(["red", "green", "blue"], 300).astype(object)
    kind = random.choice(["small", "large", "none"], 300)
    table = np.array(list(zip(height, colour, strict=True)), object)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("n", numbers, [0]), ("c", encoder, [1])])
    network = MLPClassifier((6,), activation="tanh", max_iter=40, random_state=0)
    theirs = make_pipeline(columns, network)
    with pytest.warns(match="converge"):
        theirs.fit(table, kind)
    imputer, scaler = columns.transformers_[0][1]
    preprocessing = Preprocessing(
        features=(
            NumericFeature(
                name="height",
                mean=float(scaler.mean_[0]),
                scale=float(scaler.scale_[0]),
                fill=float(imputer.statistics_[0]),
            ),
            CategoricalFeature(
                name="colour",
                categories=tuple(columns.transformers_[1][1].categories_[0]),
                missing="zeros",
                unknown="ignore",
            ),
        ),
        target=Target(name="kind", task="multiclass", classes=tuple(network.classes_.tolist())),
    )
    activations: tuple[LayerActivation, ...] = ("tanh", "softmax")
    layers = tuple(
        Layer(weight.T.astype(np.float32), bias.astype(np.float32), activation)
        for weight, bias, activation in zip(
            network.coefs_, network.intercepts_, activations, strict=True
        )
    )
    table[::50, 1] = "a colour that training has not seen"
    found = Exported(preprocessing, layers).run(
        {"height": table[:, :1].astype(np.float32), "colour": table[:, 1:]}
    )
    np.testing.assert_allclose(found["probabilities"], theirs.predict_proba(table), atol=TOLERANCE)
    assert found["predictions"].tolist() == theirs.predict(table).tolist()


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_the_built_in_models_keep_their_truth_tables(name: str) -> None:
    """The gates, whose weights are doubles, answer with their truth tables."""
    table = NAMED_TABLES[name]
    exported = Exported(numbers_as_they_are(("x1", "x2")), BUILT_IN_MODELS[name])
    found = exported.run({"inputs": table.features})
    assert found["predictions"].tolist() == table.targets.tolist()
    assert found["probabilities"].tolist() == table.targets.tolist()


@pytest.mark.parametrize("activation", HIDDEN)
def test_networks_of_doubles(activation: LayerActivation) -> None:
    """Every activation is there for layers of doubles too."""
    layers = tuple(
        layer._replace(weight=layer.weight.astype(float), bias=layer.bias.astype(float))
        for layer in _layers((2, 5, 1), activation, "binary", seed=1)
    )
    rows = np.random.default_rng(2).normal(size=(20, 2)).astype(np.float32)
    found = Exported(numbers_as_they_are(("a", "b")), layers).run({"inputs": rows})
    np.testing.assert_allclose(found["probabilities"], forward(layers, rows), atol=TOLERANCE)


# What goes in

IDENTITY = (Layer(np.ones((1, 1), np.float32), np.zeros(1, np.float32), "identity"),)
NUMBER = Target(name="y", task="regression", classes=None)


def _identity(*features: Feature) -> Preprocessing:
    """Predict one feature's encoding itself."""
    return Preprocessing(features=features, target=NUMBER)


def _weighing(width: int) -> Layers:
    """Add the encoding's places up, each weighed by 10, 100, …: so that each can be told."""
    weight = 10.0 ** np.arange(1, width + 1, dtype=np.float32)
    return (Layer(weight[None], np.zeros(1, np.float32), "identity"),)


def test_numbers_are_one_matrix() -> None:
    """Without categories there is one input, a matrix of floats in the order of the features."""
    features = (NumericFeature(name="a"), BooleanFeature(name="b", fill=0.5))
    exported = Exported(_identity(*features), _weighing(2))
    (found,) = exported.session.get_inputs()
    assert (found.name, found.type, found.shape) == ("inputs", "tensor(float)", ["N", 2])
    assert exported([(3, True), (4, None)])["predictions"].tolist() == [130, 90]


def test_with_categories_each_feature_is_an_input() -> None:
    """One category is enough for inputs by the features' names, in their order."""
    features = (
        NumericFeature(name="a"),
        CategoricalFeature(name="내용", categories=("x", "y"), missing="zeros", unknown="ignore"),
        BooleanFeature(name="c"),
    )
    exported = Exported(_identity(*features), _weighing(4))
    found = [(item.name, item.type, item.shape) for item in exported.session.get_inputs()]
    kinds = ("float", "string", "float")
    names = ("a", "내용", "c")
    assert found == [
        (name, f"tensor({kind})", ["N", 1]) for name, kind in zip(names, kinds, strict=True)
    ]
    assert exported([(2, "y", True)])["predictions"].tolist() == [20 + 1_000 + 10_000]


def test_names_that_are_taken() -> None:
    """A feature named as an output, or as a value inside, keeps its input apart from that."""
    names = ("predictions", "inputs", "layers.0.weight", "Concat", "Gemm")
    features = tuple(
        CategoricalFeature(name=name, categories=("x",), missing="zeros", unknown="ignore")
        for name in names
    )
    exported = Exported(_identity(*features), _weighing(5))
    taken = {"predictions": "predictions_", "inputs": "inputs_"}
    assert list(exported.types) == [taken.get(name, name) for name in names]
    assert exported([("x", "", "x", "", "x")])["predictions"].tolist() == [10 + 1_000 + 100_000]


@pytest.mark.parametrize(
    ("missing", "unknown", "expected"),
    [
        ("place", "ignore", [10, 100, 1_000, 0]),
        ("zeros", "ignore", [10, 100, 0, 0]),
        ("fill", "ignore", [10, 100, 100, 0]),
        ("fill", "error", [10, 100, 100]),
        ("error", "ignore", [10, 100]),
    ],
)
def test_policies_of_categories(missing: Any, unknown: Any, expected: list[float]) -> None:
    """Known, missing and unknown categories become a 1 in the place that their policy says."""
    feature = CategoricalFeature(
        name="c",
        categories=("x", "y"),
        missing=missing,
        fill="y" if missing == "fill" else None,
        unknown=unknown,
    )
    exported = Exported(_identity(feature), _weighing(3 if missing == "place" else 2))
    rows = [("x",), ("y",), ("",), ("z",)][: len(expected)]
    assert exported(rows)["predictions"].tolist() == expected


@pytest.mark.parametrize(
    ("feature", "cell"),
    [
        (NumericFeature(name="a b"), None),
        (NumericFeature(name="a b", mean=3.0, scale=2.0), None),
        (BooleanFeature(name="a b"), None),
        (
            CategoricalFeature(name="a b", categories=("x",), missing="error", unknown="ignore"),
            None,
        ),
        (
            CategoricalFeature(name="a b", categories=("x",), missing="zeros", unknown="error"),
            "z",
        ),
    ],
)
def test_what_the_service_refuses_ends_the_run(feature: Feature, cell: Cell) -> None:
    """A value whose policy is `error` is an error of the runtime, in a node that says so."""
    good: Cell = "x" if feature.kind == "categorical" else 1.0
    rows = [(good,), (cell,)]
    with pytest.raises(InvalidField):
        encode_rows(_identity(feature), rows)
    exported = Exported(_identity(feature), IDENTITY)
    exported(rows[:1])
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="refuse"):
        exported(rows)


def test_numbers_far_from_zero_are_doubles() -> None:
    """Seconds since 1970 apart by seconds, which floats would round to minutes, stay so."""
    feature = NumericFeature(name="at", mean=1_700_000_000.0, scale=1_000.0)
    exported = Exported(_identity(feature), IDENTITY)
    assert exported.types == {"inputs": "tensor(double)"}
    found = exported([(1_700_000_000,), (1_700_000_010,), (1_699_999_000,)])["predictions"]
    np.testing.assert_allclose(found, [0, 0.01, -1], atol=1e-7)


def test_doubles_beside_floats() -> None:
    """Only the feature that needs doubles is one, where each is an input."""
    features = (
        NumericFeature(name="at", mean=1e9, scale=10.0, fill=1e9),
        NumericFeature(name="a", mean=1.0, scale=2.0),
        CategoricalFeature(name="c", categories=("x",), missing="zeros", unknown="ignore"),
    )
    exported = Exported(_identity(*features), _weighing(3))
    assert list(exported.types.values()) == ["tensor(double)", "tensor(float)", "tensor(string)"]
    found = exported([(1e9 + 10, 3, "x"), (None, 1, None)])["predictions"]
    assert found.tolist() == [10 + 100 + 1_000, 0]


def test_numbers_beyond_floats_count_as_the_largest() -> None:
    """A number that standardising makes too large for a float stays finite, as in the service."""
    feature = NumericFeature(name="a", mean=0.0, scale=1e-30, fill=1e300)
    preprocessing = _identity(feature)
    for rows in ([(1e20,), (-1e20,)], [(None,)]):
        found = Exported(preprocessing, IDENTITY)(rows)["predictions"]
        assert found.tolist() == list(_served(preprocessing, IDENTITY, rows).predictions)
        assert np.isfinite(found).all()


def test_no_rows() -> None:
    """No rows are answered with none."""
    layers = _layers((2, 3, 1), "relu", "binary", seed=0)
    found = Exported(numbers_as_they_are(("a", "b")), layers).run(
        {"inputs": np.zeros((0, 2), np.float32)}
    )
    assert (found["predictions"].shape, found["probabilities"].shape) == ((0,), (0,))


# What comes out


@pytest.mark.parametrize(
    ("classes", "kind", "expected"),
    [
        ((0, 1), "tensor(int64)", [1, 0]),
        ((False, True), "tensor(bool)", [True, False]),
        ((0.5, 2), "tensor(double)", [2, 0.5]),
        (("no", "yes"), "tensor(string)", ["yes", "no"]),
        ((2**70, 2**71), "tensor(double)", [2.0**71, 2.0**70]),
        ((1, "one"), "tensor(string)", ["one", "1"]),
    ],
)
def test_labels_are_spelled_as_in_the_table(
    classes: tuple[Label, ...], kind: str, expected: list[Label]
) -> None:
    """The labels have the type that they share, or are all text."""
    target = Target(name="y", task="binary", classes=classes)
    preprocessing = Preprocessing(features=(NumericFeature(name="a"),), target=target)
    exported = Exported(preprocessing, (IDENTITY[0]._replace(activation="sigmoid"),))
    assert exported.session.get_outputs()[0].type == kind
    assert exported([(1,), (-1,)])["predictions"].tolist() == expected


def test_one_half_is_the_first_class() -> None:
    """A probability of exactly one half is not over it, as in the service."""
    preprocessing = numbers_as_they_are(("a",))
    layers = (IDENTITY[0]._replace(activation="sigmoid"),)
    found = Exported(preprocessing, layers)([(0,)])
    assert found["probabilities"].tolist() == [0.5]
    assert found["predictions"].tolist() == list(_served(preprocessing, layers, [(0,)]).predictions)
    assert found["predictions"].tolist() == [0]


def test_the_file_describes_itself() -> None:
    """The preprocessing is in the metadata; the version and who made it are in their fields."""
    preprocessing = numbers_as_they_are(("a", "b"))
    model = Exported(preprocessing, _layers((2, 1), "relu", "binary", seed=0)).model
    told = {item.key: item.value for item in model.metadata_props}
    assert Preprocessing.model_validate_json(told["preprocessing"]) == preprocessing
    assert json.loads(told["preprocessing"])["target"]["classes"] == [0, 1]
    assert (model.model_version, model.producer_name) == (7, "perceptron")
    assert {item.domain: item.version for item in model.opset_import}[""] >= 17


def test_the_same_model_makes_the_same_bytes() -> None:
    """Two exports of one model are equal, so their digest is one."""
    features = (
        NumericFeature(name="a", fill=1.0),
        CategoricalFeature(name="c", categories=("x", "y"), missing="place", unknown="ignore"),
    )
    layers = _layers((4, 3, 1), "gelu", "regression", seed=0)
    assert len({to_onnx(_identity(*features), layers, "model") for _ in range(3)}) == 1
