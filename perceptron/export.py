"""
A model as one ONNX file: its preprocessing, its network and its labels in one graph.

Inputs. A model without categories takes one matrix, `inputs` (N, features). One with categories
takes an input (N, 1) for each feature, named as the feature is. Numbers and booleans (0 or 1) are
floats, or doubles where a float's seven digits would not do, NaN where missing; categories are
strings, empty where missing.

Outputs. `predictions` (N,): labels, or the numbers of a regression. `probabilities`: of the second
class (N,) in binary problems, of every class (N, classes) with several, none in a regression.

A value that the model refuses ends the run: the graph takes an element out of bounds, which ONNX
calls an error, in a node named `refuse…`. Runtimes that do not look go on with NaN for a number
and with none of the categories for a category.
"""

from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from perceptron.frames import FAR_FROM_ZERO
from perceptron.layers import FloatArray, Layers
from perceptron.onnx_nodes import Graph, add_network, onnx_type
from perceptron.preprocessing import places_by_name
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    Feature,
    Label,
    NumericFeature,
    Preprocessing,
    Target,
    feature_width,
)

Number = NumericFeature | BooleanFeature

OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
"""The file format that came with these operators; newer runtimes read it."""

MATRIX, PREDICTIONS, PROBABILITIES = "inputs", "predictions", "probabilities"
MISSING = ""

NO_PLACE, REFUSED = -1, -2
"""Stand for a category that is none of the places, and for one that is refused."""

LARGEST = np.float32(np.finfo(np.float32).max)


def to_onnx(preprocessing: Preprocessing, layers: Layers, name: str, version: int = 1) -> bytes:
    """
    Write a model as ONNX: the same model always makes the same bytes.

    The file's metadata holds the preprocessing as JSON, classes and categories included.
    """
    features = preprocessing.features
    graph = Graph((MATRIX, PREDICTIONS, PROBABILITIES))
    if any(feature.kind == "categorical" for feature in features):
        names = [graph.name(feature.name) for feature in features]
        inputs = [_input(item, name) for item, name in zip(features, names, strict=True)]
        row = _encoded(graph, features, names)
    else:
        numbers = cast(Sequence[Number], features)
        inputs = [_matrix(numbers)]
        row = _numbers(graph, numbers, MATRIX)
    found = add_network(graph, layers, _with_derived(graph, preprocessing, row))
    outputs = _answers(graph, preprocessing.target, found, layers[-1].weight.dtype)
    made = helper.make_graph(graph.nodes, name, inputs, outputs, graph.constants)
    model = _model(made, version)
    helper.set_model_props(model, {"preprocessing": preprocessing.model_dump_json()})
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _model(graph: Any, version: int) -> ModelProto:
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(*item) for item in OPSETS.items()],
        ir_version=IR_VERSION,
        producer_name="perceptron",
        producer_version=version_of("perceptron-service"),
        model_version=version,
    )


# Inputs


def _input(feature: Feature, name: str) -> ValueInfoProto:
    kind = np.str_ if feature.kind == "categorical" else _precision([feature])
    return helper.make_tensor_value_info(name, onnx_type(kind), ["N", 1], f"{feature.kind} feature")


def _matrix(features: Sequence[Number]) -> ValueInfoProto:
    told = "numbers, in the order of the features"
    shape: list[str | int | None] = ["N", len(features)]
    return helper.make_tensor_value_info(MATRIX, onnx_type(_precision(features)), shape, told)


def _precision(features: Sequence[Number]) -> type[np.float32 | np.float64]:
    """Choose the type of the numbers that go into one tensor."""
    wide = any(abs(_mean(feature)) > FAR_FROM_ZERO * _scale(feature) for feature in features)
    return np.float64 if wide else np.float32


def _mean(feature: Number) -> float:
    return feature.mean if feature.kind == "numeric" else 0.0


def _scale(feature: Number) -> float:
    return feature.scale if feature.kind == "numeric" else 1.0


# Preprocessing


def _encoded(graph: Graph, features: Sequence[Feature], names: Sequence[str]) -> str:
    """Encode every feature, neighbouring numbers together. Shape (N, width), float."""
    parts: list[str] = []
    run: list[tuple[Number, str]] = []
    for feature, name in zip(features, names, strict=True):
        if feature.kind != "categorical":
            run.append((feature, name))
            continue
        parts += _run_of_numbers(graph, run)
        run.clear()
        parts.append(_one_hot(graph, feature, name))
    parts += _run_of_numbers(graph, run)
    return _side_by_side(graph, parts)


def _run_of_numbers(graph: Graph, run: Sequence[tuple[Number, str]]) -> list[str]:
    """Encode neighbouring numbers as columns of one tensor, or of none where there are none."""
    features = [feature for feature, _ in run]
    kind = _precision(features)
    columns = [
        name if _precision([feature]) is kind else graph.cast(name, kind) for feature, name in run
    ]
    return [_numbers(graph, features, _side_by_side(graph, columns))] if run else []


def _side_by_side(graph: Graph, parts: Sequence[str]) -> str:
    return graph.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _numbers(graph: Graph, features: Sequence[Number], value: str) -> str:
    """Fill, standardise in doubles, and round to floats. Shapes: (N, features) → the same."""
    means, scales = map(_mean, features), map(_scale, features)
    mean, scale = np.fromiter(means, np.float64), np.fromiter(scales, np.float64)
    standardised = bool(mean.any() or (scale != 1).any())
    kind: type[np.float32 | np.float64] = np.float64 if standardised else np.float32
    missing = graph.node("IsNaN", value)
    if standardised and _precision(features) is np.float32:
        value = graph.cast(value, np.float64)
    refusing = np.array([feature.fill is None for feature in features])
    if not refusing.all():
        fill = graph.constant(_fills(features, kind), "fill")
        value = graph.node("Where", missing, fill, value)
    if standardised:
        value = graph.node("Sub", value, graph.constant(mean, "mean"))
        value = graph.node("Div", value, graph.constant(scale, "scale"))
        bounds = graph.constant(-LARGEST, "lowest"), graph.constant(LARGEST, "highest")
        value = graph.node("Clip", graph.cast(value, np.float32), *bounds)
    if refusing.any():
        refused = graph.node("And", missing, graph.constant(refusing, "refuses"))
        value = graph.node("Add", value, _refuse(graph, refused, "missing_number"))
    return value


def _fills(features: Sequence[Number], kind: type[np.floating[Any]]) -> FloatArray:
    limit = float(np.finfo(kind).max)
    fills = [np.nan if feature.fill is None else feature.fill for feature in features]
    return np.asarray(np.clip(fills, -limit, limit), kind)


def _one_hot(graph: Graph, feature: CategoricalFeature, value: str) -> str:
    """Put a 1 in the category's place. Shapes: (N, 1) strings → (N, places) floats."""
    places = {category: place for place, category in enumerate(feature.categories)}
    unknown = NO_PLACE if feature.unknown == "ignore" else REFUSED
    of_missing = {
        "place": len(places),
        "zeros": NO_PLACE,
        "fill": places.get(feature.fill or MISSING, NO_PLACE),
        "error": REFUSED,
    }
    keys = {**places, MISSING: of_missing[feature.missing]}
    place = graph.node(
        "LabelEncoder",
        value,
        domain="ai.onnx.ml",
        keys_strings=list(keys),
        values_int64s=list(keys.values()),
        default_int64=unknown,
    )
    found = graph.node("Equal", place, graph.constant(np.arange(feature_width(feature)), "places"))
    one_hot = graph.cast(found, np.float32)
    if REFUSED not in (*keys.values(), unknown):
        return one_hot
    refused = graph.node("Equal", place, graph.constant(np.int64(REFUSED), "refused"))
    return graph.node("Add", one_hot, _refuse(graph, refused, f"value_of_{feature.name}"))


def _refuse(graph: Graph, refused: str, what: str) -> str:
    """Give zeros to add where nothing is refused; element 1 of one zero is out of bounds."""
    zero = graph.constant(np.zeros(1, np.float32), "zero")
    element = graph.cast(refused, np.int64)
    return graph.node("Gather", zero, element, output=graph.name(f"refuse_{what}"), axis=0)


def _with_derived(graph: Graph, preprocessing: Preprocessing, row: str) -> str:
    """Put the derived inputs behind the others, computed in doubles. Shapes: → (N, width)."""
    if not preprocessing.derived:
        return row
    places = places_by_name(preprocessing)
    wide = graph.cast(row, np.float64)
    parts = []
    for derived in preprocessing.derived:
        first, *others = (
            graph.node("Gather", wide, graph.constant([places[name].start], "column"), axis=1)
            for name in derived.of
        )
        if derived.function == "sine":
            angle = graph.node("Mul", first, graph.constant(np.float64(np.pi), "pi"))
            parts.append(graph.node("Sin", angle))
        else:
            parts.append(graph.node("Mul", first, *(others or (first,))))
    bounds = [graph.constant(np.float64(sign * LARGEST), "bound") for sign in (-1, 1)]
    found = graph.node("Clip", _side_by_side(graph, parts), *bounds)
    return _side_by_side(graph, (row, graph.cast(found, np.float32)))


# Answers


def _answers(graph: Graph, target: Target, value: str, kind: npt.DTypeLike) -> list[ValueInfoProto]:
    """Turn the network's outputs (N, outputs) into what clients see, and describe that."""
    if target.task == "multiclass":
        chosen = graph.node("ArgMax", value, axis=1, keepdims=0)
        graph.cast(value, np.float32, PROBABILITIES)
        return _labels(graph, target, chosen, ("N", target.outputs))
    flat = graph.node("Squeeze", value, graph.constant([1], "axes"))
    if target.task == "regression":
        graph.cast(flat, np.float32, PREDICTIONS)
        return [helper.make_tensor_value_info(PREDICTIONS, TensorProto.FLOAT, ["N"], target.name)]
    half = graph.constant(np.full((), 0.5, kind), "half")
    chosen = graph.cast(graph.node("Greater", flat, half), np.int64)
    graph.cast(flat, np.float32, PROBABILITIES)
    return _labels(graph, target, chosen, ("N",))


def _labels(
    graph: Graph, target: Target, chosen: str, shape: Sequence[str | int | None]
) -> list[ValueInfoProto]:
    """Name the chosen classes, and describe both outputs."""
    labels = _label_array(target.classes or ())
    graph.node("Gather", graph.constant(labels, "classes"), chosen, output=PREDICTIONS, axis=0)
    kind = onnx_type(labels.dtype)
    return [
        helper.make_tensor_value_info(PREDICTIONS, kind, ["N"], target.name),
        helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape),
    ]


def _label_array(classes: Sequence[Label]) -> npt.NDArray[Any]:
    """Give classes as one array: booleans, whole numbers or numbers, else all of them as text."""
    kinds = {type(label) for label in classes}
    if kinds in ({bool}, {int}):
        found = np.array(classes)
        if found.dtype in (np.bool_, np.int64):
            return found
    if kinds <= {int, float}:
        return np.array(classes, np.float64)
    return np.array([str(label) for label in classes])
