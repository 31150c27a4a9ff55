"""The nodes of an ONNX graph, and those that a network becomes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from perceptron.inference import LEAKY_SLOPE
from perceptron.layers import Layers
from schemas.network import LayerActivation


class Graph:
    """The nodes and constants made so far; every value has a name of its own."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def name(self, wanted: str) -> str:
        """Name a value: as wanted, or a longer name where that is taken."""
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted

    def constant(self, values: npt.ArrayLike, wanted: str = "constant") -> str:
        """Add a constant and name it."""
        name = self.name(wanted)
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and name what it gives."""
        output = output or self.name(operator)
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def cast(self, value: str, kind: npt.DTypeLike, output: str = "") -> str:
        """Add a cast."""
        return self.node("Cast", value, output=output, to=onnx_type(kind))


def onnx_type(kind: npt.DTypeLike) -> int:
    """Give ONNX's number for a type of NumPy's; text is `str`."""
    dtype = np.dtype(kind)
    return TensorProto.STRING if dtype.kind == "U" else helper.np_dtype_to_tensor_dtype(dtype)


def add_network(graph: Graph, layers: Layers, value: str) -> str:
    """Pass rows through the layers, in the layers' own type. Shapes: (N, inputs) → (N, outputs)."""
    kind = layers[0].weight.dtype
    if kind != np.float32:
        value = graph.cast(value, kind)
    for index, layer in enumerate(layers):
        weight = graph.constant(layer.weight, f"layers.{index}.weight")
        bias = graph.constant(layer.bias, f"layers.{index}.bias")
        value = graph.node("Gemm", value, weight, bias, transB=1)
        value = _activation(graph, layer.activation, value, kind)
    return value


def _activation(graph: Graph, activation: LayerActivation, z: str, kind: npt.DTypeLike) -> str:
    match activation:
        case "identity":
            return z
        case "step":
            zero = graph.constant(np.zeros((), kind), "zero")
            return graph.cast(graph.node("Greater", z, zero), kind)
        case "gelu":
            return _gelu(graph, z, kind)
        case "leaky_relu":
            return graph.node("LeakyRelu", z, alpha=LEAKY_SLOPE)
        case "softmax":
            return graph.node("Softmax", z, axis=1)
    return graph.node(_OPERATORS[activation], z)


_OPERATORS: Mapping[LayerActivation, str] = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}


def _gelu(graph: Graph, z: str, kind: npt.DTypeLike) -> str:
    """Compute z · ½ (1 + erf(z / √2)), erf in floats: runtimes have no other."""
    scaled = graph.node("Mul", z, graph.constant(np.sqrt(0.5).astype(kind), "root"))
    erf = graph.cast(graph.node("Erf", graph.cast(scaled, np.float32)), kind)
    above = graph.node("Add", erf, graph.constant(np.ones((), kind), "one"))
    share = graph.node("Mul", above, graph.constant(np.full((), 0.5, kind), "half"))
    return graph.node("Mul", z, share)
