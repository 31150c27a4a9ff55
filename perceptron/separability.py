"""
Whether one hyperplane separates two classes, decided in exact arithmetic.

Write each row x of class s ∈ {+1, −1} as the vector a = s·(x, 1). A hyperplane w·x + b has class 1
on its positive side and class 0 on its negative one exactly when (w, b)·a > 0 for every a. Gordan's
theorem: either there is such a (w, b), or there are λ ≥ 0, not all zero, with Σ λ·a = 0; never
both. Such λ, scaled to add up to 1 within each class, are the weights of one point that lies in
the convex hulls of both classes, which is the proof that no hyperplane exists.

Phase 1 of the simplex method decides: minimise the artificial variables of Σ λ·a = 0, Σ λ = 1.
At a minimum of 0, λ is the proof; otherwise the dual solution is the hyperplane. Bland's rule keeps
it from cycling. The tableau holds integers over one common denominator (Edmonds' pivots), which is
the arithmetic of `Fraction` without reducing each entry by itself.

Sources: Gordan 1873; Bland 1977; Edmonds 1967.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.gate import HullPoint, Hyperplane, InseparabilityProof, Separability

SMALL_TABLE_COST = 1_000_000
"""Cost, by `is_small_enough`, of the largest table that is decided in about a second."""

MANTISSA_BITS = 24
"""Bits of a float32 without its exponent."""

DIGIT_BITS = 30
"""Bits of one digit of Python's integers."""

Vector = Sequence[Fraction]


class Alternative(NamedTuple):
    """Gordan's alternative: one of the two is there, the other is None."""

    normal: tuple[Fraction, ...] | None
    """A vector whose product with every given vector is positive."""
    weights: tuple[Fraction, ...] | None
    """One weight ≥ 0 per given vector, adding up to 1, whose weighted sum of vectors is zero."""


def is_small_enough(features: npt.NDArray[np.floating[Any]]) -> bool:
    """
    Whether `separability` decides this table in about a second.

    A pivot costs rows · features; there are a few per feature; and integers grow by one entry's
    bits, which span the table's exponents, with each feature.

    Shapes: features (rows, features).
    """
    rows, columns = features.shape
    cells = rows * (columns + 2) ** 2
    if cells > SMALL_TABLE_COST:
        return False
    exponents = np.frexp(features[features != 0])[1]
    bits = MANTISSA_BITS + (int(np.ptp(exponents)) if exponents.size else 0)
    return bool(cells * (1 + columns * bits // DIGIT_BITS) <= SMALL_TABLE_COST)


def separability(
    features: npt.NDArray[np.floating[Any]], targets: npt.NDArray[np.floating[Any]]
) -> Separability:
    """
    Find a hyperplane between the classes, or prove that there is none.

    Each line given separates exactly, rounded to floats as it is; it is None for separable classes
    that are too close together for any rounding of the exact line.

    Shapes: features (rows, features), targets (rows,); finite, at least one row.
    """
    rows = [[Fraction(value) for value in row] for row in features.tolist()]
    ones = [target > 0.5 for target in targets.tolist()]
    signed = [_signed(row, one=one) for row, one in zip(rows, ones, strict=True)]
    normal, weights = gordan(signed)
    if normal is not None:
        return Separability(linearly_separable=True, line=_line(normal, signed), proof=None)
    proof = _proof(rows, ones, weights or ())
    return Separability(linearly_separable=False, line=None, proof=proof)


def hyperplane(weights: Sequence[float], bias: float) -> Hyperplane:
    """Describe w·x + b = 0."""
    terms = [(weight, f"·x{index}") for index, weight in enumerate(weights, start=1)]
    text = ""
    for value, unit in [*terms, (bias, "")]:
        sign = "−" if value < 0 else "+"
        text += f" {sign} {abs(value):g}{unit}"
    text = text.removeprefix(" + ")
    if text.startswith(" − "):
        text = "−" + text.removeprefix(" − ")
    return Hyperplane(weights=tuple(weights), bias=bias, equation=f"{text} = 0")


def gordan(vectors: Sequence[Vector]) -> Alternative:
    """Find a vector at an acute angle to every one of `vectors`, or weights that cancel them."""
    scales = [
        math.lcm(*(value.denominator for value in column)) for column in zip(*vectors, strict=True)
    ]
    columns = [
        [int(value * scale) for value, scale in zip(vector, scales, strict=True)]
        for vector in vectors
    ]
    tableau, basis, denominator = _phase_one(columns)
    *reduced_costs, minimum = tableau[-1]
    if minimum == 0:
        weights = [Fraction(0)] * len(columns)
        for row, column in enumerate(basis):
            if column < len(columns):
                weights[column] = Fraction(tableau[row][-1], denominator)
        return Alternative(None, tuple(weights))
    artificial = reduced_costs[len(columns) : len(columns) + len(scales)]
    return Alternative(
        tuple(
            Fraction(cost - denominator, denominator) * scale
            for cost, scale in zip(artificial, scales, strict=True)
        ),
        None,
    )


def _phase_one(columns: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[int], int]:
    """
    Minimise the artificial variables of Σ λ·column = 0, Σ λ = 1, λ ≥ 0.

    Returns the last tableau (its last row are the reduced costs), the basis (the variable of each
    row) and the denominator of every entry.
    """
    tableau = _tableau(columns)
    variables = len(columns)
    basis = [variables + row for row in range(len(tableau) - 1)]
    denominator = 1
    while (entering := _entering(tableau[-1], variables)) is not None:
        leaving = _leaving(tableau, basis, entering)
        _pivot(tableau, leaving, entering, denominator)
        denominator = tableau[leaving][entering]
        basis[leaving] = entering
    return tableau, basis, denominator


def _tableau(columns: Sequence[Sequence[int]]) -> list[list[int]]:
    """Equations with an artificial variable each, then minus their sum: the reduced costs."""
    equations = [*map(list, zip(*columns, strict=True)), [1] * len(columns)]
    size = len(equations)
    for row, equation in enumerate(equations):
        equation += [int(row == artificial) for artificial in range(size)]
        equation.append(int(row == size - 1))
    costs = [-sum(column) for column in zip(*equations, strict=True)]
    costs[len(columns) : -1] = [0] * size
    return [*equations, costs]


def _entering(costs: Sequence[int], variables: int) -> int | None:
    """Bland's rule: the first variable that lowers the objective; artificial ones stay out."""
    return next((column for column in range(variables) if costs[column] < 0), None)


def _leaving(tableau: Sequence[Sequence[int]], basis: Sequence[int], entering: int) -> int:
    """Bland's rule: of the rows that bound the entering variable the most, the first variable's."""
    bounds = [
        (Fraction(tableau[row][-1], tableau[row][entering]), variable, row)
        for row, variable in enumerate(basis)
        if tableau[row][entering] > 0
    ]
    return min(bounds)[2]


def _pivot(tableau: list[list[int]], leaving: int, entering: int, denominator: int) -> None:
    """Eliminate the entering variable from every other row; each division is exact."""
    pivot_row = tableau[leaving]
    pivot = pivot_row[entering]
    for row, values in enumerate(tableau):
        if row == leaving:
            continue
        factor = values[entering]
        tableau[row] = [
            (value * pivot - factor * other) // denominator
            for value, other in zip(values, pivot_row, strict=True)
        ]


def _signed(row: Vector, *, one: bool) -> list[Fraction]:
    vector = [*row, Fraction(1)]
    return vector if one else [-value for value in vector]


def _line(normal: Vector, signed: Sequence[Vector]) -> Hyperplane | None:
    *weights, bias = _rounded(normal)
    exact = [Fraction(value) for value in (*weights, bias)]
    for vector in signed:
        if sum(a * b for a, b in zip(exact, vector, strict=True)) <= 0:
            return None
    return hyperplane(weights, bias)


def _rounded(normal: Vector) -> list[float]:
    """Scale to the smallest integers where floats hold them, else to 1 at most; then round."""
    denominator = math.lcm(*(value.denominator for value in normal))
    integers = [int(value * denominator) for value in normal]
    divisor = math.gcd(*integers)
    largest = max(map(abs, integers)) // divisor
    scale = divisor if largest < 2**53 else divisor * largest
    return [float(Fraction(value, scale)) for value in integers]


def _proof(rows: Sequence[Vector], ones: Sequence[bool], weights: Vector) -> InseparabilityProof:
    # The equation of the bias makes both classes' weights add up to ½.
    shares = [2 * weight for weight in weights]
    point = [
        sum(share * value for share, value, one in zip(shares, column, ones, strict=True) if one)
        for column in zip(*rows, strict=True)
    ]
    hulls: dict[bool, list[HullPoint]] = {False: [], True: []}
    for row, one, share in zip(rows, ones, shares, strict=True):
        if share:
            hulls[one].append(HullPoint(inputs=tuple(map(float, row)), weight=float(share)))
    return InseparabilityProof(
        point=tuple(map(float, point)), zeros=tuple(hulls[False]), ones=tuple(hulls[True])
    )
