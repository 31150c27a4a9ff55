"""
Whole epochs of sixteen networks of one shape at once: each lane is a network.

Every number of `kernels` is a vector here: a layer's weights have the shape (outputs, inputs + 1,
LANES), the bias last; a tile's values (rows, units, LANES). The networks may differ in their
initial weights, the order of their rows, learning rate and weight decay.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.engines.compiling import inlined, stored
from perceptron.engines.kernels import (
    IDENTITY,
    INPUTS,
    OUTPUTS,
    ROWS_AT_ONCE,
    TILE_ROWS,
    VALUES,
    WEIGHTS,
    activate,
    judge,
    sigmoid,
    update,
)
from perceptron.engines.simd import LANES, Pointer, fma, get, load, pointer, put, splat, store

TRAIN_LOSS, TRAIN_CORRECT, VALID_LOSS, VALID_CORRECT = range(4)
"""First columns of a record; the lanes follow. Losses are sums over rows."""


class _Scratch(NamedTuple):
    """What the passes over one tile leave for each other."""

    features: Pointer
    """Shape (rows, inputs, LANES)."""
    targets: Pointer
    """Shape (rows, LANES)."""
    values: Pointer
    slopes: Pointer
    errors: Pointer
    gradient: Pointer


@inlined
def _gather(
    tile: int,
    rows: int,
    inputs: int,
    order: Pointer,
    is_shuffled: bool,
    features: Pointer,
    targets: Pointer,
    scratch: _Scratch,
) -> None:
    """Bring a tile's rows, each network's own, into the lanes."""
    for row in range(rows):
        if is_shuffled:
            for lane in range(LANES):
                chosen = get(order, (tile + row) * LANES + lane)
                put(scratch.targets, row * LANES + lane, get(targets, chosen))
                for i in range(inputs):
                    at = (row * inputs + i) * LANES + lane
                    put(scratch.features, at, get(features, chosen * inputs + i))
        else:
            store(scratch.targets, row * LANES, get(targets, tile + row))
            for i in range(inputs):
                value = get(features, (tile + row) * inputs + i)
                store(scratch.features, (row * inputs + i) * LANES, value)


@inlined
def _forward(kind: int, plan: Any, rows: int, weights: Pointer, scratch: _Scratch) -> None:
    """Send a tile through every layer, `ROWS_AT_ONCE` rows at a time."""
    source, first = scratch.features, 0
    last = len(plan) - 1
    for k in range(last + 1):
        inputs, outputs, into = plan[k, INPUTS], plan[k, OUTPUTS], plan[k, VALUES]
        stride = inputs * LANES
        width = outputs * LANES
        for o in range(outputs):
            unit = plan[k, WEIGHTS] + o * (inputs + 1) * LANES
            for row in range(0, rows, ROWS_AT_ONCE):
                a = load(weights, unit + stride)
                b = a
                c = a
                d = a
                at = first + row * stride
                for i in range(0, stride, LANES):
                    w = load(weights, unit + i)
                    a = fma(load(source, at + i), w, a)
                    b = fma(load(source, at + stride + i), w, b)
                    c = fma(load(source, at + 2 * stride + i), w, c)
                    d = fma(load(source, at + 3 * stride + i), w, d)
                at = into + row * width + o * LANES
                use = kind if k < last else IDENTITY
                activate(use, a, scratch.values, scratch.slopes, at)
                activate(use, b, scratch.values, scratch.slopes, at + width)
                activate(use, c, scratch.values, scratch.slopes, at + 2 * width)
                activate(use, d, scratch.values, scratch.slopes, at + 3 * width)
        source, first = scratch.values, into


@inlined
def _backward(is_first: bool, plan: Any, rows: int, weights: Pointer, scratch: _Scratch) -> None:
    """Bring the errors back through every layer, adding up the gradient."""
    for k in range(len(plan) - 1, -1, -1):
        inputs, outputs, at = plan[k, INPUTS], plan[k, OUTPUTS], plan[k, VALUES]
        stride = inputs * LANES
        width = outputs * LANES
        source, first = scratch.features, 0
        if k > 0:
            source, first = scratch.values, plan[k - 1, VALUES]
        for o in range(outputs):
            unit = plan[k, WEIGHTS] + o * (inputs + 1) * LANES
            for i in range(0, stride, LANES):
                a = splat(0.0) if is_first else load(scratch.gradient, unit + i)
                for row in range(rows):
                    e = load(scratch.errors, at + row * width + o * LANES)
                    a = fma(e, load(source, first + row * stride + i), a)
                store(scratch.gradient, unit + i, a)
            a = splat(0.0) if is_first else load(scratch.gradient, unit + stride)
            for row in range(rows):
                a = a + load(scratch.errors, at + row * width + o * LANES)
            store(scratch.gradient, unit + stride, a)
        if k > 0:
            for row in range(rows):
                for i in range(0, stride, LANES):
                    a = splat(0.0)
                    for o in range(outputs):
                        unit = plan[k, WEIGHTS] + o * (inputs + 1) * LANES
                        e = load(scratch.errors, at + row * width + o * LANES)
                        a = fma(e, load(weights, unit + i), a)
                    into = first + row * stride + i
                    store(scratch.errors, into, a * load(scratch.slopes, into))


@inlined
def _judge_tile(rows: int, z_at: int, scratch: _Scratch, losses: Any, correct: Any) -> None:
    """Add each network's binary cross-entropy and right rows."""
    for row in range(rows):
        for lane in range(LANES):
            logit = get(scratch.values, z_at + row * LANES + lane)
            loss, is_right = judge(logit, get(scratch.targets, row * LANES + lane))
            losses[lane] += loss
            correct[lane] += is_right


def memory_size(plan: npt.NDArray[np.int64], weights: int) -> int:
    """Say how many numbers `train` needs for what passes leave for each other."""
    room = int(plan[-1, VALUES]) + TILE_ROWS * LANES
    return 3 * room + weights + TILE_ROWS * LANES * (int(plan[0, INPUTS]) + 1)


@stored
def train(
    first: int,
    end: int,
    last: int,
    interval: int,
    batch_rows: int,
    activation: int,
    rule: int,
    rates: Any,
    decays: Any,
    plan: Any,
    features: Any,
    targets: Any,
    order: Any,
    valid_features: Any,
    valid_targets: Any,
    weights: Any,
    momenta: Any,
    squares: Any,
    memory: Any,
    step: int,
    records: Any,
) -> tuple[int, int]:
    """
    Train the epochs `first` … `end` − 1 of one group; returns the steps taken and the records made.

    Shapes: rates, decays (LANES,); features (rows, inputs), flat; targets (rows,); order
    (end − first, rows, LANES), empty for full batches; weights and the optimizer's states as the
    plan says; `memory` as long as `memory_size` says; records (at least the records due, 4,
    LANES).
    """
    rows = len(targets)
    inputs = plan[0, INPUTS]
    size = len(weights)
    z_at = plan[len(plan) - 1, VALUES]
    room = z_at + TILE_ROWS * LANES
    rest = 3 * room + size
    scratch = _Scratch(
        pointer(memory[rest:]),
        pointer(memory[rest + TILE_ROWS * LANES * inputs :]),
        pointer(memory),
        pointer(memory[room:]),
        pointer(memory[2 * room :]),
        pointer(memory[3 * room :]),
    )
    is_shuffled = batch_rows < rows
    made = 0
    for epoch in range(first, end):
        is_recorded = epoch % interval == 0 or epoch == last
        for begin in range(0, rows, batch_rows):
            stop = min(begin + batch_rows, rows)
            share = 1.0 / (stop - begin)
            for tile in range(begin, stop, TILE_ROWS):
                count = min(TILE_ROWS, stop - tile)
                _gather(
                    tile, count, inputs, pointer(order[epoch - first] if is_shuffled else order[0]),
                    is_shuffled, pointer(features), pointer(targets), scratch,
                )  # fmt: skip
                padded = (count + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE * ROWS_AT_ONCE
                _forward(activation, plan, padded, pointer(weights), scratch)
                if is_recorded:
                    found = records[made]
                    _judge_tile(count, z_at, scratch, found[TRAIN_LOSS], found[TRAIN_CORRECT])
                for row in range(count):
                    at = z_at + row * LANES
                    target = load(scratch.targets, row * LANES)
                    store(scratch.errors, at, (sigmoid(load(scratch.values, at)) - target) * share)
                _backward(tile == begin, plan, count, pointer(weights), scratch)
            step += 1
            update(
                rule, size, pointer(weights), scratch.gradient, pointer(momenta), pointer(squares),
                load(pointer(rates), 0), load(pointer(decays), 0), step,
            )  # fmt: skip
        if is_recorded:
            for tile in range(0, len(valid_targets), TILE_ROWS):
                count = min(TILE_ROWS, len(valid_targets) - tile)
                _gather(
                    tile, count, inputs, pointer(order[0]), False,
                    pointer(valid_features), pointer(valid_targets), scratch,
                )  # fmt: skip
                padded = (count + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE * ROWS_AT_ONCE
                _forward(activation, plan, padded, pointer(weights), scratch)
                found = records[made]
                _judge_tile(count, z_at, scratch, found[VALID_LOSS], found[VALID_CORRECT])
            made += 1
    return step, made
