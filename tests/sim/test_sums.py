"""ADD and MUL on every pair of bytes, against ONNX Runtime, with scales that put many sums and products near a half."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from chanzi.isa.fields import DotFlag, VecFlag, VecKind
from chanzi.isa.instruction import Dot, Vec
from chanzi.numerics.fused import add_values, fma
from chanzi.runtime.host import session_options
from chanzi.sim import fast, reference

sys.path.insert(0, str(Path(__file__).parent))
from single import Pad, plain

SIMULATORS = pytest.mark.parametrize("simulator", [reference.Simulator, fast.Simulator], ids=["reference", "fast"])


def cases(count, seed=0):
    """Scales and zero points; every other pair of scales is in a ratio of small integers, where halves are common."""
    rng = np.random.default_rng(seed)
    found = [(np.float32(0.20017552), 123, np.float32(0.12735617), 140, np.float32(0.18637486), 130, np.uint8)]
    while len(found) < count:
        dtype = rng.choice([np.uint8, np.int8])
        c = np.float32(rng.uniform(0.05, 0.5))
        ratios = rng.integers(1, 60, 2) / rng.choice([20, 30, 40, 60], 2)
        a, b = (c * ratios.astype(np.float32)) if len(found) % 2 else rng.uniform(0.01, 0.5, 2).astype(np.float32)
        za, zb, zc = (int(z) for z in rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, 3))
        found.append((np.float32(a), za, np.float32(b), zb, c, zc, dtype))
    return found


def every_pair(dtype):
    values = np.arange(256, dtype=np.uint8).view(dtype)
    first, second = np.meshgrid(values, values, indexing="ij")
    return first, second


def ort(op, case, first, second):
    a, za, b, zb, c, zc, dtype = case
    kind = TensorProto.UINT8 if dtype == np.uint8 else TensorProto.INT8
    parts = {"sa": a, "za": dtype(za), "sb": b, "zb": dtype(zb), "sc": c, "zc": dtype(zc)}
    node = helper.make_node(op, ["a", "sa", "za", "b", "sb", "zb", "sc", "zc"], ["y"], domain="com.microsoft")
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "g",
        [tensor("a", kind, first.shape), tensor("b", kind, second.shape)],
        [tensor("y", kind, first.shape)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in parts.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options())
    return session.run(None, {"a": first, "b": second})[0]


@pytest.mark.parametrize("case", cases(40), ids=str)
def test_the_written_down_sum_is_qlinearadds(case):
    a, za, b, zb, c, zc, dtype = case
    first, second = every_pair(dtype)
    value = add_values(first, second, scales=(a / c, b / c), zeros=(za, zb), zero=zc)
    got = np.clip(np.rint(value), np.iinfo(dtype).min, np.iinfo(dtype).max)
    np.testing.assert_array_equal(got, ort("QLinearAdd", case, first, second))


@SIMULATORS
@pytest.mark.parametrize("kind", ["ADD", "MUL"])
def test_vec_is_equal_on_every_pair(simulator, kind):
    for case in cases(6):
        a, za, b, zb, c, zc, dtype = case
        first, second = every_pair(dtype)
        pad = Pad()
        at = pad.room(first.size)
        signed = int(dtype == np.int8)
        ins = Vec(
            kind=int(VecKind[kind]),
            signed=signed,
            zero_in=za,
            base=pad.put(first),
            line_stride=256 * 256,
            height=1,
            width_bytes=256 * 256,
            x_step=256,
            taps_y=1,
            taps_x=1,
            rows=1,
            columns=256,
            channels=256,
            out_base=at,
            out_y=256 * 256,
            out_x=256,
            second_base=pad.put(second),
            second_x=256,
            second_zero=zb,
            second_signed=signed,
            scale_a=float(a / c),
            scale_b=float(b / c),
            scale=float(np.float32(a * b) / c),
            zero=zc,
            low=int(np.iinfo(dtype).min),
            high=int(np.iinfo(dtype).max),
        )
        got = pad.run(simulator, ins)[at : at + first.size].view(dtype).reshape(first.shape)
        np.testing.assert_array_equal(got, ort({"ADD": "QLinearAdd", "MUL": "QLinearMul"}[kind], case, first, second))


@SIMULATORS
@pytest.mark.parametrize("join", ["ADD", "ADD, residual first", "MUL"])
def test_residuals_are_equal_on_every_pair(simulator, join):
    """Sixteen columns at a time: the product with the identity, then the second stage."""
    turned = join.endswith("first")
    for case in cases(6):
        a, za, b, zb, c, zc, dtype = case
        first, second = (part.reshape(-1, 16) for part in every_pair(dtype))
        m, n, signed = len(first), 16, int(dtype == np.int8)
        pad = Pad()
        (mine, mine_zero, mine_scale), (theirs, their_zero, their_scale) = (first, za, a), (second, zb, b)
        if turned:
            (mine, mine_zero, mine_scale), (theirs, their_zero, their_scale) = (second, zb, b), (first, za, a)
        limits = {"low": int(np.iinfo(dtype).min), "high": int(np.iinfo(dtype).max)}
        out = pad.room(m * n)
        ins = Dot(
            flags=int(DotFlag.MUL if join == "MUL" else DotFlag.ADD),
            **plain("a", m, n),
            **plain("b", n, n),
            a_base=pad.put(mine),
            a_signed=signed,
            b_base=pad.put(np.eye(n, dtype=np.int8)),
            b_signed=1,
            scale=1.0,
            **limits,
            mid_signed=signed,
            mid_zero=mine_zero,
            mid_scale=float(np.float32(a * b) / c if join == "MUL" else mine_scale / c),
            res_base=pad.put(theirs),
            res_x=n,
            res_y=m * n,
            res_signed=signed,
            res_zero=their_zero,
            res_scale=float(their_scale / c),
            res_first=int(turned),
            out_base=out,
            out_x=n,
            out_y=m * n,
            out_zero=zc,
            out_low=limits["low"],
            out_high=limits["high"],
        )
        got = pad.run(simulator, ins)[out : out + m * n].view(dtype).reshape(m, n)
        np.testing.assert_array_equal(got, ort("QLinearMul" if join == "MUL" else "QLinearAdd", case, first, second))


def test_fused_multiply_add_rounds_once():
    """Against exact rational arithmetic, with terms far apart, where rounding twice would show."""
    from fractions import Fraction

    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(4000).astype(np.float32) for _ in range(2))
    z = (-x * y * np.exp2(rng.integers(-40, 40, 4000))).astype(np.float32)
    near = np.float32(1) + np.exp2(-rng.integers(1, 24, 4000)).astype(np.float32)
    for p, q, r in ((x, y, z), (near, near, np.exp2(-rng.integers(20, 90, 4000)).astype(np.float32)), (x, y, -z)):
        got = fma(p, q, r)
        for i in range(len(p)):
            exact = Fraction(float(p[i])) * Fraction(float(q[i])) + Fraction(float(r[i]))
            around = [got[i], np.nextafter(got[i], np.float32(np.inf)), np.nextafter(got[i], np.float32(-np.inf))]
            errors = [abs(Fraction(float(v)) - exact) for v in around]
            assert errors[0] == min(errors)


def test_vec_scalar_operand_is_the_same_sum():
    a, za, b, zb, c, zc, _ = cases(1)[0]
    first = np.arange(256, dtype=np.uint8)
    got = {}
    for scalar in (True, False):
        pad = Pad()
        at = pad.room(256)
        second = np.array([170], np.uint8) if scalar else np.full(256, 170, np.uint8)
        ins = Vec(
            kind=int(VecKind.ADD),
            flags=int(VecFlag.SCALAR) if scalar else 0,
            zero_in=za,
            base=pad.put(first),
            line_stride=256,
            height=1,
            width_bytes=256,
            x_step=256,
            taps_y=1,
            taps_x=1,
            rows=1,
            columns=1,
            channels=256,
            out_base=at,
            out_y=256,
            out_x=256,
            second_base=pad.put(second),
            second_zero=zb,
            scale_a=float(a / c),
            scale_b=float(b / c),
            zero=zc,
            low=0,
            high=255,
        )
        for simulator in (reference.Simulator, fast.Simulator):
            got[scalar, simulator] = pad.run(simulator, ins)[at : at + 256]
    assert all(np.array_equal(next(iter(got.values())), value) for value in got.values())
    assert got[True, reference.Simulator][123] == 150  # not 151: the sum is a half exactly, and 150 is even
