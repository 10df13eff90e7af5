"""The innermost loop of DOT, written as LLVM IR: six rows times up to 64 columns, all of K, in vector registers.

Bytes of A are unsigned, bytes of B signed. B is packed so that four consecutive k of 16 columns fill a vector; four
consecutive k of one row of A are broadcast against it. Where the processor multiplies and adds four bytes in one
instruction that is used; elsewhere plain vector arithmetic says the same. Sums wrap around in 32 bits either way.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding as binding
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ROWS = 6
"""Rows of A in one call."""
LANES = 16
"""Columns in a vector."""
VECTORS = 4
"""Most vectors of columns in one call."""

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES, _SUMS = ir.VectorType(_I8, 64), ir.VectorType(_I32, LANES)


def has_dot_instruction() -> bool:
    """Return whether the processor has the 512-bit four-byte dot product."""
    return bool(binding.get_host_cpu_features().get("avx512vnni"))


def _dot_instruction(builder: Any, total: Any, a: Any, b: Any) -> Any:
    """Return total + sum of four products: one instruction (its intrinsic's argument types changed with LLVM 22)."""
    kind = _BYTES if binding.llvm_version_info[0] >= 22 else _SUMS
    function_type = ir.FunctionType(_SUMS, (_SUMS, kind, kind))
    function = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", fnty=function_type)
    return builder.call(function, [total, builder.bitcast(a, kind), builder.bitcast(b, kind)])


def _dot_plain(builder: Any, total: Any, a: Any, b: Any) -> Any:
    """Return the same with the vector arithmetic every processor has."""
    for i in range(4):
        shift = ir.Constant(_SUMS, [24 - 8 * i] * LANES)
        down = ir.Constant(_SUMS, [24] * LANES)
        x = builder.lshr(builder.shl(builder.bitcast(a, _SUMS), shift), down)
        y = builder.ashr(builder.shl(builder.bitcast(b, _SUMS), shift), down)
        total = builder.add(total, builder.mul(x, y))
    return total


def _emit(builder: Any, pointers: tuple[Any, Any, Any], sizes: tuple[Any, Any, Any], vectors: int, dot: Any) -> None:
    """Emit the loop over k, then the stores. All pointers are to bytes."""
    a, b, c = pointers
    row_bytes, groups, c_row_bytes = sizes
    zero = ir.Constant(_I64, 0)
    before = builder.block
    loop = builder.append_basic_block("k")
    after = builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(_I64)
    k.add_incoming(zero, before)
    totals = [[builder.phi(_SUMS) for _ in range(vectors)] for _ in range(ROWS)]
    b_at = builder.mul(k, ir.Constant(_I64, vectors * 64))
    b_values = []
    for v in range(vectors):
        at = builder.gep(b, [builder.add(b_at, ir.Constant(_I64, v * 64))])
        b_values.append(builder.load(builder.bitcast(at, _BYTES.as_pointer()), align=1))
    a_at = builder.mul(k, ir.Constant(_I64, 4))
    sums = []
    for r in range(ROWS):
        at = builder.gep(a, [builder.add(a_at, builder.mul(row_bytes, ir.Constant(_I64, r)))])
        word = builder.load(builder.bitcast(at, _I32.as_pointer()), align=1)
        one = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), word, ir.Constant(_I32, 0))
        mask = ir.Constant(_SUMS, [0] * LANES)
        spread = builder.bitcast(builder.shuffle_vector(one, ir.Constant(_SUMS, ir.Undefined), mask), _BYTES)
        sums.append([dot(builder, totals[r][v], spread, b_values[v]) for v in range(vectors)])
    following = builder.add(k, ir.Constant(_I64, 1))
    k.add_incoming(following, loop)
    for r in range(ROWS):
        for v in range(vectors):
            totals[r][v].add_incoming(ir.Constant(_SUMS, [0] * LANES), before)
            totals[r][v].add_incoming(sums[r][v], loop)
    builder.cbranch(builder.icmp_signed("<", following, groups), loop, after)
    builder.position_at_end(after)
    for r in range(ROWS):
        for v in range(vectors):
            at = builder.add(builder.mul(c_row_bytes, ir.Constant(_I64, r)), ir.Constant(_I64, v * 64))
            builder.store(sums[r][v], builder.bitcast(builder.gep(c, [at]), _SUMS.as_pointer()), align=1)


def make(vectors: int, dot: Any = None) -> Callable[..., None]:
    """Return ``f(A, a_at, row_bytes, B, b_at, groups, C, c_at, c_row)`` for numba code: C[row][column] = sums.

    A and B are uint8 arrays, C is int32; `groups` (at least 1) counts fours of k, `c_row` elements of C.
    """
    step = dot or (_dot_instruction if has_dot_instruction() else _dot_plain)

    @intrinsic
    def dot_rows(_typing: Any, A: Any, _a: Any, _row: Any, B: Any, _b: Any, _n: Any, C: Any, _c: Any, _c_row: Any):
        size = types.intp
        signature = types.void(A, size, size, B, size, size, C, size, size)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            def pointer(i: int, at: Any) -> Any:
                array = context.make_array(sig.args[i])(context, builder, args[i])
                return builder.gep(builder.bitcast(array.data, _I8.as_pointer()), [at])

            four = ir.Constant(_I64, 4)
            pointers = (pointer(0, args[1]), pointer(3, args[4]), pointer(6, builder.mul(args[7], four)))
            _emit(builder, pointers, (args[2], args[5], builder.mul(args[8], four)), vectors, step)
            return context.get_dummy_value()

        return signature, codegen

    return dot_rows


@intrinsic
def fma(_typing: Any, _x: Any, _y: Any, _z: Any) -> Any:
    """Return float32 x * y + z, rounded once."""
    signature = types.float32(types.float32, types.float32, types.float32)

    def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.fma(*args)

    return signature, codegen


dot_rows_1, dot_rows_2, dot_rows_3, dot_rows_4 = (make(v) for v in range(1, VECTORS + 1))
