"""Means that share their input's scale get one of their own, and are then equal to ONNX Runtime's."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import chanzi
from chanzi.errors import ModelError
from chanzi.frontend import load
from chanzi.frontend.halves import keep_off_halves
from chanzi.runtime.host import session_options


def pooled(result_scale):
    """Return a QDQ network of one 2x2 mean whose result has this scale."""
    constants = {"s": np.float32(0.05), "z": np.uint8(100), "t": np.float32(result_scale)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("AveragePool", ["xd"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("QuantizeLinear", ["y", "t", "z"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "t", "z"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pooled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 32, 32])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 16, 16, 16])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


def test_equal_scale_is_made_larger_and_bytes_agree():
    model = pooled(0.05)
    keep_off_halves(model)
    scales = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    used = [node.input[1] for node in model.graph.node if node.output[0] in ("yq", "out")]
    assert len(set(used)) == 1
    assert scales[used[0]] > scales["s"]
    x = {"x": np.random.default_rng(0).standard_normal((1, 16, 32, 32)).astype(np.float32) * 2}
    want = onnxruntime.InferenceSession(model.SerializeToString(), session_options()).run(None, x)[0]
    np.testing.assert_array_equal(chanzi.Session(model, chip="chanzi-16").run(None, x)[0], want)


def test_other_scales_stay():
    model = pooled(0.07)
    before = model.SerializeToString()
    keep_off_halves(model)
    assert model.SerializeToString() == before


def test_unknown_node_to_exclude_is_named():
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="act")],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    with pytest.raises(ModelError, match=r"no node 'atc'.*did you mean 'act'"):
        load(model, calibration=[{"x": np.ones((1, 4), np.float32)}], exclude=("atc",))
