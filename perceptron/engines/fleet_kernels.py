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
    Rows,
    activate,
    judge,
    penalise,
    put_errors,
    rows_of,
    update,
)
from perceptron.engines.simd import (
    LANES,
    Pointer,
    flush_subnormals,
    fma,
    get,
    load,
    pointer,
    put,
    restore,
    splat,
    store,
)

TRAIN_LOSS, TRAIN_CORRECT, VALID_LOSS, VALID_CORRECT = range(4)
"""First columns of a record; the lanes follow. Losses are sums over rows."""


class _Scratch(NamedTuple):
    """What the passes over one tile leave for each other."""

    features: Pointer
    """Shape (rows, inputs, LANES)."""
    targets: Pointer
    """Shape (rows, LANES)."""
    counts: Pointer
    """How much each row counts. Shape (rows, LANES)."""
    values: Pointer
    slopes: Pointer
    errors: Pointer
    gradient: Pointer
    sums: Pointer
    """Losses of a tile, then its right rows. Shape (2, LANES)."""


@inlined
def _gather(
    tile: int,
    rows: int,
    inputs: int,
    order: Pointer,
    is_shuffled: bool,
    table: Rows,
    scratch: _Scratch,
) -> None:
    """Bring a tile's rows, each network's own, into the lanes."""
    for row in range(rows):
        if is_shuffled:
            for lane in range(LANES):
                chosen = get(order, (tile + row) * LANES + lane)
                put(scratch.targets, row * LANES + lane, get(table.targets, chosen))
                if table.is_weighted:
                    put(scratch.counts, row * LANES + lane, get(table.weights, chosen))
                for i in range(inputs):
                    at = (row * inputs + i) * LANES + lane
                    put(scratch.features, at, get(table.features, chosen * inputs + i))
        else:
            store(scratch.targets, row * LANES, get(table.targets, tile + row))
            if table.is_weighted:
                store(scratch.counts, row * LANES, get(table.weights, tile + row))
            for i in range(inputs):
                value = get(table.features, (tile + row) * inputs + i)
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
def _judge_tile(
    task: int,
    outputs: int,
    rows: int,
    z_at: int,
    is_weighted: bool,
    scratch: _Scratch,
    losses: Any,
    correct: Any,
) -> None:
    """Add each network's loss and right rows."""
    loss = splat(0.0)
    right = splat(0.0)
    for row in range(rows):
        target = load(scratch.targets, row * LANES)
        at = z_at + row * outputs * LANES
        row_loss, is_right = judge(task, outputs, scratch.values, at, LANES, target)
        if is_weighted:
            row_loss = row_loss * load(scratch.counts, row * LANES)
        loss = loss + row_loss
        right = right + is_right
    store(scratch.sums, 0, loss)
    store(scratch.sums, LANES, right)
    for lane in range(LANES):
        losses[lane] += get(scratch.sums, lane)
        correct[lane] += get(scratch.sums, LANES + lane)


@inlined
def _train_batch(
    kind: int,
    task: int,
    plan: Any,
    begin: int,
    stop: int,
    order: Pointer,
    is_shuffled: bool,
    is_placed: bool,
    is_recorded: bool,
    table: Rows,
    weights: Pointer,
    scratch: _Scratch,
    losses: Any,
    correct: Any,
) -> None:
    """
    Add up the gradient of the rows at `begin` … `stop` − 1 of each order, and judge them.

    `is_placed` says that the only tile's rows still are in the lanes.
    """
    outputs, z_at = plan[len(plan) - 1, OUTPUTS], plan[len(plan) - 1, VALUES]
    share = 1.0 / (stop - begin)
    for tile in range(begin, stop, TILE_ROWS):
        rows = min(TILE_ROWS, stop - tile)
        if not is_placed:
            _gather(tile, rows, plan[0, INPUTS], order, is_shuffled, table, scratch)
        _forward(kind, plan, rows, weights, scratch)
        if is_recorded:
            _judge_tile(task, outputs, rows, z_at, table.is_weighted, scratch, losses, correct)
        for row in range(rows):
            counts = load(scratch.counts, row * LANES) if table.is_weighted else splat(1.0)
            at = z_at + row * outputs * LANES
            put_errors(
                task, outputs, scratch.values, at, LANES,
                load(scratch.targets, row * LANES), counts * share, scratch.errors, at,
            )  # fmt: skip
        _backward(tile == begin, plan, rows, weights, scratch)


@inlined
def _validate(
    kind: int,
    task: int,
    plan: Any,
    count: int,
    order: Pointer,
    table: Rows,
    weights: Pointer,
    scratch: _Scratch,
    losses: Any,
    correct: Any,
) -> None:
    """Judge rows that are not trained on."""
    outputs, z_at = plan[len(plan) - 1, OUTPUTS], plan[len(plan) - 1, VALUES]
    for tile in range(0, count, TILE_ROWS):
        rows = min(TILE_ROWS, count - tile)
        _gather(tile, rows, plan[0, INPUTS], order, False, table, scratch)
        _forward(kind, plan, rows, weights, scratch)
        _judge_tile(task, outputs, rows, z_at, table.is_weighted, scratch, losses, correct)


def memory_size(plan: npt.NDArray[np.int64], weights: int) -> int:
    """Say how many numbers `train` needs for what passes leave for each other."""
    room = int(plan[-1, VALUES]) + TILE_ROWS * LANES * int(plan[-1, OUTPUTS])
    return 3 * room + weights + TILE_ROWS * LANES * (int(plan[0, INPUTS]) + 2) + 2 * LANES


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
    decays: Any,
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
    momenta: Any,
    squares: Any,
    memory: Any,
    step: int,
    records: Any,
) -> tuple[int, int]:
    """
    Train the epochs `first` … `end` − 1 of one group; returns the steps taken and the records made.

    Shapes: rates (end − first, LANES); decays (LANES,); features, targets and row_weights, also
    for validation, as those of `kernels.train`; order (end − first, rows, LANES), empty for full
    batches; weights and the optimizer's states as the plan says; `memory` as long as `memory_size`
    says; records (at least the records due, 4, LANES).
    """
    mode = flush_subnormals()
    rows = len(targets) - LANES
    valid_rows = len(valid_targets) - LANES
    inputs = plan[0, INPUTS]
    size = len(weights)
    room = plan[len(plan) - 1, VALUES] + TILE_ROWS * LANES * plan[len(plan) - 1, OUTPUTS]
    rest = 3 * room + size
    scratch = _Scratch(
        pointer(memory[rest:]),
        pointer(memory[rest + TILE_ROWS * LANES * inputs :]),
        pointer(memory[rest + TILE_ROWS * LANES * (inputs + 1) :]),
        pointer(memory),
        pointer(memory[room:]),
        pointer(memory[2 * room :]),
        pointer(memory[3 * room :]),
        pointer(memory[rest + TILE_ROWS * LANES * (inputs + 2) :]),
    )
    table = rows_of(features, targets, row_weights)
    valid = rows_of(valid_features, valid_targets, valid_weights)
    is_shuffled = batch_rows < rows
    stays = not is_shuffled and rows <= TILE_ROWS
    is_placed = False
    nothing = np.zeros(LANES)
    made = 0
    for epoch in range(first, end):
        is_recorded = epoch % interval == 0 or epoch == last
        in_order = pointer(order[epoch - first if is_shuffled else 0])
        losses = records[made, TRAIN_LOSS] if is_recorded else nothing
        correct = records[made, TRAIN_CORRECT] if is_recorded else nothing
        for begin in range(0, rows, batch_rows):
            _train_batch(
                activation, task, plan, begin, min(begin + batch_rows, rows), in_order,
                is_shuffled, is_placed, is_recorded, table, pointer(weights), scratch, losses,
                correct,
            )  # fmt: skip
            is_placed = stays
            step += 1
            if penalty > 0.0:
                penalise(size, pointer(weights), scratch.gradient, penalty)
            update(
                rule, size, pointer(weights), scratch.gradient, pointer(momenta), pointer(squares),
                load(pointer(rates), (epoch - first) * LANES), load(pointer(decays), 0), step,
            )  # fmt: skip
        if is_recorded:
            _validate(
                activation, task, plan, valid_rows, in_order, valid, pointer(weights), scratch,
                records[made, VALID_LOSS], records[made, VALID_CORRECT],
            )  # fmt: skip
            is_placed = is_placed and valid_rows == 0
            made += 1
    restore(mode)
    return step, made
