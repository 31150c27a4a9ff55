"""
Sixteen float32 numbers as one value of compiled code.

Numba has no vector type of its own; this is one, with the operators and functions that the kernels
need. LLVM turns it into AVX-512, AVX2, SSE or NEON instructions, as the machine has them.
A number beside lanes counts as sixteen equal ones.
"""

import operator
import platform
from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

LANES = 16
"""Numbers in one value."""

HAS_32_REGISTERS: bool = get_host_cpu_features().get("avx512f", False)
"""Whether one value takes one register of 32, not two of 16: a pair of panels fits."""

Lanes: TypeAlias = Any
"""Sixteen float32 numbers, or one number that stands for sixteen."""
Pointer: TypeAlias = Any
"""Address of an array's first number: costs no reference count where it is passed on."""

_IS_X86 = platform.machine() in {"x86_64", "AMD64"}
_FLUSH = 0x8040
"""Results and operands of MXCSR that are flushed to zero. Source: Intel SDM 1, §10.2.3."""

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)


class _LanesType(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


_lanes = _LanesType()


def _lift(context: Any, builder: Any, value: Any, type_: Any) -> Any:
    """Repeat a number in every lane."""
    if type_ == _lanes:
        return value
    number = context.cast(builder, value, type_, types.float32)
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTEGERS, [0] * LANES))


def _elementwise(arity: int, make: Callable[..., Any]) -> Any:
    """Make a compiled function of lanes from `make(builder, *vectors)`."""

    def build(argument_types: tuple[Any, ...]) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pairs = zip(values, signature.args, strict=True)
            return make(builder, *(_lift(context, builder, *pair) for pair in pairs))

        return _lanes(*argument_types), codegen

    if arity == 1:
        return intrinsic(lambda _typingctx, a: build((a,)))
    if arity == 2:
        return intrinsic(lambda _typingctx, a, b: build((a, b)))
    return intrinsic(lambda _typingctx, a, b, c: build((a, b, c)))


def _llvm(name: str, arity: int) -> Callable[..., Any]:
    """Call LLVM's own function on vectors."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * arity)

    def make(builder: Any, *vectors: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
        return builder.call(function, vectors)

    return make


def _choose(comparison: str) -> Callable[..., Any]:
    def make(builder: Any, a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_unordered(comparison, a, b), a, b)

    return make


def _power_of_two(builder: Any, exponent: Any) -> Any:
    biased = builder.add(builder.fptosi(exponent, _INTEGERS), ir.Constant(_INTEGERS, [127] * LANES))
    return builder.bitcast(builder.shl(biased, ir.Constant(_INTEGERS, [23] * LANES)), _VECTOR)


def _bits(builder: Any, x: Any) -> Any:
    return builder.bitcast(x, _INTEGERS)


def _exponent(builder: Any, x: Any) -> Any:
    biased = builder.lshr(_bits(builder, x), ir.Constant(_INTEGERS, [23] * LANES))
    return builder.sitofp(builder.sub(biased, ir.Constant(_INTEGERS, [126] * LANES)), _VECTOR)


def _mantissa(builder: Any, x: Any) -> Any:
    fraction = builder.and_(_bits(builder, x), ir.Constant(_INTEGERS, [2**23 - 1] * LANES))
    half = ir.Constant(_INTEGERS, [126 << 23] * LANES)
    return builder.bitcast(builder.or_(fraction, half), _VECTOR)


def _where_positive(builder: Any, x: Any, a: Any, b: Any) -> Any:
    zeros = ir.Constant(_VECTOR, [0.0] * LANES)
    return builder.select(builder.fcmp_ordered(">", x, zeros), a, b)


fma = _elementwise(3, _llvm("fmuladd", 3))
"""a · b + c, with one rounding where the machine can."""
square_root = _elementwise(1, _llvm("sqrt", 1))
negative = _elementwise(1, lambda builder, x: builder.fneg(x))
absolute = _elementwise(1, _llvm("fabs", 1))
minimum = _elementwise(2, _choose("<"))
"""The lesser of two; the second is no NaN."""
maximum = _elementwise(2, _choose(">"))
"""The greater of two; the second is no NaN."""
power_of_two = _elementwise(1, _power_of_two)
"""2ⁿ for whole n in −126 … 127."""
exponent = _elementwise(1, _exponent)
"""The whole n of x = m · 2ⁿ, m in ½ … 1, for normal x above zero."""
mantissa = _elementwise(1, _mantissa)
"""The m of x = m · 2ⁿ."""
where_positive = _elementwise(3, _where_positive)
"""Lane by lane: the second where the first is above zero, else the third."""
splat = _elementwise(1, lambda _, vector: vector)
"""Lanes that all hold one number."""


@intrinsic
def first(_typingctx: Any, value: Any) -> Any:
    """Put one number into the first lane, and zeros into the others."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        number = context.cast(builder, values[0], signature.args[0], types.float32)
        zeros = ir.Constant(_VECTOR, [0.0] * LANES)
        return builder.insert_element(zeros, number, ir.Constant(ir.IntType(32), 0))

    return _lanes(value), codegen


@intrinsic
def replaced(_typingctx: Any, lanes: Any, _lane: Any, value: Any) -> Any:
    """Put a number into one of the lanes."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        number = context.cast(builder, values[2], signature.args[2], types.float32)
        return builder.insert_element(values[0], number, values[1])

    return _lanes(lanes, types.intp, value), codegen


@intrinsic
def total(_typingctx: Any, lanes: Any) -> Any:
    """Add the lanes up, halves onto each other."""

    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        (vector,) = values
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        width = LANES
        while width > 1:
            width //= 2
            order = [(lane + width) % LANES for lane in range(LANES)]
            other = builder.shuffle_vector(vector, nothing, ir.Constant(_INTEGERS, order))
            vector = builder.fadd(vector, other)
        return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    return types.float32(lanes), codegen


def _operator(symbol: Callable[..., Any], name: str) -> None:
    function = _elementwise(2, lambda builder, a, b: getattr(builder, name)(a, b))

    def implementation(a: Any, b: Any) -> Any:
        return function(a, b)

    @overload(symbol)
    def choose(a: Any, b: Any) -> Any:
        is_ours = isinstance(a, _LanesType) or isinstance(b, _LanesType)
        return implementation if is_ours else None


for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_symbol, _name)


@intrinsic
def pointer(_typingctx: Any, array: Any) -> Any:
    """Take the address of an array's first number; the caller keeps the array alive."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, values[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def get(_typingctx: Any, start: Any, _index: Any) -> Any:
    """Read one number."""

    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.load(builder.gep(values[0], [values[1]]))

    return start.dtype(start, types.intp), codegen


@intrinsic
def put(_typingctx: Any, start: Any, _index: Any, _value: Any) -> Any:
    """Write one number."""

    def codegen(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        builder.store(values[2], builder.gep(values[0], [values[1]]))
        return context.get_dummy_value()

    return types.void(start, types.intp, start.dtype), codegen


@intrinsic
def load(_typingctx: Any, start: Any, _index: Any) -> Any:
    """Read sixteen numbers in a row."""

    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.load(_vector_at(builder, values), align=4)

    return _lanes(start, types.intp), codegen


@intrinsic
def store(_typingctx: Any, start: Any, _index: Any, value: Any) -> Any:
    """Write sixteen numbers in a row."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lifted = _lift(context, builder, values[2], signature.args[2])
        builder.store(lifted, _vector_at(builder, values), align=4)
        return context.get_dummy_value()

    return types.void(start, types.intp, value), codegen


_BITS = ir.IntType(32)


def _mxcsr(builder: Any, name: str, place: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}mxcsr")
    builder.call(function, [builder.bitcast(place, ir.IntType(8).as_pointer())])


@intrinsic
def flush_subnormals(_typingctx: Any) -> Any:
    """
    Have this thread take numbers nearer to zero than 1.2e-38 for zero; returns its mode before.

    Momenta of units that are never active end there, and every operation with such a number takes
    more than a hundred cycles on many processors. Changes nothing but on x86.
    """

    def codegen(_context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        if not _IS_X86:
            return ir.Constant(_BITS, 0)
        place = cgutils.alloca_once(builder, _BITS)
        _mxcsr(builder, "st", place)
        mode = builder.load(place)
        builder.store(builder.or_(mode, ir.Constant(_BITS, _FLUSH)), place)
        _mxcsr(builder, "ld", place)
        return mode

    return types.int32(), codegen


@intrinsic
def restore(_typingctx: Any, _mode: Any) -> Any:
    """Bring back the mode that `flush_subnormals` found."""

    def codegen(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        if _IS_X86:
            place = cgutils.alloca_once_value(builder, values[0])
            _mxcsr(builder, "ld", place)
        return context.get_dummy_value()

    return types.void(types.int32), codegen


def _vector_at(builder: Any, values: Any) -> Any:
    return builder.bitcast(builder.gep(values[0], [values[1]]), _VECTOR.as_pointer())
