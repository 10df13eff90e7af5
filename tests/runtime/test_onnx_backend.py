"""The `onnx.backend` interface on a sample of ONNX's own node tests; all of them with ``-m slow``."""

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from chanzi.errors import ChanziError
from chanzi.runtime import onnx_backend

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "bench"))
WORDS = ("test_conv", "test_add", "test_averagepool", "test_concat", "test_clip", "test_softmax", "test_qlinear")


def outcomes(words):
    import onnx_node_suite
    from onnx.backend.test.loader import load_model_tests

    cases = [case for case in load_model_tests(kind="node") if case.name.startswith(words)]
    if any(case.model is None for case in cases):
        pytest.skip("this onnx release keeps its node tests in files")
    return {case.name: onnx_node_suite.one(case) for case in cases}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", [WORDS, pytest.param(("test_",), marks=pytest.mark.slow)])
def test_node_tests_pass_or_are_refused_in_one_line(words):
    found = outcomes(words)
    assert len(found) > 60
    assert not {name: why for name, (outcome, why) in found.items() if outcome == "crashed"}
    right = sum(outcome in ("chip", "host", "as ORT") for outcome, _ in found.values())
    assert right >= 0.75 * len(found)


def test_a_node_and_a_device():
    node = helper.make_node("Relu", ["x"], ["y"])
    (y,) = onnx_backend.run_node(node, [np.array([-1.0, 2.0], np.float32)])
    np.testing.assert_array_equal(y, np.array([0, 2], np.float32))
    assert onnx_backend.supports_device("CPU")
    assert not onnx_backend.supports_device("CUDA")


def test_what_cannot_be_prepared_is_not_compatible():
    graph = helper.make_graph(
        [helper.make_node("NoSuchOperator", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ChanziError):
        onnx_backend.run_model(model, [np.zeros(1, np.float32)])
