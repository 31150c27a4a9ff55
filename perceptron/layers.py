"""Layers of a fully connected network, and the bytes that they are stored as."""

import json
from base64 import b64encode
from typing import Any, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from schemas.errors import CorruptModel
from schemas.model import LayerParameters, ParameterCounts
from schemas.network import LayerActivation
from schemas.training import Snapshot

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]

HEADER_LENGTH_BYTES = 8
"""A safetensors file begins with the length of its JSON header, little-endian."""


class Layer(NamedTuple):
    """One fully connected layer: activation(weight · x + bias)."""

    weight: FloatArray
    """Shape (outputs, inputs)."""
    bias: FloatArray
    """Shape (outputs,)."""
    activation: LayerActivation


Layers: TypeAlias = tuple[Layer, ...]
"""From the input to the output; each layer's outputs are the next one's inputs."""


def parameter_counts(layers: Layers) -> ParameterCounts:
    """Count the values that training finds."""
    weights = sum(layer.weight.size for layer in layers)
    biases = sum(layer.bias.size for layer in layers)
    return ParameterCounts(weights=weights, biases=biases, total=weights + biases)


def as_parameters(layers: Layers) -> tuple[LayerParameters, ...]:
    """Every weight and bias as plain numbers."""
    return tuple(
        LayerParameters(
            weight=tuple(map(tuple, layer.weight.tolist())),
            bias=tuple(layer.bias.tolist()),
            activation=layer.activation,
        )
        for layer in layers
    )


def snapshot(layers: Layers, epoch: int) -> Snapshot:
    """Write down the weights after an epoch."""
    values = [part.ravel() for layer in layers for part in (layer.weight, layer.bias)]
    data = np.concatenate(values).astype("<f4").tobytes()
    return Snapshot(epoch=epoch, parameters=b64encode(data).decode())


def to_bytes(layers: Layers) -> bytes:
    """
    Write layers in safetensors form: the same layers always make the same bytes.

    The activations are one JSON list under one metadata key, because the format does not fix the
    order of several.
    """
    tensors = {}
    for index, layer in enumerate(layers):
        tensors[f"layers.{index}.weight"] = np.ascontiguousarray(layer.weight)
        tensors[f"layers.{index}.bias"] = np.ascontiguousarray(layer.bias)
    activations = json.dumps([layer.activation for layer in layers])
    return save(tensors, metadata={"activations": activations})


def from_bytes(data: bytes) -> Layers:
    """
    Read layers that `to_bytes` wrote, dtype included.

    Raises: CorruptModel when `data` is anything else.
    """
    try:
        tensors = load(data)
        layers = tuple(
            Layer(tensors.pop(f"layers.{i}.weight"), tensors.pop(f"layers.{i}.bias"), activation)
            for i, activation in enumerate(_activations(data))
        )
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CorruptModel from error
    if tensors or not _fits(layers):
        raise CorruptModel
    return layers


def stored_metadata(data: bytes) -> dict[str, str]:
    """
    Read the metadata of bytes in safetensors form, which that library reads from files only.

    Raises: ValueError, LookupError, TypeError or RecursionError where there is none.
    """
    end = HEADER_LENGTH_BYTES + int.from_bytes(data[:HEADER_LENGTH_BYTES], "little")
    metadata: dict[str, str] = json.loads(data[HEADER_LENGTH_BYTES:end])["__metadata__"]
    return metadata


def _activations(data: bytes) -> list[LayerActivation]:
    activations: list[LayerActivation] = json.loads(stored_metadata(data)["activations"])
    return activations


def _fits(layers: Layers) -> bool:
    """Whether the layers make one network of finite numbers of one dtype."""
    if not layers or layers[0].weight.dtype not in (np.float32, np.float64):
        return False
    if any(layer.activation == "softmax" for layer in layers[:-1]):  # it is for outputs
        return False
    dtype = layers[0].weight.dtype
    inputs = layers[0].weight.shape[-1] if layers[0].weight.ndim else 0
    for layer in layers:
        if not _layer_fits(layer, inputs, dtype):
            return False
        inputs = len(layer.bias)
    return True


def _layer_fits(layer: Layer, inputs: int, dtype: np.dtype[Any]) -> bool:
    weight, bias, activation = layer
    return (
        activation in get_args(LayerActivation)
        and weight.dtype == bias.dtype == dtype
        and bias.ndim == 1
        and weight.shape == (len(bias), inputs)
        and weight.size > 0
        and bool(np.isfinite(weight).all() and np.isfinite(bias).all())
    )
