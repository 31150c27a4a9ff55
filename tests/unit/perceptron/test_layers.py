"""Layers and their bytes."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptron.initialisation import initial_layers
from perceptron.layers import (
    Layer,
    Layers,
    as_parameters,
    from_bytes,
    parameter_counts,
    to_bytes,
)
from schemas.errors import CorruptModel

ACTIVATIONS = ["sigmoid", "tanh", "relu", "leaky_relu", "gelu", "identity", "step"]
LAYERS = initial_layers((3, 5, 2, 1), "gelu", 1)


def _write(tensors: dict[str, Any], metadata: dict[str, str] | None) -> bytes:
    return safetensors.numpy.save(tensors, metadata=metadata)


def _parts(layers: Layers) -> tuple[dict[str, Any], dict[str, str]]:
    tensors = dict(safetensors.numpy.load(to_bytes(layers)))
    return tensors, {"activations": json.dumps([layer.activation for layer in layers])}


@given(
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=14),
    activation=st.sampled_from(ACTIVATIONS),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, max_examples=50)
def test_bytes_give_back_the_same_layers(widths: list[int], activation: Any, dtype: Any) -> None:
    """Reading what was written gives equal values, dtype and activations, at any depth."""
    layers = tuple(
        Layer(layer.weight.astype(dtype), layer.bias.astype(dtype), layer.activation)
        for layer in initial_layers(widths, activation, 5)
    )
    read = from_bytes(to_bytes(layers))
    assert [layer.activation for layer in read] == [layer.activation for layer in layers]
    for ours, theirs in zip(layers, read, strict=True):
        assert theirs.weight.dtype == theirs.bias.dtype == dtype
        np.testing.assert_array_equal(ours.weight, theirs.weight)
        np.testing.assert_array_equal(ours.bias, theirs.bias)


def test_outputs_may_be_a_softmax() -> None:
    """The last layer of several classes keeps its activation."""
    *hidden, last = initial_layers((3, 5, 4), "tanh", 1)
    layers = (*hidden, last._replace(activation="softmax"))
    assert [layer.activation for layer in from_bytes(to_bytes(layers))] == ["tanh", "softmax"]


def test_bytes_are_deterministic() -> None:
    """The same layers make the same bytes, whatever the memory layout of their arrays."""
    turned = tuple(layer._replace(weight=np.asfortranarray(layer.weight)) for layer in LAYERS)
    assert {to_bytes(layers) for layers in [LAYERS] * 20 + [turned] * 20} == {to_bytes(LAYERS)}


def test_other_readers_of_safetensors_read_the_bytes() -> None:
    """The safetensors library for PyTorch finds the tensors under their documented names."""
    tensors = safetensors.torch.load(to_bytes(LAYERS))
    assert set(tensors) == {f"layers.{i}.{part}" for i in range(3) for part in ("weight", "bias")}
    assert torch.equal(tensors["layers.1.weight"], torch.tensor(LAYERS[1].weight))


@given(cut=st.integers(0, len(to_bytes(LAYERS)) - 1))
@settings(deadline=None)
def test_cut_bytes_are_corrupt(cut: int) -> None:
    """No proper prefix of the bytes is taken for a network."""
    with pytest.raises(CorruptModel):
        from_bytes(to_bytes(LAYERS)[:cut])


@given(data=st.data())
@settings(deadline=None, max_examples=300)
def test_changed_bytes_are_corrupt_or_a_network(data: st.DataObject) -> None:
    """Changing any byte gives a network of finite numbers or CorruptModel, nothing else."""
    blob = bytearray(to_bytes(LAYERS))
    blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = from_bytes(bytes(blob))
    except CorruptModel:
        return
    assert all(np.isfinite(layer.weight).all() for layer in read)
    assert [layer.weight.shape for layer in read] == [layer.weight.shape for layer in LAYERS]


@given(data=st.binary(max_size=200))
@settings(deadline=None)
def test_other_bytes_are_corrupt(data: bytes) -> None:
    """Arbitrary bytes are refused."""
    with pytest.raises(CorruptModel):
        from_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        {"layers.0.weight": np.zeros((4, 3), np.float32)},
        {"layers.1.weight": np.zeros((2, 4), np.float32)},
        {"layers.1.bias": np.zeros(3, np.float32)},
        {"layers.1.bias": np.zeros((2, 1), np.float32)},
        {"layers.0.weight": np.array(1, np.float32)},
        {"layers.2.bias": np.array([np.nan], np.float32)},
        {"layers.2.bias": np.zeros(1, np.float64)},
        {"layers.3.bias": np.zeros(1, np.float32)},
        {"other": np.zeros(1, np.float32)},
    ],
)
def test_tensors_that_make_no_network_are_corrupt(change: dict[str, Any]) -> None:
    """A wrong shape, a NaN, mixed dtypes or a tensor too many is refused."""
    tensors, metadata = _parts(LAYERS)
    assert from_bytes(_write(tensors, metadata))
    with pytest.raises(CorruptModel):
        from_bytes(_write(tensors | change, metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"activations": "["},
        {"activations": "7"},
        {"activations": "[]"},
        {"activations": '["gelu", "gelu"]'},
        {"activations": '["gelu", "gelu", "softplus"]'},
        {"activations": '["softmax", "gelu", "sigmoid"]'},
        {"activations": '["gelu", "gelu", []]'},
        {"activations": '{"0": "gelu"}'},
    ],
)
def test_metadata_without_the_activations_is_corrupt(metadata: dict[str, str] | None) -> None:
    """Each layer needs one known activation in the metadata."""
    with pytest.raises(CorruptModel):
        from_bytes(_write(_parts(LAYERS)[0], metadata))


def test_integer_tensors_are_corrupt() -> None:
    """Weights are float32 or float64."""
    tensors, metadata = _parts(LAYERS)
    integers = {name: values.astype(np.int32) for name, values in tensors.items()}
    with pytest.raises(CorruptModel):
        from_bytes(_write(integers, metadata))


def test_counts_are_those_of_pytorch() -> None:
    """Weights and biases of 2-10-10-10-1 are counted as PyTorch counts its parameters."""
    shape = (2, 10, 10, 10, 1)
    linears = [torch.nn.Linear(a, b) for a, b in pairwise(shape)]
    counts = parameter_counts(initial_layers(shape, "sigmoid", 0))
    assert counts.weights == sum(linear.weight.numel() for linear in linears)
    assert counts.biases == sum(linear.bias.numel() for linear in linears)
    assert counts.total == counts.weights + counts.biases == 261


def test_parameters_are_the_values_as_numbers() -> None:
    """`as_parameters` keeps every value, in shape (outputs, inputs), and survives JSON."""
    first, *_ = as_parameters(LAYERS)
    again = json.loads(first.model_dump_json())
    np.testing.assert_array_equal(np.array(again["weight"], np.float32), LAYERS[0].weight)
    np.testing.assert_array_equal(np.array(again["bias"], np.float32), LAYERS[0].bias)
    assert again["activation"] == "gelu"
