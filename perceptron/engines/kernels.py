"""
Whole epochs of one network in machine code: forward, loss, backward, update, record.

Units lie across the lanes: every layer's outputs are padded to a multiple of `LANES`, and padded
weights, errors and gradients stay zero. Rows are taken in tiles that the nearest cache holds.
Weights of a layer are panels, one for each `LANES` outputs, read from end to end: shape (panels,
inputs + 1, LANES), the bias in the last row. Transposed weights are panels of inputs: shape
(panels, outputs, LANES). All arrays are float32 and flat; `plan` says where each layer's part
begins.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.engines.compiling import inlined, stored
from perceptron.engines.simd import (
    HAS_32_REGISTERS,
    LANES,
    Lanes,
    Pointer,
    absolute,
    exponent,
    first,
    flush_subnormals,
    fma,
    get,
    load,
    mantissa,
    maximum,
    minimum,
    negative,
    pointer,
    power_of_two,
    put,
    replaced,
    restore,
    splat,
    square_root,
    store,
    where_positive,
)
from schemas.network import Activation, Task
from schemas.training import Optimizer

TILE_ROWS = 32
"""Rows that go through the layers together; a multiple of twice `ROWS_AT_ONCE`."""
ROWS_AT_ONCE = 4
"""Rows that share one reading of the weights."""

NOTHING, NEXT_ROWS, NEXT_PANEL = range(3)
"""What is computed beside a block of rows and units."""

INPUTS, OUTPUTS, PADDED, WEIGHTS, TRANSPOSED, VALUES = range(6)
"""Columns of a plan: a layer's inputs, outputs, padded outputs, and where its parts begin in the
weights, in the transposed weights (none for the first layer) and in a tile's values."""

SIGMOID, TANH, RELU, LEAKY_RELU, GELU, IDENTITY, BACKWARD = range(7)
"""Activations; `BACKWARD` multiplies with the slopes that the forward pass stored."""
SGD, MOMENTUM, NESTEROV, ADAM, ADAMW, RMSPROP = range(6)
BINARY, MULTICLASS, REGRESSION = range(3)
"""Tasks: sigmoid and binary cross-entropy, softmax and cross-entropy, squared error."""

ACTIVATIONS: Mapping[Activation, int] = {
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "gelu": GELU,
    "identity": IDENTITY,
}
RULES: Mapping[Optimizer, int] = {
    "sgd": SGD,
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    "adam": ADAM,
    "adamw": ADAMW,
    "rmsprop": RMSPROP,
}

TASKS: Mapping[Task, int] = {
    "binary": BINARY,
    "multiclass": MULTICLASS,
    "regression": REGRESSION,
}

ROUNDING = 12582912.0
"""1.5 · 2²³: a small float32 is rounded to a whole number when this is added."""

EPOCH, TRAIN_LOSS, TRAIN_CORRECT, VALID_LOSS, VALID_CORRECT = range(5)
"""Columns of a record; losses are sums over rows."""

LEAKY_SLOPE = 0.01
KEPT_MOMENTUM = 0.9
BETA_1, BETA_2, ALPHA, EPSILON = 0.9, 0.999, 0.99, 1e-8
"""PyTorch's defaults of Adam, AdamW (β₁, β₂, ε) and RMSprop (α, ε)."""


@inlined
def _scaled_exponential(x: Lanes) -> tuple[Lanes, Lanes]:
    """
    Compute eˣ, x in −87 … 88, as a number near 1 and a power of two, which are to be multiplied.

    Pairs of the polynomial's terms are computed beside each other, for a short chain.

    Source: S. Moshier, Cephes, `expf`; D. Knuth, The Art of Computer Programming 2, §4.6.4.
    """
    n = fma(x, 1.44269504088896341, ROUNDING) - ROUNDING
    r = fma(n, 2.12194440e-4, fma(n, -0.693359375, x))
    square = r * r
    high = fma(r, 1.9875691500e-4, 1.3981999507e-3)
    middle = fma(r, 8.3334519073e-3, 4.1665795894e-2)
    low = fma(r, 1.6666665459e-1, 5.0000001201e-1)
    p = fma(fma(high, square, middle), square, low)
    return fma(p, square, r + 1.0), power_of_two(n)


@inlined
def exponential(x: Lanes) -> Lanes:
    """Compute eˣ within 2 units in the last place; below −87 and above 88 it stays there."""
    factor, power = _scaled_exponential(minimum(maximum(x, -87.0), 88.0))
    return factor * power


@inlined
def logarithm(x: Lanes) -> Lanes:
    """
    Compute log x of normal numbers above zero within 2 units in the last place; NaN stays NaN.

    Source: S. Moshier, Cephes, `logf`.
    """
    n = exponent(x)
    m = mantissa(x)
    is_small = 0.70710678118654752 - m
    n = where_positive(is_small, n - 1.0, n)
    m = where_positive(is_small, m + m, m) - 1.0
    p = fma(m, 7.0376836292e-2, -1.1514610310e-1)
    p = fma(p, m, 1.1676998740e-1)
    p = fma(p, m, -1.2420140846e-1)
    p = fma(p, m, 1.4249322787e-1)
    p = fma(p, m, -1.6668057665e-1)
    p = fma(p, m, 2.0000714765e-1)
    p = fma(p, m, -2.4999993993e-1)
    p = fma(p, m, 3.3333331174e-1)
    square = m * m
    small = fma(n, -2.12194440e-4, p * m * square)
    small = fma(square, -0.5, small)
    return fma(n, 0.693359375, m + small) + x * 0.0


@inlined
def logarithm_of_1_plus(x: Lanes) -> Lanes:
    """
    Compute log(1 + x), x ≥ 0, as exactly where x is small.

    Source: W. Kahan; N. Higham, Accuracy and Stability of Numerical Algorithms, §1.14.1.
    """
    whole = x + 1.0
    kept = whole - 1.0
    return where_positive(kept, logarithm(whole) * x / kept, x)


@inlined
def sigmoid(z: Lanes) -> Lanes:
    """Compute 1 / (1 + e⁻ᶻ), below zero as eᶻ / (eᶻ + 1)."""
    factor, power = _scaled_exponential(maximum(negative(absolute(z)), -87.0))
    return where_positive(z, 1.0, factor * power) / fma(factor, power, 1.0)


@inlined
def tanh(z: Lanes) -> Lanes:
    """Compute the hyperbolic tangent. Source: S. Moshier, Cephes, `tanhf`."""
    size = absolute(z)
    large = 1.0 - 2.0 / (exponential(size + size) + 1.0)
    s = z * z
    p = fma(s, -5.70498872745e-3, 2.06390887954e-2)
    p = fma(p, s, -5.37397155531e-2)
    p = fma(p, s, 1.33314422036e-1)
    p = fma(p, s, -3.33332819422e-1)
    small = fma(p * s, z, z)
    return where_positive(size - 0.625, where_positive(z, large, 0.0 - large), small)


@inlined
def normal_distribution(z: Lanes) -> Lanes:
    """Compute Φ(z) = erfc(−z/√2) / 2. Source: Press et al., Numerical Recipes, §6.2, `erfcc`."""
    x = absolute(z) * 0.7071067811865476
    t = 1.0 / fma(x, 0.5, 1.0)
    p = fma(t, 0.17087277, -0.82215223)
    p = fma(p, t, 1.48851587)
    p = fma(p, t, -1.13520398)
    p = fma(p, t, 0.27886807)
    p = fma(p, t, -0.18628806)
    p = fma(p, t, 0.09678418)
    p = fma(p, t, 0.37409196)
    p = fma(p, t, 1.00002368)
    p = fma(p, t, -1.26551223)
    tail = t * exponential(p - x * x) * 0.5
    return where_positive(z, 1.0 - tail, tail)


@inlined
def activate(kind: int, z: Lanes, values: Pointer, slopes: Pointer, at: int) -> None:
    """Store the activation of z, and its slope for the backward pass."""
    if kind == SIGMOID:
        a = sigmoid(z)
        store(values, at, a)
        store(slopes, at, a * (1.0 - a))
    elif kind == TANH:
        a = tanh(z)
        store(values, at, a)
        store(slopes, at, 1.0 - a * a)
    elif kind == RELU:
        store(values, at, maximum(z, 0.0))
        store(slopes, at, where_positive(z, 1.0, 0.0))
    elif kind == LEAKY_RELU:
        store(values, at, where_positive(z, z, z * LEAKY_SLOPE))
        store(slopes, at, where_positive(z, 1.0, LEAKY_SLOPE))
    elif kind == GELU:
        share = normal_distribution(z)
        density = exponential(z * z * -0.5) * 0.3989422804014327
        store(values, at, z * share)
        store(slopes, at, fma(z, density, share))
    elif kind == IDENTITY:
        store(values, at, z)
        store(slopes, at, 1.0)
    else:
        store(values, at, z * load(slopes, at))


@inlined
def _multiply_block(
    beside: int,
    kind: int,
    row: int,
    inputs: int,
    padded: int,
    block: int,
    source: Pointer,
    first: int,
    stride: int,
    weights: Pointer,
    start: int,
    has_bias: int,
    values: Pointer,
    slopes: Pointer,
    into: int,
) -> None:
    """
    Do `_multiply` for `ROWS_AT_ONCE` rows from `row` on and the panel at `block`.

    Beside it, for `NOTHING`, for the `NEXT_ROWS` or for the `NEXT_PANEL`.
    """
    size = (inputs + has_bias) * LANES
    panel = start + block * (inputs + has_bias)
    bias = panel + inputs * LANES
    a = load(weights, bias) if has_bias else splat(0.0)
    b = a
    c = a
    d = a
    e = load(weights, bias + size) if beside == NEXT_PANEL and has_bias else a
    f = e
    g = e
    h = e
    at = first + row * stride
    other = at + ROWS_AT_ONCE * stride if beside == NEXT_ROWS else at
    for i in range(inputs):
        w = load(weights, panel + i * LANES)
        a = fma(get(source, at + i), w, a)
        b = fma(get(source, at + stride + i), w, b)
        c = fma(get(source, at + 2 * stride + i), w, c)
        d = fma(get(source, at + 3 * stride + i), w, d)
        if beside == NEXT_PANEL:
            w = load(weights, panel + size + i * LANES)
        if beside != NOTHING:
            e = fma(get(source, other + i), w, e)
            f = fma(get(source, other + stride + i), w, f)
            g = fma(get(source, other + 2 * stride + i), w, g)
            h = fma(get(source, other + 3 * stride + i), w, h)
    at = into + row * padded + block
    activate(kind, a, values, slopes, at)
    activate(kind, b, values, slopes, at + padded)
    activate(kind, c, values, slopes, at + 2 * padded)
    activate(kind, d, values, slopes, at + 3 * padded)
    if beside != NOTHING:
        at += LANES if beside == NEXT_PANEL else ROWS_AT_ONCE * padded
        activate(kind, e, values, slopes, at)
        activate(kind, f, values, slopes, at + padded)
        activate(kind, g, values, slopes, at + 2 * padded)
        activate(kind, h, values, slopes, at + 3 * padded)


@inlined
def _multiply(
    kind: int,
    rows: int,
    inputs: int,
    padded: int,
    source: Pointer,
    first: int,
    stride: int,
    weights: Pointer,
    start: int,
    has_bias: int,
    values: Pointer,
    slopes: Pointer,
    into: int,
) -> None:
    """
    Compute activation(source · weights + bias, if any), `ROWS_AT_ONCE` rows at a time.

    The last rows may be followed by others that nobody uses; all have room for them.
    """
    block = 0
    while block + LANES < padded and HAS_32_REGISTERS:
        for row in range(0, rows, ROWS_AT_ONCE):
            _multiply_block(
                NEXT_PANEL, kind, row, inputs, padded, block, source, first, stride, weights,
                start, has_bias, values, slopes, into,
            )  # fmt: skip
        block += 2 * LANES
    while block < padded:
        row = 0
        while row + ROWS_AT_ONCE < rows and HAS_32_REGISTERS:
            _multiply_block(
                NEXT_ROWS, kind, row, inputs, padded, block, source, first, stride, weights,
                start, has_bias, values, slopes, into,
            )  # fmt: skip
            row += 2 * ROWS_AT_ONCE
        while row < rows:
            _multiply_block(
                NOTHING, kind, row, inputs, padded, block, source, first, stride, weights,
                start, has_bias, values, slopes, into,
            )  # fmt: skip
            row += ROWS_AT_ONCE
        block += LANES


@inlined
def _sum_products(
    is_first: bool,
    inputs: int,
    is_pair: bool,
    rows: int,
    padded: int,
    source: Pointer,
    x: int,
    stride: int,
    errors: Pointer,
    y: int,
    gradient: Pointer,
    at: int,
    size: int,
) -> None:
    """
    Add the products of 1, 4 or 6 inputs and the errors of a panel, or of 4 inputs and a pair.

    That many sums are kept in registers; `size` is a panel's.
    """
    a = splat(0.0) if is_first else load(gradient, at)
    b = splat(0.0) if is_first or inputs < 4 else load(gradient, at + LANES)
    c = splat(0.0) if is_first or inputs < 4 else load(gradient, at + 2 * LANES)
    d = splat(0.0) if is_first or inputs < 4 else load(gradient, at + 3 * LANES)
    into = at + size if is_pair else at + 4 * LANES
    has_more = is_pair or inputs == 6
    has_all = is_pair and inputs == 4
    p = splat(0.0) if is_first or not has_more else load(gradient, into)
    q = splat(0.0) if is_first or not (has_all or inputs == 6) else load(gradient, into + LANES)
    r = splat(0.0) if is_first or not has_all else load(gradient, into + 2 * LANES)
    s = splat(0.0) if is_first or not has_all else load(gradient, into + 3 * LANES)
    for row in range(rows):
        e = load(errors, y + row * padded)
        i = x + row * stride
        a = fma(get(source, i), e, a)
        if inputs >= 4:
            b = fma(get(source, i + 1), e, b)
            c = fma(get(source, i + 2), e, c)
            d = fma(get(source, i + 3), e, d)
        if is_pair:
            e = load(errors, y + row * padded + LANES)
            p = fma(get(source, i), e, p)
            if inputs == 4:
                q = fma(get(source, i + 1), e, q)
                r = fma(get(source, i + 2), e, r)
                s = fma(get(source, i + 3), e, s)
        elif inputs == 6:
            p = fma(get(source, i + 4), e, p)
            q = fma(get(source, i + 5), e, q)
    store(gradient, at, a)
    if inputs >= 4:
        store(gradient, at + LANES, b)
        store(gradient, at + 2 * LANES, c)
        store(gradient, at + 3 * LANES, d)
    if has_more:
        store(gradient, into, p)
    if has_all or inputs == 6:
        store(gradient, into + LANES, q)
    if has_all:
        store(gradient, into + 2 * LANES, r)
        store(gradient, into + 3 * LANES, s)


@inlined
def _add_gradient(
    is_first: bool,
    rows: int,
    inputs: int,
    padded: int,
    source: Pointer,
    first: int,
    stride: int,
    errors: Pointer,
    errors_at: int,
    gradient: Pointer,
    start: int,
) -> None:
    """Add sourceᵀ · errors, and the errors' sum for the bias; the first tile begins anew."""
    size = (inputs + 1) * LANES
    block = 0
    while block + LANES < padded and HAS_32_REGISTERS:
        panel, y = start + block * (inputs + 1), errors_at + block
        i = 0
        while i + 4 <= inputs:
            _sum_products(
                is_first, 4, True, rows, padded, source, first + i, stride, errors, y,
                gradient, panel + i * LANES, size,
            )  # fmt: skip
            i += 4
        while i < inputs:
            _sum_products(
                is_first, 1, True, rows, padded, source, first + i, stride, errors, y,
                gradient, panel + i * LANES, size,
            )  # fmt: skip
            i += 1
        block += 2 * LANES
    while block < padded:
        panel, y = start + block * (inputs + 1), errors_at + block
        i = 0
        while i + 6 <= inputs:
            _sum_products(
                is_first, 6, False, rows, padded, source, first + i, stride, errors, y,
                gradient, panel + i * LANES, size,
            )  # fmt: skip
            i += 6
        while i + 4 <= inputs:
            _sum_products(
                is_first, 4, False, rows, padded, source, first + i, stride, errors, y,
                gradient, panel + i * LANES, size,
            )  # fmt: skip
            i += 4
        while i < inputs:
            _sum_products(
                is_first, 1, False, rows, padded, source, first + i, stride, errors, y,
                gradient, panel + i * LANES, size,
            )  # fmt: skip
            i += 1
        block += LANES
    for block in range(0, padded, LANES):
        at = start + (block + LANES) * (inputs + 1) - LANES
        a = splat(0.0) if is_first else load(gradient, at)
        for row in range(rows):
            a = a + load(errors, errors_at + row * padded + block)
        store(gradient, at, a)


@inlined
def penalise(size: int, weights: Pointer, gradient: Pointer, penalty: float) -> None:
    """Add an L1 penalty's derivative: its sign is that of the weight, and at 0 it is 0."""
    for i in range(0, size, LANES):
        w = load(weights, i)
        below = where_positive(0.0 - w, 0.0 - penalty, 0.0)
        store(gradient, i, load(gradient, i) + where_positive(w, penalty, below))


@inlined
def update(
    rule: int,
    size: int,
    weights: Pointer,
    gradient: Pointer,
    momenta: Pointer,
    squares: Pointer,
    rate: Lanes,
    decay: Lanes,
    step: int,
) -> None:
    """Take one step of the optimizer, as PyTorch's formulas do; `step` counts from 1."""
    kept = 0.0 if step == 1 else KEPT_MOMENTUM
    if rule in (ADAM, ADAMW):
        step_size = rate / (1.0 - BETA_1**step)
        scale = 1.0 / np.sqrt(1.0 - BETA_2**step)
    for i in range(0, size, LANES):
        w = load(weights, i)
        g = load(gradient, i)
        if rule in (SGD, ADAMW):
            w = w * (1.0 - rate * decay)
        else:
            g = fma(w, decay, g)
        if rule == SGD:
            w = fma(g, 0.0 - rate, w)
        elif rule in (MOMENTUM, NESTEROV):
            m = fma(load(momenta, i), kept, g)
            store(momenta, i, m)
            w = fma(fma(m, KEPT_MOMENTUM, g) if rule == NESTEROV else m, 0.0 - rate, w)
        elif rule == RMSPROP:
            s = fma(g * (1.0 - ALPHA), g, load(squares, i) * ALPHA)
            store(squares, i, s)
            w = w - g / (square_root(s) + EPSILON) * rate
        else:
            m = load(momenta, i)
            m = fma(g - m, 1.0 - BETA_1, m)
            s = fma(g * (1.0 - BETA_2), g, load(squares, i) * BETA_2)
            store(momenta, i, m)
            store(squares, i, s)
            w = w - m / (square_root(s) * scale + EPSILON) * step_size
        store(weights, i, w)


class _Scratch(NamedTuple):
    """What the passes over one tile leave for each other."""

    values: Pointer
    """Outputs of every layer; the last one's are z."""
    slopes: Pointer
    """Derivatives of the activations there."""
    errors: Pointer
    """Derivatives of the loss by z."""
    gradient: Pointer
    goals: Pointer
    """Targets of shuffled rows."""
    counts: Pointer
    """How much shuffled rows count."""
    losses: Pointer
    hits: Pointer
    """1 for a row whose class is right, else 0."""
    logits: Pointer
    """z of the output units, `TILE_ROWS` for each unit; then their errors."""
    gathered: Pointer
    """Features of shuffled rows, with room behind them."""


class Rows(NamedTuple):
    """Rows and what is known of each."""

    features: Pointer
    targets: Pointer
    weights: Pointer
    """How much each row counts."""
    is_weighted: bool
    """Whether the weights say anything; there are none where they do not."""


@inlined
def rows_of(features: Any, targets: Any, weights: Any) -> Rows:
    """Take the addresses of a table's arrays; the caller of the kernel keeps them alive."""
    return Rows(pointer(features), pointer(targets), pointer(weights), len(weights) > 0)


@inlined
def _forward(
    kind: int,
    plan: Any,
    rows: int,
    source: Pointer,
    first: int,
    weights: Pointer,
    scratch: _Scratch,
) -> None:
    """Send a tile through every layer."""
    stride = plan[0, INPUTS]
    last = len(plan) - 1
    for k in range(last + 1):
        inputs, padded, start, into = (
            plan[k, INPUTS], plan[k, PADDED], plan[k, WEIGHTS], plan[k, VALUES]
        )  # fmt: skip
        _multiply(
            kind if k < last else IDENTITY,
            rows, inputs, padded, source, first, stride, weights, start, 1,
            scratch.values, scratch.slopes, into,
        )  # fmt: skip
        source, first, stride = scratch.values, into, padded


@inlined
def _backward(
    is_first: bool,
    plan: Any,
    rows: int,
    source: Pointer,
    first: int,
    transposed: Pointer,
    scratch: _Scratch,
) -> None:
    """Bring the last layer's errors back through every layer, adding up the gradient."""
    for k in range(len(plan) - 1, -1, -1):
        inputs, padded, start, at = (
            plan[k, INPUTS], plan[k, PADDED], plan[k, WEIGHTS], plan[k, VALUES]
        )  # fmt: skip
        if k > 0:
            width, into = plan[k - 1, PADDED], plan[k - 1, VALUES]
            _add_gradient(
                is_first, rows, inputs, padded, scratch.values, into, width,
                scratch.errors, at, scratch.gradient, start,
            )  # fmt: skip
            _multiply(
                BACKWARD,
                rows, plan[k, OUTPUTS], width, scratch.errors, at, padded,
                transposed, plan[k, TRANSPOSED], 0, scratch.errors, scratch.slopes, into,
            )  # fmt: skip
        else:
            _add_gradient(
                is_first, rows, inputs, padded, source, first, inputs,
                scratch.errors, at, scratch.gradient, start,
            )  # fmt: skip


@inlined
def _transpose(plan: Any, weights: Pointer, transposed: Pointer) -> None:
    for k in range(1, len(plan)):
        inputs, outputs = plan[k, INPUTS], plan[k, OUTPUTS]
        for o in range(outputs):
            row = plan[k, WEIGHTS] + o // LANES * (inputs + 1) * LANES + o % LANES
            for i in range(inputs):
                at = plan[k, TRANSPOSED] + i // LANES * outputs * LANES + o * LANES + i % LANES
                put(transposed, at, get(weights, row + i * LANES))


@inlined
def judge(
    task: int, outputs: int, logits: Pointer, at: int, stride: int, target: Lanes
) -> tuple[Lanes, Lanes]:
    """
    Compute the losses in sixteen lanes, and 1 where the class is right, else 0.

    z of each output unit are `stride` apart. Of equal ones the first is the class.
    """
    z = load(logits, at)
    if task == BINARY:
        rest = logarithm_of_1_plus(exponential(negative(absolute(z))))
        loss = maximum(z, 0.0) - z * target + rest
        chosen = where_positive(sigmoid(z) - 0.5, 1.0, 0.0)
    elif task == REGRESSION:
        loss = (z - target) * (z - target)
        chosen = splat(-1.0)
    else:
        goal = z
        chosen = splat(0.0)
        for o in range(1, outputs):
            other = load(logits, at + o * stride)
            goal = where_positive(absolute(target - o) - 0.5, goal, other)
            chosen = where_positive(other - z, o, chosen)
            z = maximum(z, other)
        total = splat(0.0)
        for o in range(outputs):
            total = total + exponential(load(logits, at + o * stride) - z)
        loss = logarithm(total) + (z - goal)
    return loss, where_positive(0.5 - absolute(chosen - target), 1.0, 0.0)


@inlined
def error(task: int, z: Lanes, target: Lanes, share: Lanes) -> Lanes:
    """Compute the derivatives of the batch's loss by z of an only output unit."""
    if task == BINARY:  # exact as (a − target) · share is, since targets are 0 or 1
        return fma(sigmoid(z), share, negative(target * share))
    return (z - target) * (share + share)


@inlined
def put_errors(
    task: int,
    outputs: int,
    logits: Pointer,
    at: int,
    stride: int,
    target: Lanes,
    share: Lanes,
    errors: Pointer,
    into: int,
) -> None:
    """Compute the derivatives of the batch's loss by z, in sixteen lanes; see `judge`."""
    z = load(logits, at)
    if task != MULTICLASS:
        store(errors, into, error(task, z, target, share))
    else:
        for o in range(1, outputs):
            z = maximum(z, load(logits, at + o * stride))
        total = splat(0.0)
        for o in range(outputs):
            power = exponential(load(logits, at + o * stride) - z)
            store(errors, into + o * stride, power)
            total = total + power
        share_of_total = share / total
        for o in range(outputs):
            goal = where_positive(absolute(target - o) - 0.5, 0.0, share)
            power = load(errors, into + o * stride)
            store(errors, into + o * stride, power * share_of_total - goal)


@inlined
def _gather(
    tile: int, rows: int, inputs: int, order: Pointer, table: Rows, scratch: _Scratch
) -> Rows:
    """Bring a tile's shuffled rows together; what is copied behind each row the next replaces."""
    for row in range(rows):
        chosen = get(order, tile + row)
        put(scratch.goals, row, get(table.targets, chosen))
        if table.is_weighted:
            put(scratch.counts, row, get(table.weights, chosen))
        for i in range(0, inputs, LANES):
            store(scratch.gathered, row * inputs + i, load(table.features, chosen * inputs + i))
    return Rows(scratch.gathered, scratch.goals, scratch.counts, table.is_weighted)


@inlined
def _collect(plan: Any, rows: int, scratch: _Scratch) -> None:
    """Bring z of the rows into the lanes, output by output."""
    last = len(plan) - 1
    outputs, padded, z_at = plan[last, OUTPUTS], plan[last, PADDED], plan[last, VALUES]
    for o in range(outputs):
        for row in range(0, rows, LANES):
            z = splat(0.0)
            for lane in range(min(LANES, rows - row)):
                z = replaced(z, lane, get(scratch.values, z_at + (row + lane) * padded + o))
            store(scratch.logits, o * TILE_ROWS + row, z)


@inlined
def _spread(plan: Any, rows: int, scratch: _Scratch) -> None:
    """Bring the errors from the lanes to their rows; the padding's stay zero."""
    last = len(plan) - 1
    outputs, padded, z_at = plan[last, OUTPUTS], plan[last, PADDED], plan[last, VALUES]
    for row in range(rows):
        store(scratch.errors, z_at + row * padded, first(get(scratch.logits, row)))
    for o in range(1, outputs):
        for row in range(rows):
            put(scratch.errors, z_at + row * padded + o, get(scratch.logits, o * TILE_ROWS + row))


@inlined
def _judge_tile(
    task: int, outputs: int, rows: int, table: Rows, first: int, scratch: _Scratch
) -> tuple[float, int]:
    """Sum the losses, and count the right ones, of the rows whose z are in the lanes."""
    loss = 0.0
    correct = 0
    for row in range(0, rows, LANES):
        target = load(table.targets, first + row)
        row_loss, is_right = judge(task, outputs, scratch.logits, row, TILE_ROWS, target)
        if table.is_weighted:
            row_loss = row_loss * load(table.weights, first + row)
        store(scratch.losses, row, row_loss)
        store(scratch.hits, row, is_right)
    for row in range(rows):
        loss += get(scratch.losses, row)
        correct += int(get(scratch.hits, row))
    return loss, correct


@inlined
def _train_batch(
    kind: int,
    task: int,
    plan: Any,
    begin: int,
    stop: int,
    order: Pointer,
    is_shuffled: bool,
    is_recorded: bool,
    table: Rows,
    weights: Pointer,
    transposed: Pointer,
    scratch: _Scratch,
) -> tuple[float, int]:
    """Add up the gradient of the rows at `begin` … `stop` − 1 of `order`, and judge them."""
    inputs = plan[0, INPUTS]
    outputs = plan[len(plan) - 1, OUTPUTS]
    share = 1.0 / (stop - begin)
    loss = 0.0
    correct = 0
    for tile in range(begin, stop, TILE_ROWS):
        rows = min(TILE_ROWS, stop - tile)
        tile_rows, first = table, tile
        if is_shuffled:
            tile_rows, first = _gather(tile, rows, inputs, order, table, scratch), 0
        _forward(kind, plan, rows, tile_rows.features, first * inputs, weights, scratch)
        _collect(plan, rows, scratch)
        if is_recorded:
            tile_loss, tile_correct = _judge_tile(task, outputs, rows, tile_rows, first, scratch)
            loss += tile_loss
            correct += tile_correct
        for row in range(0, rows, LANES):
            counts = load(tile_rows.weights, first + row) if table.is_weighted else splat(1.0)
            put_errors(
                task, outputs, scratch.logits, row, TILE_ROWS,
                load(tile_rows.targets, first + row), counts * share, scratch.logits, row,
            )  # fmt: skip
        _spread(plan, rows, scratch)
        _backward(
            tile == begin, plan, rows, tile_rows.features, first * inputs, transposed, scratch
        )
    return loss, correct


@inlined
def _validate(
    kind: int,
    task: int,
    plan: Any,
    count: int,
    table: Rows,
    weights: Pointer,
    scratch: _Scratch,
) -> tuple[float, int]:
    """Sum the loss, and count the right rows, of rows that are not trained on."""
    loss = 0.0
    correct = 0
    for tile in range(0, count, TILE_ROWS):
        rows = min(TILE_ROWS, count - tile)
        _forward(kind, plan, rows, table.features, tile * plan[0, INPUTS], weights, scratch)
        _collect(plan, rows, scratch)
        tile_loss, tile_correct = _judge_tile(
            task, plan[len(plan) - 1, OUTPUTS], rows, table, tile, scratch
        )
        loss += tile_loss
        correct += tile_correct
    return loss, correct


def memory_size(plan: npt.NDArray[np.int64], weights: int) -> int:
    """Say how many numbers `train` needs for what passes leave for each other."""
    inputs, outputs = int(plan[0, INPUTS]), int(plan[-1, OUTPUTS])
    room = int(plan[-1, VALUES]) + TILE_ROWS * int(plan[-1, PADDED])
    return 3 * room + weights + TILE_ROWS * (4 + outputs + inputs) + LANES


@stored
def shuffle(words: Any, order: Any) -> None:
    """
    Make each row of `order` a permutation, as `torch.randperm` does with the same random words.

    Shapes: words (epochs, rows − 1), 32-bit numbers of the Mersenne Twister; order (epochs, rows).
    Source: PyTorch, `randperm_cpu`.
    """
    epochs, rows = order.shape
    for epoch in range(epochs):
        for i in range(rows):
            order[epoch, i] = i
        for i in range(rows - 1):
            j = i + words[epoch, i] % (rows - i)
            order[epoch, i], order[epoch, j] = order[epoch, j], order[epoch, i]


def draw_order(random: np.random.RandomState, epochs: int, rows: int) -> npt.NDArray[np.int64]:
    """Draw the order of the rows for the next epochs. Shape (epochs, rows)."""
    words = random.randint(0, 2**32, size=(epochs, rows - 1), dtype=np.uint32)
    order = np.empty((epochs, rows), np.int64)
    shuffle(words, order)
    return order


@stored
def transpose(plan: Any, weights: Any, transposed: Any) -> None:
    """Fill the transposed weights of every layer but the first."""
    _transpose(plan, pointer(weights), pointer(transposed))


@stored
def train(
    first: int,
    end: int,
    last: int,
    interval: int,
    batch_rows: int,
    activation: int,
    task: int,
    rule: int,
    rates: Any,
    decay: float,
    penalty: float,
    plan: Any,
    features: Any,
    targets: Any,
    row_weights: Any,
    order: Any,
    valid_features: Any,
    valid_targets: Any,
    valid_weights: Any,
    weights: Any,
    transposed: Any,
    momenta: Any,
    squares: Any,
    memory: Any,
    step: int,
    records: Any,
) -> tuple[int, int]:
    """
    Train the epochs `first` … `end` − 1; returns the steps taken in all and the records made.

    Shapes: rates (end − first,); features (rows, inputs), flat, with room behind them for
    `ROWS_AT_ONCE` more rows and `LANES` numbers at least; targets (rows + LANES,); row_weights the
    same, or empty where all rows count the same; all of these for validation, too; order
    (end − first, rows), empty for full batches; records (at least the records due, 5). The
    optimizer's states are as long as the weights; `memory`, zeros at first, is as long as
    `memory_size` says.
    """
    mode = flush_subnormals()
    rows = len(targets) - LANES
    size = len(weights)
    outputs = plan[len(plan) - 1, OUTPUTS]
    room = plan[len(plan) - 1, VALUES] + TILE_ROWS * plan[len(plan) - 1, PADDED]
    rest = 3 * room + size
    scratch = _Scratch(
        pointer(memory),
        pointer(memory[room:]),
        pointer(memory[2 * room :]),
        pointer(memory[3 * room :]),
        pointer(memory[rest:]),
        pointer(memory[rest + TILE_ROWS :]),
        pointer(memory[rest + 2 * TILE_ROWS :]),
        pointer(memory[rest + 3 * TILE_ROWS :]),
        pointer(memory[rest + 4 * TILE_ROWS :]),
        pointer(memory[rest + (4 + outputs) * TILE_ROWS :]),
    )
    table = rows_of(features, targets, row_weights)
    valid = rows_of(valid_features, valid_targets, valid_weights)
    is_shuffled = batch_rows < rows
    made = 0
    for epoch in range(first, end):
        is_recorded = epoch % interval == 0 or epoch == last
        in_order = pointer(order[epoch - first if is_shuffled else 0])
        rate = rates[epoch - first]
        loss = 0.0
        correct = 0
        for begin in range(0, rows, batch_rows):
            batch_loss, batch_correct = _train_batch(
                activation, task, plan, begin, min(begin + batch_rows, rows), in_order, is_shuffled,
                is_recorded, table, pointer(weights), pointer(transposed), scratch,
            )  # fmt: skip
            loss += batch_loss
            correct += batch_correct
            step += 1
            if penalty > 0.0:
                penalise(size, pointer(weights), scratch.gradient, penalty)
            update(
                rule, size, pointer(weights), scratch.gradient, pointer(momenta),
                pointer(squares), rate, decay, step,
            )  # fmt: skip
            _transpose(plan, pointer(weights), pointer(transposed))
        if is_recorded:
            valid_loss, valid_correct = _validate(
                activation, task, plan, len(valid_targets) - LANES, valid, pointer(weights), scratch
            )
            records[made, EPOCH] = epoch
            records[made, TRAIN_LOSS] = loss
            records[made, TRAIN_CORRECT] = correct
            records[made, VALID_LOSS] = valid_loss
            records[made, VALID_CORRECT] = valid_correct
            made += 1
    restore(mode)
    return step, made
