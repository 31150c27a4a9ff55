"""
Epochs of small networks on a GPU, in Triton: each network is a lane, its numbers in registers.

A step follows `torch_stack` and `torch_rules` operation by operation. A tuple has an element for
each parameter, or each unit; all loops but those over epochs and rows are unrolled, so the time to
compile grows faster than the number of parameters.

`WIDTHS` are the layers' units from the inputs on; `STARTS` says where each layer's parameters
begin, weights (outputs, inputs) before biases; `UNITS` where each layer's units stand among all of
them; `DELTAS` where ∂L/∂z of each layer's outputs stand, those of the last layer first.
"""

import triton
import triton.language as tl

from perceptron.engines import torch_rules

MOMENTUM = tl.constexpr(torch_rules.MOMENTUM)
FIRST_DECAY = tl.constexpr(torch_rules.FIRST_DECAY)
SECOND_DECAY = tl.constexpr(torch_rules.SECOND_DECAY)
SQUARES_DECAY = tl.constexpr(torch_rules.SQUARES_DECAY)
EPSILON = tl.constexpr(torch_rules.EPSILON)


@triton.jit
def _activate(z, ACTIVATION: tl.constexpr, SLOPE: tl.constexpr):
    if ACTIVATION == "sigmoid":
        return 1.0 / (1.0 + tl.exp(-z))
    elif ACTIVATION == "tanh":
        small = tl.exp(-2.0 * tl.abs(z))
        size = (1.0 - small) / (1.0 + small)
        return tl.where(z < 0, -size, size)
    elif ACTIVATION == "relu":
        return tl.where(z < 0, 0.0, z)
    elif ACTIVATION == "leaky_relu":
        return tl.where(z > 0, z, SLOPE * z)
    elif ACTIVATION == "gelu":
        return 0.5 * z * (1.0 + tl.erf(z * 0.7071067811865476))
    else:
        return z


@triton.jit
def _derive(z, value, ACTIVATION: tl.constexpr, SLOPE: tl.constexpr):
    if ACTIVATION == "sigmoid":
        return value * (1.0 - value)
    elif ACTIVATION == "tanh":
        return 1.0 - value * value
    elif ACTIVATION == "relu":
        return tl.where(z > 0, 1.0, 0.0)
    elif ACTIVATION == "leaky_relu":
        return tl.where(z > 0, 1.0, SLOPE)
    elif ACTIVATION == "gelu":
        density = 0.3989422804014327 * tl.exp(-0.5 * z * z)
        return 0.5 * (1.0 + tl.erf(z * 0.7071067811865476)) + z * density
    else:
        return 1.0 + 0.0 * z


@triton.jit
def train(
    values,
    first,
    second,
    sums,
    features,
    targets,
    weights,
    rates,
    decays,
    table,
    networks,
    epochs,
    rows,
    recorded,
    penalty,
    WIDTHS: tl.constexpr,
    LAYERS: tl.constexpr,
    STARTS: tl.constexpr,
    UNITS: tl.constexpr,
    DELTAS: tl.constexpr,
    COUNT: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    TASK: tl.constexpr,
    OPTIMIZER: tl.constexpr,
    WEIGHTED: tl.constexpr,
    DECAYS: tl.constexpr,
    PENALISED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """
    Train each network for some epochs: parameters p, what the rule remembers m and v, gradients g.

    `table` has, for each epoch, the line over the rates (offset, slope) and Adam's corrections of
    the means and of the squares' root. Where they are recorded, `sums` gets the first epoch's loss
    and right rows, as they are before its update.
    Shapes: values, first, second (networks, parameters); sums (networks, 4); features (rows,
    inputs); targets, weights (rows,); rates, decays (networks,); table (epochs, 4).
    """
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = lane < networks
    OUTPUTS: tl.constexpr = WIDTHS[LAYERS]
    TOP: tl.constexpr = UNITS[LAYERS]
    initial = tl.load(rates + lane, mask=there, other=0.0)
    decay = tl.load(decays + lane, mask=there, other=0.0)
    p = ()
    m = ()
    v = ()
    zero = ()
    for k in tl.static_range(COUNT):
        at = lane * COUNT + k
        p = p + (tl.load(values + at, mask=there, other=0.0),)
        zero = zero + (tl.zeros([BLOCK], tl.float32),)
        if OPTIMIZER != "sgd":
            m = m + (tl.load(first + at, mask=there, other=0.0),)
        if OPTIMIZER == "adam" or OPTIMIZER == "adamw":
            v = v + (tl.load(second + at, mask=there, other=0.0),)
    loss = tl.zeros([BLOCK], tl.float64)
    right = tl.zeros([BLOCK], tl.float64)
    for epoch in range(epochs):
        scores = recorded * (epoch == 0)
        g = zero
        for row in range(rows):
            units = ()
            z = ()
            for i in tl.static_range(WIDTHS[0]):
                units = units + (tl.load(features + row * WIDTHS[0] + i),)
                z = z + (0.0,)
            for layer in tl.static_range(LAYERS):
                for o in tl.static_range(WIDTHS[layer + 1]):
                    total = p[STARTS[layer] + WIDTHS[layer] * WIDTHS[layer + 1] + o]
                    for i in tl.static_range(WIDTHS[layer]):
                        total += p[STARTS[layer] + o * WIDTHS[layer] + i] * units[UNITS[layer] + i]
                    z = z + (total,)
                    if layer == LAYERS - 1:
                        units = units + (total,)
                    else:
                        units = units + (_activate(total, ACTIVATION, SLOPE),)
            weight = 1.0
            if WEIGHTED:
                weight = tl.load(weights + row)
            share = weight / rows
            deltas = ()
            if TASK == "multiclass":
                aim = tl.load(targets + row)
                top = z[TOP]
                chosen = tl.zeros([BLOCK], tl.int64)
                for o in tl.static_range(OUTPUTS - 1):
                    chosen = tl.where(z[TOP + o + 1] > top, o + 1, chosen)
                    top = tl.maximum(top, z[TOP + o + 1])
                whole = tl.zeros([BLOCK], tl.float32)
                aimed = tl.zeros([BLOCK], tl.float32)
                for o in tl.static_range(OUTPUTS):
                    whole += tl.exp(z[TOP + o] - top)
                    aimed += tl.where(aim == o, z[TOP + o], 0.0)
                for o in tl.static_range(OUTPUTS):
                    is_aim = tl.where(aim == o, 1.0, 0.0)
                    deltas = deltas + ((tl.exp(z[TOP + o] - top) / whole - is_aim) * share,)
                if scores:
                    loss += ((top - aimed + tl.log(whole)) * weight).to(tl.float64)
                    right += tl.where(chosen == aim, 1.0, 0.0).to(tl.float64)
            elif TASK == "binary":
                aim = tl.load(targets + row)
                chance = 1.0 / (1.0 + tl.exp(-z[TOP]))
                deltas = deltas + ((chance - aim) * share,)
                if scores:
                    softplus = tl.maximum(z[TOP], 0.0) + tl.log(1.0 + tl.exp(-tl.abs(z[TOP])))
                    loss += ((softplus - aim * z[TOP]) * weight).to(tl.float64)
                    right += tl.where((chance > 0.5) == (aim > 0.5), 1.0, 0.0).to(tl.float64)
            else:
                away = z[TOP] - tl.load(targets + row)
                deltas = deltas + (2.0 * away * share,)
                if scores:
                    loss += (away * away * weight).to(tl.float64)
            for step in tl.static_range(1, LAYERS):
                for i in tl.static_range(WIDTHS[LAYERS - step]):
                    below = p[STARTS[LAYERS - step] + i] * deltas[DELTAS[LAYERS - step]]
                    for o in tl.static_range(1, WIDTHS[LAYERS - step + 1]):
                        below += (
                            p[STARTS[LAYERS - step] + o * WIDTHS[LAYERS - step] + i]
                            * deltas[DELTAS[LAYERS - step] + o]
                        )
                    slope = _derive(
                        z[UNITS[LAYERS - step] + i],
                        units[UNITS[LAYERS - step] + i],
                        ACTIVATION,
                        SLOPE,
                    )
                    deltas = deltas + (below * slope,)
            added = ()
            for layer in tl.static_range(LAYERS):
                for o in tl.static_range(WIDTHS[layer + 1]):
                    for i in tl.static_range(WIDTHS[layer]):
                        added = added + (
                            g[STARTS[layer] + o * WIDTHS[layer] + i]
                            + deltas[DELTAS[layer] + o] * units[UNITS[layer] + i],
                        )
                for o in tl.static_range(WIDTHS[layer + 1]):
                    added = added + (
                        g[STARTS[layer] + WIDTHS[layer] * WIDTHS[layer + 1] + o]
                        + deltas[DELTAS[layer] + o],
                    )
            g = added
        offset = tl.load(table + 4 * epoch)
        line = tl.load(table + 4 * epoch + 1)
        rate = (initial * line + offset).to(tl.float32)
        size = rate / tl.load(table + 4 * epoch + 2).to(tl.float32)
        root = tl.load(table + 4 * epoch + 3).to(tl.float32)
        moved = ()
        firsts = ()
        seconds = ()
        for k in tl.static_range(COUNT):
            slope = g[k]
            value = p[k]
            if PENALISED:
                slope += penalty * (tl.where(value > 0, 1.0, 0.0) - tl.where(value < 0, 1.0, 0.0))
            if DECAYS and OPTIMIZER == "adamw":
                value = value * (1.0 - rate * decay)
            elif DECAYS:
                slope += value * decay
            if OPTIMIZER == "adam" or OPTIMIZER == "adamw":
                mean = m[k] + (1.0 - FIRST_DECAY) * (slope - m[k])
                square = SECOND_DECAY * v[k] + (1.0 - SECOND_DECAY) * slope * slope
                firsts = firsts + (mean,)
                seconds = seconds + (square,)
                moved = moved + (value - mean / (tl.sqrt(square) / root + EPSILON) * size,)
            elif OPTIMIZER == "rmsprop":
                square = SQUARES_DECAY * m[k] + (1.0 - SQUARES_DECAY) * slope * slope
                firsts = firsts + (square,)
                moved = moved + (value - slope / (tl.sqrt(square) + EPSILON) * rate,)
            elif OPTIMIZER == "sgd":
                moved = moved + (value - slope * rate,)
            else:
                velocity = MOMENTUM * m[k] + slope
                firsts = firsts + (velocity,)
                if OPTIMIZER == "nesterov":
                    moved = moved + (value - (slope + MOMENTUM * velocity) * rate,)
                else:
                    moved = moved + (value - velocity * rate,)
        p = moved
        m = firsts
        v = seconds
    for k in tl.static_range(COUNT):
        at = lane * COUNT + k
        tl.store(values + at, p[k], mask=there)
        if OPTIMIZER != "sgd":
            tl.store(first + at, m[k], mask=there)
        if OPTIMIZER == "adam" or OPTIMIZER == "adamw":
            tl.store(second + at, v[k], mask=there)
    if recorded:
        tl.store(sums + 4 * lane, loss, mask=there)
        tl.store(sums + 4 * lane + 1, right, mask=there)
