"""Linear separability: every answer is checked in exact arithmetic, and against linprog."""

import time
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from perceptron.separability import gordan, hyperplane, is_small_enough, separability
from schemas.gate import Hyperplane, InseparabilityProof


def _bits(inputs: int) -> Any:
    return np.array(list(product((0, 1), repeat=inputs)), np.float32)


def _outputs(code: int, rows: int) -> Any:
    return np.array([code >> row & 1 for row in range(rows)], np.float32)


def _assert_separates(line: Hyperplane, features: Any, targets: Any) -> None:
    weights = [Fraction(weight) for weight in line.weights]
    for row, target in zip(features.tolist(), targets.tolist(), strict=True):
        side = sum(w * Fraction(x) for w, x in zip(weights, row, strict=True)) + Fraction(line.bias)
        assert side > 0 if target else side < 0


def _assert_proves(proof: InseparabilityProof, features: Any, targets: Any) -> None:
    """Check a proof of small fractions: both hulls' weighted means are the point, exactly."""
    rows = {
        target: {tuple(row) for row in features[targets == target].tolist()} for target in (0, 1)
    }
    for points, target in ((proof.zeros, 0), (proof.ones, 1)):
        shares = [Fraction(point.weight).limit_denominator(10_000) for point in points]
        assert all(point.inputs in rows[target] for point in points)
        assert all(share > 0 for share in shares)
        assert sum(shares) == 1
        for axis, value in enumerate(proof.point):
            mean = sum(
                share * Fraction(point.inputs[axis])
                for share, point in zip(shares, points, strict=True)
            )
            assert mean == Fraction(value).limit_denominator(10_000)


def _linprog_separates(features: Any, targets: Any) -> bool:
    """Whether (w, b)·a ≥ 1 is feasible for every signed row a."""
    signs = np.where(targets > 0.5, 1.0, -1.0)[:, None]
    signed = signs * np.column_stack([features, np.ones(len(features))])
    answer = linprog(
        np.zeros(signed.shape[1]), A_ub=-signed, b_ub=-np.ones(len(signed)), bounds=(None, None)
    )
    return bool(answer.status == 0)


@pytest.mark.parametrize(("inputs", "threshold_functions"), [(1, 4), (2, 14), (3, 104)])
def test_threshold_functions_are_as_many_as_known(inputs: int, threshold_functions: int) -> None:
    """Of all gates of 1, 2 and 3 inputs, 4, 14 and 104 are separable (OEIS A000609), all proven."""
    features = _bits(inputs)
    separable = 0
    for code in range(2 ** len(features)):
        targets = _outputs(code, len(features))
        found = separability(features, targets)
        separable += found.linearly_separable
        if found.line is not None:
            _assert_separates(found.line, features, targets)
        else:
            assert found.proof is not None
            _assert_proves(found.proof, features, targets)
    assert separable == threshold_functions


@given(code=st.integers(0, 2**16 - 1))
@settings(deadline=None, max_examples=100)
def test_gates_of_four_inputs_agree_with_linprog(code: int) -> None:
    """A floating-point solver of linear programs comes to the same answer for any 4-bit gate."""
    features, targets = _bits(4), _outputs(code, 16)
    found = separability(features, targets)
    assert found.linearly_separable == _linprog_separates(features, targets)
    if found.proof is not None:
        _assert_proves(found.proof, features, targets)


@given(data=st.data(), rows=st.integers(1, 14), columns=st.integers(1, 4))
@settings(deadline=None, max_examples=200)
def test_tables_of_floats_agree_with_linprog(data: st.DataObject, rows: int, columns: int) -> None:
    """Random float tables, with repeats, get linprog's answer and an exact line."""
    values = st.one_of(
        st.integers(-3, 3), st.floats(-100, 100, width=16).filter(lambda x: x == 0 or abs(x) > 0.01)
    )
    features = data.draw(arrays(np.float32, (rows, columns), elements=values))
    targets = data.draw(arrays(np.float32, rows, elements=st.integers(0, 1)))
    found = separability(features, targets)
    assert found.linearly_separable == _linprog_separates(features, targets)
    if found.linearly_separable:
        assert found.line is not None
        _assert_separates(found.line, features, targets)


FRACTIONS = st.builds(Fraction, st.integers(-50, 50), st.integers(1, 50))


@given(data=st.data(), rows=st.integers(1, 8), columns=st.integers(1, 4))
@settings(deadline=None, max_examples=200)
def test_gordan_answers_with_one_exact_certificate(
    data: st.DataObject, rows: int, columns: int
) -> None:
    """Any vectors get a vector with positive products or weights that cancel them."""
    vectors = [
        data.draw(st.lists(FRACTIONS, min_size=columns, max_size=columns)) for _ in range(rows)
    ]
    normal, weights = gordan(vectors)
    assert (normal is None) != (weights is None)
    if normal is not None:
        assert all(sum(a * b for a, b in zip(normal, v, strict=True)) > 0 for v in vectors)
    if weights is not None:
        assert min(weights) >= 0
        assert sum(weights) == 1
        for column in zip(*vectors, strict=True):
            assert sum(a * b for a, b in zip(weights, column, strict=True)) == 0


@given(
    features=arrays(
        np.float32,
        st.tuples(st.integers(1, 10), st.integers(1, 3)),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    data=st.data(),
)
@settings(deadline=None, max_examples=200)
def test_numbers_of_any_size_get_a_true_answer(features: Any, data: st.DataObject) -> None:
    """From 1e-45 to 3e38 in one table: each line separates exactly, and each no has a proof."""
    targets = data.draw(arrays(np.float32, len(features), elements=st.integers(0, 1)))
    found = separability(features, targets)
    assert (found.proof is None) == found.linearly_separable
    if found.line is not None:
        _assert_separates(found.line, features, targets)


def test_neighbouring_floats_are_separated() -> None:
    """Two float32 numbers with none between them have a line between them."""
    low = np.float32(0.1)
    features = np.array([[low], [np.nextafter(low, np.float32(1))]])
    found = separability(features, np.array([0, 1], np.float32))
    assert found.line is not None
    _assert_separates(found.line, features, np.array([0, 1]))


@pytest.mark.parametrize("target", [0, 1])
def test_one_class_is_separable(target: int) -> None:
    """A table with one class only has every row on that class's side."""
    features = _bits(3)
    found = separability(features, np.full(8, target, np.float32))
    assert found.line is not None
    _assert_separates(found.line, features, np.full(8, target))


def test_equal_rows_of_both_classes_prove_themselves() -> None:
    """The same row in both classes is its own proof."""
    features = np.array([[0, 0], [3, 4], [3, 4]], np.float32)
    proof = separability(features, np.array([0, 0, 1], np.float32)).proof
    assert proof is not None
    assert proof.point == (3.0, 4.0)


def test_tables_of_256_rows_take_no_time() -> None:
    """Gates of 8 inputs, random, linear and parity, are small enough and take under 2 s each."""
    features = _bits(8)
    assert is_small_enough(features)
    random = np.random.default_rng(0)
    tables = [random.integers(0, 2, 256), features.sum(axis=1) % 2, features.sum(axis=1) > 4]
    tables += [features @ random.normal(size=8) > 0.3 for _ in range(3)]
    for targets in tables:
        started = time.process_time()
        separability(features, np.asarray(targets, np.float32))
        assert time.process_time() - started < 2


def test_large_tables_are_not_small_enough() -> None:
    """A table of many rows or columns, or of numbers 1e76 apart, is refused."""
    extremes = np.tile([[1e38], [1e-38]], (70, 15)).astype(np.float32)
    assert is_small_enough(np.ones_like(extremes))
    assert not is_small_enough(extremes)
    assert not is_small_enough(np.zeros((10_000, 8)))
    assert not is_small_enough(np.zeros((20, 4_096)))


def test_equations_read_as_the_slides_write_them() -> None:
    """Signs stand between the terms."""
    assert hyperplane([0.5, 0.5], -0.7).equation == "0.5·x1 + 0.5·x2 − 0.7 = 0"
    assert hyperplane([-0.5, -0.5], 0.7).equation == "−0.5·x1 − 0.5·x2 + 0.7 = 0"
