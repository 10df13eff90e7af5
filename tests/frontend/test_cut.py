"""What the chip cannot run goes to the host, in few pieces, with a reason, and the answer stays ONNX Runtime's."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from qdq_net import Net, check, on_ort, on_pieces

from chanzi.frontend import load
from chanzi.graph.plan import ChipPiece, HostPiece


def conv(net, x, channels=4, out=4):
    return net.quantized(net.node("Conv", [x, net.weights((out, channels, 3, 3))], pads=[1, 1, 1, 1]))


def kinds(cut):
    return ["chip" if isinstance(piece, ChipPiece) else "host" for piece in cut.pieces]


def test_host_in_the_middle():
    net = Net()
    x = conv(net, net.quantized(net.input([1, 4, 6, 6])))
    y = net.quantized(net.node("CumSum", [x, net.constant(np.array(3))]), 0.1)
    net.output(conv(net, y))
    cut = check(net, on_chip=False, exact=0.9)
    assert kinds(cut) == ["chip", "host", "chip"]
    reason = next(row.reason for row in cut.report if row.op_type == "CumSum")
    assert "no instruction" in reason
    assert {row.where for row in cut.report if row.op_type == "Conv"} == {"chip"}


def test_decoding_after_two_heads_is_one_piece():
    net = Net()
    x = conv(net, net.quantized(net.input([1, 4, 6, 6])))
    a, b = conv(net, x), conv(net, x)
    flat = [net.node("Reshape", [v, net.constant(np.array([1, 4, 36]))]) for v in (a, b)]
    best = net.node("ArgMax", [flat[0]], axis=1)
    net.output(net.node("Exp", [flat[1]]))
    net.outputs.append(net.outputs[0].__class__(name=best))
    cut = load(net.model())
    assert kinds(cut) == ["chip", "host"]
    feed = net.feed()
    got = on_pieces(cut, feed)
    for info, want in zip(net.outputs, on_ort(net.model(), feed), strict=True):
        assert np.mean(got[info.name] == want) > 0.9


def test_a_trifle_between_host_pieces_stays_there():
    net = Net()
    x = conv(net, net.quantized(net.input([1, 4, 6, 6])))
    y = net.node("CumSum", [x, net.constant(np.array(3))])
    y = net.quantized(net.node("Relu", [net.quantized(y)]))
    net.output(net.node("CumSum", [y, net.constant(np.array(3))]))
    cut = load(net.model())
    assert kinds(cut) == ["chip", "host"]
    feed = net.feed()
    steps = (on_pieces(cut, feed)[net.outputs[0].name] - on_ort(net.model(), feed)[0]) / 0.03
    assert np.mean(np.abs(steps) < 0.5) > 0.8


def test_a_float_network_is_one_host_piece():
    net = Net()
    net.output(net.node("Tanh", [net.node("Exp", [net.input([2, 3])])]))
    cut = load(net.model(), scheme="none")
    assert kinds(cut) == ["host"]
    feed = net.feed()
    assert np.array_equal(on_pieces(cut, feed)[net.outputs[0].name], on_ort(net.model(), feed)[0])


def test_outputs_that_are_constants_and_inputs():
    net = Net()
    net.output(conv(net, net.quantized(net.input([1, 4, 6, 6]))))
    net.output(net.node("Add", [net.constant(np.float32(1)), net.constant(np.float32(2))]))
    net.outputs.append(net.inputs[0])
    cut = load(net.model())
    feed = net.feed()
    got = on_pieces(cut, feed)
    for info, want in zip(net.outputs, on_ort(net.model(), feed), strict=True):
        assert np.mean(got[info.name] == want) > 0.9


def test_several_frames_stay_on_the_host():
    net = Net()
    x = net.quantized(net.input([2, 4, 6, 6]))
    net.output(conv(net, x))
    cut = load(net.model())
    assert kinds(cut) == ["host"]
    feed = net.feed()
    assert np.array_equal(on_pieces(cut, feed)[net.outputs[0].name], on_ort(net.model(), feed)[0])


_ODD = ("CumSum", "Not8", "Relu", "Conv", "Concat", "Transpose", "Sigmoid", "Add")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(_ODD), st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=8))
def test_any_mixture_is_cut_and_agrees(recipe):
    """Random graphs of operators for chip and host, quantized in between or not."""
    net = Net(len(recipe))
    values = [net.quantized(net.input([1, 4, 4, 4]))]
    for kind, i, j, quantize in recipe:
        a, b = values[i % len(values)], values[j % len(values)]
        match kind:
            case "CumSum":
                y = net.node("CumSum", [a, net.constant(np.array(2))])
            case "Not8":
                y = net.node("Sinh", [net.node("Mul", [a, net.constant(np.float32(0.3))])])
            case "Conv":
                y = net.node("Conv", [a, net.weights((4, 4, 1, 1))])
            case "Concat":
                y = net.node("Slice", [net.node("Concat", [a, b], axis=1), *map(net.constant, _FOUR)])
            case "Transpose":
                y = net.node("Transpose", [a], perm=[0, 1, 3, 2])
            case "Add":
                y = net.node("Add", [a, b])
            case _:
                y = net.node(kind, [a])
        values.append(net.quantized(y, 0.05) if quantize else y)
    net.output(net.node("Identity", [values[-1]]))
    cut = load(net.model())
    rows = {row.node for row in cut.report}
    assert len(rows) == len(net.nodes)
    assert all(row.reason for row in cut.report if row.where == "host")
    feed = net.feed()
    got = on_pieces(cut, feed)[net.outputs[0].name]
    want = on_ort(net.model(), feed)[0]
    assert np.mean(np.abs(got - want) <= 0.06 * np.maximum(1, np.abs(want))) > 0.8
    for piece in cut.pieces:
        assert not isinstance(piece, HostPiece) or piece.outputs


_FOUR = [np.array([2]), np.array([6]), np.array([1])]
