"""What is no ONNX network, damaged or not fully described is refused in one line; old forms are read."""

import random
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))
from qdq_net import Net

from chanzi.errors import ModelError
from chanzi.frontend import load
from chanzi.frontend.onnx_import import import_model


def small(shape=(1, 3, 8, 8)):
    net = Net()
    x = net.quantized(net.input(list(shape)))
    net.output(net.quantized(net.node("Conv", [x, net.weights((4, 3, 3, 3))])))
    return net.model()


def refused(model, word, **options):
    with pytest.raises(ModelError) as caught:
        load(model, **options)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_damaged_bytes_give_a_network_or_one_line(seed):
    rng = random.Random(seed)
    data = bytearray(small().SerializeToString())
    for _ in range(rng.randint(1, 4)):
        match rng.randrange(3):
            case 0:
                data[rng.randrange(len(data))] = rng.randrange(256)
            case 1:
                del data[rng.randrange(len(data)) :]
            case _:
                at = rng.randrange(len(data))
                data[at:at] = bytes(rng.randrange(256) for _ in range(4))
        if not data:
            data = bytearray(b"\0")
    try:
        load(bytes(data))
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("model", "word"), [(b"", "empty"), (b"hello, world", "not an ONNX"), (b"\x08\x07", "computes nothing"), (3, "int")]
)
def test_what_is_no_network(model, word):
    refused(model, word)


def test_files_that_cannot_be_read(tmp_path):
    refused(tmp_path / "none.onnx", "cannot read")
    refused(tmp_path, "not a file")
    refused("a\0b", "cannot read")


def test_cycles_and_values_from_nowhere():
    model = small()
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]
    refused(model, "depends on its own result")
    model.graph.node[0].input[0] = "nowhere"
    refused(model, "nothing writes the value 'nowhere'")


def test_weights_in_another_file(tmp_path):
    model = small()
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.bin", size_threshold=0)
    assert load(path).macs_share == 1.0
    refused(path.read_bytes(), "give its path")
    (tmp_path / "net.bin").write_bytes(b"")
    refused(path, "too short")


@pytest.mark.parametrize("location", ["../net.bin", "/etc/passwd", "a/../../b", "c:\\x", ""])
def test_weights_outside_the_folder(tmp_path, location):
    model = small()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    refused(path, "outside the model's folder")


def test_a_link_out_of_the_folder(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(bytes(1000))
    (inside / "net.bin").symlink_to(tmp_path / "secret")
    model = small()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="net.bin")
    (inside / "net.onnx").write_bytes(model.SerializeToString())
    refused(inside / "net.onnx", "outside the model's folder")


def test_symbolic_dimensions():
    model = small(("N", 3, 8, 8))
    assert load(model).inputs[0].shape == ("N", 3, 8, 8)
    assert load(model).inputs[0].frame == (1, 3, 8, 8)
    model = small(("N", 3, "H", 8))
    refused(model, "(N, 3, H, 8)")
    assert load(model, shapes={"x": (1, 3, 12, 8)}).inputs[0].frame == (1, 3, 12, 8)
    refused(model, "cannot have the shape", shapes={"x": (1, 4, 12, 8)})
    refused(model, "no input 'y'", shapes={"y": (1,)})


def test_constants_are_found_wherever_they_are():
    model = small()
    kept = list(model.graph.initializer)
    node = helper.make_node("Constant", [], [kept[0].name], value=kept[0])
    model.graph.node.insert(0, node)
    del model.graph.initializer[0]
    last = kept[-1]
    model.graph.input.append(helper.make_tensor_value_info(last.name, last.data_type, list(last.dims)))
    net = import_model(model)
    assert net.inputs == ["x"]
    assert np.array_equal(net.constant(kept[0].name), numpy_helper.to_array(kept[0]))
    assert all(node.op_type != "Constant" for node in net.nodes)


def test_a_float_network_without_calibration():
    net = Net()
    net.output(net.node("Relu", [net.input([1, 3])]))
    refused(net.model(), "nothing to calibrate it with")
    assert [row.where for row in load(net.model(), scheme="none").report] == ["host"]


def test_names_that_are_no_text():
    data = small().SerializeToString()
    refused(data.replace(b"dilations", b"\xff\xfelations").replace(b"Conv_", b"\xffonv_"), "no text")
    model = small()
    model.graph.node[0].input[0] = "a\nb\x07"
    refused(model, "nothing writes the value 'a b")
