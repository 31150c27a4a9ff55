"""
Whole epochs of a network that is one unit: rows lie across the lanes.

In the layout of `kernels` such a network leaves all lanes but one empty. Here a tile is `LANES`
rows, one column after the other: shape (inputs + 3, LANES); behind the features there are ones,
which the bias weighs, the targets, and how much each row counts. Where rows are missing the ones
and the counts are zeros, and what else stands there counts for nothing. The weights are those of
the unit, the bias last.
"""

from typing import Any

from perceptron.engines.compiling import inlined, stored
from perceptron.engines.kernels import (
    EPOCH,
    INPUTS,
    TRAIN_CORRECT,
    TRAIN_LOSS,
    VALID_CORRECT,
    VALID_LOSS,
    Rows,
    error,
    judge,
    penalise,
    rows_of,
    update,
)
from perceptron.engines.simd import (
    LANES,
    Lanes,
    Pointer,
    flush_subnormals,
    fma,
    get,
    load,
    pointer,
    put,
    replaced,
    restore,
    splat,
    store,
    total,
    where_positive,
)


@inlined
def _place(
    tile: int,
    rows: int,
    inputs: int,
    order: Pointer,
    is_shuffled: bool,
    table: Rows,
    into: Pointer,
    at: int,
) -> None:
    """Bring a tile's rows into the lanes."""
    ones = at + inputs * LANES
    targets = ones + LANES
    counts = targets + LANES
    store(into, ones, 0.0)
    store(into, counts, 0.0)
    for row in range(rows):
        chosen = get(order, tile + row) if is_shuffled else tile + row
        for i in range(inputs):
            put(into, at + i * LANES + row, get(table.features, chosen * inputs + i))
        put(into, ones + row, 1.0)
        put(into, targets + row, get(table.targets, chosen))
        put(into, counts + row, get(table.weights, chosen) if table.is_weighted else 1.0)


@inlined
def _weigh(inputs: int, weights: Pointer, source: Pointer, at: int) -> Lanes:
    """Compute z of a tile's rows."""
    z = splat(get(weights, inputs))
    for i in range(inputs):
        z = fma(get(weights, i), load(source, at + i * LANES), z)
    return z


@inlined
def _judge(
    task: int, z: Lanes, inputs: int, source: Pointer, at: int, room: Pointer
) -> tuple[float, int]:
    """Sum the losses, and count the right ones, of a tile's rows."""
    ones = load(source, at + inputs * LANES)
    store(room, 0, z)
    losses, hits = judge(task, 1, room, 0, LANES, load(source, at + (inputs + 1) * LANES))
    losses = where_positive(ones, losses * load(source, at + (inputs + 2) * LANES), 0.0)
    return total(losses), int(total(where_positive(ones, hits, 0.0)))


@inlined
def _add_gradient(
    is_first: bool, inputs: int, errors: Lanes, source: Pointer, at: int, sums: Pointer
) -> None:
    """Add errors · columns, lane by lane; the first tile begins anew."""
    for column in range(0, (inputs + 1) * LANES, LANES):
        a = splat(0.0) if is_first else load(sums, column)
        store(sums, column, fma(errors, load(source, at + column), a))


@inlined
def _sum_up(inputs: int, sums: Pointer, gradient: Pointer) -> None:
    """Add up the lanes of each weight's sums."""
    for i in range(0, inputs + 1, LANES):
        g = splat(0.0)
        for lane in range(min(LANES, inputs + 1 - i)):
            g = replaced(g, lane, total(load(sums, (i + lane) * LANES)))
        store(gradient, i, g)


def memory_size(inputs: int, size: int, kept: int) -> int:
    """Say how many numbers `train` needs for `size` weights and `kept` rows of a full batch."""
    tiles = 1 - -kept // LANES
    return size + LANES * (tiles * (inputs + 3) + inputs + 2)


@stored
def train(
    first: int,
    end: int,
    last: int,
    interval: int,
    batch_rows: int,
    _activation: int,
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
    _transposed: Any,
    momenta: Any,
    squares: Any,
    memory: Any,
    step: int,
    records: Any,
) -> tuple[int, int]:
    """
    Train the epochs `first` … `end` − 1 as `kernels.train` does, with the same arguments.

    Shapes: weights and the optimizer's states (inputs + 1,), with zeros up to a multiple of
    `LANES`; `memory` as long as `memory_size` says.
    """
    mode = flush_subnormals()
    rows = len(targets) - LANES
    valid_rows = len(valid_targets) - LANES
    inputs = plan[0, INPUTS]
    size = len(weights)
    columns = inputs + 3
    is_shuffled = batch_rows < rows
    w = pointer(weights)
    gradient = pointer(memory)
    sums = pointer(memory[size:])
    room = pointer(memory[size + (inputs + 1) * LANES :])
    passing = pointer(memory[size + (inputs + 2) * LANES :])
    kept = pointer(memory[size + (inputs + 2 + columns) * LANES :])
    table = rows_of(features, targets, row_weights)
    valid = rows_of(valid_features, valid_targets, valid_weights)
    if not is_shuffled:
        for tile in range(0, rows, LANES):
            here = min(LANES, rows - tile)
            _place(tile, here, inputs, pointer(order), False, table, kept, tile * columns)
    made = 0
    for epoch in range(first, end):
        is_recorded = epoch % interval == 0 or epoch == last
        in_order = pointer(order[epoch - first if is_shuffled else 0])
        loss = 0.0
        correct = 0
        for begin in range(0, rows, batch_rows):
            stop = min(begin + batch_rows, rows)
            share = 1.0 / (stop - begin)
            for tile in range(begin, stop, LANES):
                source, at = kept, tile * columns
                if is_shuffled:
                    source, at = passing, 0
                    here = min(LANES, stop - tile)
                    _place(tile, here, inputs, in_order, True, table, passing, 0)
                z = _weigh(inputs, w, source, at)
                if is_recorded:
                    tile_loss, tile_correct = _judge(task, z, inputs, source, at, room)
                    loss += tile_loss
                    correct += tile_correct
                goals = load(source, at + (inputs + 1) * LANES)
                counts = load(source, at + (inputs + 2) * LANES)
                errors = error(task, z, goals, counts * share)
                _add_gradient(tile == begin, inputs, errors, source, at, sums)
            _sum_up(inputs, sums, gradient)
            step += 1
            if penalty > 0.0:
                penalise(size, w, gradient, penalty)
            update(
                rule, size, w, gradient, pointer(momenta), pointer(squares),
                rates[epoch - first], decay, step,
            )  # fmt: skip
        if is_recorded:
            records[made, EPOCH] = epoch
            records[made, TRAIN_LOSS] = loss
            records[made, TRAIN_CORRECT] = correct
            records[made, VALID_LOSS] = 0.0
            records[made, VALID_CORRECT] = 0.0
            for tile in range(0, valid_rows, LANES):
                here = min(LANES, valid_rows - tile)
                _place(tile, here, inputs, in_order, False, valid, passing, 0)
                z = _weigh(inputs, w, passing, 0)
                tile_loss, tile_correct = _judge(task, z, inputs, passing, 0, room)
                records[made, VALID_LOSS] += tile_loss
                records[made, VALID_CORRECT] += tile_correct
            made += 1
    restore(mode)
    return step, made
