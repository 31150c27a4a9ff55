"""Logic gates: their truth tables, and the slides' perceptrons whose weights were set by hand."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.layers import Layer, Layers, as_parameters
from perceptron.separability import hyperplane, separability
from schemas.errors import NotFound
from schemas.gate import Gate, GateSummary, Separability, TruthTableRow

MAX_INPUTS = 8
"""Input bits of the widest truth table that has a name: 256 digits."""


class TruthTable(NamedTuple):
    """The outputs of a gate, and what it computes."""

    bits: str
    """Outputs in counting order: inputs (0, 0), (0, 1), (1, 0), (1, 1)."""
    description: str

    @property
    def inputs(self) -> int:
        """Number of input bits."""
        return len(self.bits).bit_length() - 1

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """Every input in counting order. Shape (rows, inputs)."""
        return np.array(list(product((0, 1), repeat=self.inputs)), np.float32)

    @property
    def targets(self) -> npt.NDArray[np.float32]:
        """The output of each row. Shape (rows,)."""
        return np.array(list(map(int, self.bits)), np.float32)


def _parity(inputs: int) -> TruthTable:
    bits = "".join(str(row.bit_count() % 2) for row in range(2**inputs))
    return TruthTable(bits, f"1 when an odd number of the {inputs} inputs is 1")


NAMED_TABLES: Mapping[str, TruthTable] = MappingProxyType(
    {
        "and": TruthTable("0001", "1 only when both inputs are 1"),
        "or": TruthTable("0111", "0 only when both inputs are 0"),
        "nand": TruthTable("1110", "0 only when both inputs are 1: the opposite of AND"),
        "nor": TruthTable("1000", "1 only when both inputs are 0: the opposite of OR"),
        "xor": TruthTable("0110", "1 when the inputs differ"),
        "xnor": TruthTable("1001", "1 when the inputs are equal: the opposite of XOR"),
        "parity-3": _parity(3),
        "parity-4": _parity(4),
    }
)
"""Every gate with a name."""


def _step_layer(weight: list[list[float]], bias: list[float]) -> Layer:
    layer = Layer(np.array(weight), np.array(bias), "step")
    layer.weight.flags.writeable = False
    layer.bias.flags.writeable = False
    return layer


_AND = _step_layer([[0.5, 0.5]], [-0.7])
_NAND_AND_OR = _step_layer([[-0.5, -0.5], [0.6, 0.6]], [0.7, -0.5])

BUILT_IN_MODELS: Mapping[str, Layers] = MappingProxyType(
    {
        "and": (_AND,),
        "nand": (_step_layer([[-0.5, -0.5]], [0.7]),),
        "or": (_step_layer([[0.6, 0.6]], [-0.5]),),
        "xor": (_NAND_AND_OR, _AND),
    }
)
"""
The slides' perceptrons, float64, read-only; xor is AND of NAND and OR.

Source: slides, 2, single-layer and multi-layer perceptron.
"""

_BUILT_IN_BY_BITS = {NAMED_TABLES[name].bits: layers for name, layers in BUILT_IN_MODELS.items()}


def gate_summaries() -> tuple[GateSummary, ...]:
    """List every gate with a name."""
    return tuple(
        GateSummary(name=name, inputs=table.inputs, description=table.description)
        for name, table in NAMED_TABLES.items()
    )


@lru_cache(maxsize=128)
def gate(name: str) -> Gate:
    """
    Describe a gate, named or written as its outputs in counting order (`0110` is XOR).

    Raises: NotFound for any other name, and for a number of digits that is not 2, 4, 8, … 256.
    """
    table = NAMED_TABLES.get(name) or _written_table(name)
    layers = _BUILT_IN_BY_BITS.get(table.bits)
    return Gate(
        name=name,
        inputs=table.inputs,
        description=table.description,
        truth_table=_rows(table),
        separability=_separability(table, layers),
        perceptron=as_parameters(layers) if layers else None,
    )


def _written_table(name: str) -> TruthTable:
    lengths = [2**inputs for inputs in range(1, MAX_INPUTS + 1)]
    if len(name) not in lengths or set(name) - {"0", "1"}:
        raise NotFound("gate", name)
    return TruthTable(name, "The gate with these outputs, in counting order of its inputs")


def _rows(table: TruthTable) -> tuple[TruthTableRow, ...]:
    return tuple(
        TruthTableRow(inputs=inputs, output=int(bit))
        for inputs, bit in zip(product((0, 1), repeat=table.inputs), table.bits, strict=True)
    )


def _separability(table: TruthTable, layers: Layers | None) -> Separability:
    """Give the slides' own line where they draw one."""
    if layers is None or len(layers) > 1:
        return separability(table.features, table.targets)
    line = hyperplane(layers[0].weight[0].tolist(), layers[0].bias.tolist()[0])
    return Separability(linearly_separable=True, line=line, proof=None)
