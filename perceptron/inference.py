"""The forward pass in NumPy: what answers a prediction."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from perceptron.layers import FloatArray, Layers
from schemas.network import LayerActivation

LEAKY_SLOPE = 0.01
"""Slope of leaky ReLU below zero, PyTorch's default."""

BLOCK_VALUES = 2**16
"""Most outputs of one layer at a time: more rows are taken in blocks, which fit into the caches."""

_ONE = np.ones((), np.float32)
"""An array, which is added to arrays in half the time of a number."""

_LIMITS = {np.dtype(kind): float(np.finfo(kind).max) for kind in (np.float32, np.float64)}


@np.errstate(all="ignore")
def forward(layers: Layers, features: npt.ArrayLike) -> FloatArray:
    """
    Compute the output of a network: the probability of class 1, one for each class, or a number.

    Never warns and never gives NaN: numbers beyond the dtype's range count as its largest.

    Shapes: features (rows, inputs) → (rows,) for one output unit, (rows, outputs) for several, in
    the dtype of the layers.
    """
    rows: FloatArray = np.asarray(features, layers[0].weight.dtype)
    if len(rows) == 1 or len(rows) <= (block := block_rows(layers)):
        return _forward(layers, rows)
    starts = range(0, len(rows), block)
    return np.concatenate([_forward(layers, rows[start : start + block]) for start in starts])


def block_rows(layers: Layers) -> int:
    """Say how many rows `forward` takes at a time."""
    return max(1, BLOCK_VALUES // max(len(layer.bias) for layer in layers))


def _forward(layers: Layers, rows: FloatArray) -> FloatArray:
    if not _is_finite(rows):
        limit = _LIMITS[rows.dtype]
        rows = np.maximum(np.minimum(rows, limit), -limit)
    outputs = _through(layers, rows[0])[np.newaxis] if len(rows) == 1 else _through(layers, rows)
    if not _is_finite(outputs):
        outputs = _through_wide(layers, rows).astype(rows.dtype)
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs


def _is_finite(values: FloatArray) -> bool:
    """Whether there is neither NaN nor ∞, which survive a sum; it may deny that of huge numbers."""
    return math.isfinite(np.add.reduce(values, None))


def _through(layers: Layers, values: FloatArray) -> FloatArray:
    """Shapes: (rows, inputs) → (rows, outputs); (inputs,) → (outputs,), faster for one row."""
    for weight, bias, activation in layers:
        z = values.dot(weight.T)
        np.add(z, bias, z)
        values = ACTIVATIONS[activation](z, z)
    return values


def _through_wide(layers: Layers, values: FloatArray) -> FloatArray:
    """Repeat the pass with a wider exponent where the dtype's own range gave ∞ − ∞ or ∞ · 0."""
    limit = np.finfo(layers[0].weight.dtype).max
    values = values.astype(np.longdouble)
    for weight, bias, activation in layers:
        z = values @ weight.T.astype(np.longdouble) + bias
        z = np.clip(np.nan_to_num(z), -limit, limit)
        values = np.clip(ACTIVATIONS[activation](z, z), -limit, limit)
    return values


# An activation takes z and an array of its shape that it may use up, z itself or another; None: it
# makes one.

Spare = FloatArray | None


def _sigmoid(z: FloatArray, spare: Spare = None) -> FloatArray:
    """1 / (1 + e⁻ᶻ); e⁻ᶻ = ∞ gives the right limit, 0, and `forward` silences its warning."""
    y = np.negative(z, spare)
    np.exp(y, y)
    np.add(y, _ONE, y)
    return np.divide(_ONE, y, y)


def _tanh(z: FloatArray, spare: Spare = None) -> FloatArray:
    return np.tanh(z, spare)


def _relu(z: FloatArray, spare: Spare = None) -> FloatArray:
    return np.maximum(z, 0, out=spare)


def _leaky_relu(z: FloatArray, _: Spare = None) -> FloatArray:
    return np.where(z > 0, z, z * LEAKY_SLOPE)


def _gelu(z: FloatArray, _: Spare = None) -> FloatArray:
    """Compute z · Φ(z), Φ the normal distribution function: not the approximation by tanh."""
    return np.asarray(z * (0.5 * _erfc(z * -math.sqrt(0.5))), z.dtype)


def _identity(z: FloatArray, _: Spare = None) -> FloatArray:
    return z


def _step(z: FloatArray, _: Spare = None) -> FloatArray:
    return (z > 0).astype(z.dtype)


def _softmax(z: FloatArray, spare: Spare = None) -> FloatArray:
    """eᶻ over its sum along the last axis; the largest z counts as 0, so that nothing overflows."""
    powers = np.subtract(z, z.max(axis=-1, keepdims=True), spare)
    np.exp(powers, powers)
    return np.asarray(np.divide(powers, powers.sum(axis=-1, keepdims=True), powers))


def _erfc(x: FloatArray) -> FloatArray:
    """1 − erf(x), elementwise, as exact as the dtype."""
    if x.dtype == np.float32:
        tail = _erfc_tail(np.abs(x.astype(np.float64)))
        return np.where(x < 0, 2.0 - tail, tail)
    return np.fromiter(map(math.erfc, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


def _erfc_tail(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """
    Compute erfc(x) for x ≥ 0 with a relative error under 1.2e-7.

    Source: Press et al., Numerical Recipes in C, 2nd edition, §6.2, `erfcc`.
    """
    t = 1.0 / (1.0 + 0.5 * x)
    exponent = np.zeros_like(x)
    for coefficient in _ERFC_COEFFICIENTS:
        exponent = exponent * t + coefficient
    return np.asarray(t * np.exp(exponent - x * x))


_ERFC_COEFFICIENTS = (
    0.17087277,
    -0.82215223,
    1.48851587,
    -1.13520398,
    0.27886807,
    -0.18628806,
    0.09678418,
    0.37409196,
    1.00002368,
    -1.26551223,
)
"""Of the exponent's polynomial in t, highest power first."""

ACTIVATIONS: Mapping[LayerActivation, Callable[..., Any]] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
    "identity": _identity,
    "step": _step,
    "softmax": _softmax,
}
"""Every activation on arrays of any shape, dtype kept: elementwise, softmax along the last axis."""
