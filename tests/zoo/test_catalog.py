import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chanzi import zoo
from chanzi.errors import ModelError
from chanzi.zoo import pictures, seeded
from chanzi.zoo.catalog import Input, with_shape
from chanzi.zoo.count import count


def test_unknown_names_get_a_suggestion():
    with pytest.raises(ModelError, match="did you mean 'resnet50'"):
        zoo.fetch("resnet5O")
    with pytest.raises(ModelError, match="did you mean 'coffee'"):
        zoo.photo("cofee")


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    st.sampled_from(["NCHW", "NHWC"]),
    st.sampled_from(["RGB", "BGR"]),
    st.booleans(),
)
def test_any_photo_becomes_an_input_of_the_right_shape_and_range(image, layout, order, crop):
    x = Input(name="x", height=6, width=8, layout=layout, order=order, crop=crop).prepare(image)
    assert x.dtype == np.float32
    assert x.shape == ((1, 3, 6, 8) if layout == "NCHW" else (1, 6, 8, 3))
    assert np.abs(x).max() <= 1


def test_preparing_keeps_places_channels_and_order():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    plain = Input(name="x", height=4, width=4, mean=(0, 0, 0), std=(1, 1, 1), layout="NHWC")
    np.testing.assert_array_equal(plain.prepare(image)[0], image)
    swapped = Input(name="x", height=4, width=4, mean=(0, 0, 0), std=(1, 1, 1), layout="NCHW", order="BGR")
    np.testing.assert_array_equal(swapped.prepare(image)[0], image[:, :, ::-1].transpose(2, 0, 1))
    four = Input(name="x", height=4, width=4, mean=(0, 0, 0), std=(1, 1, 1), layout="NHWC", channels=4)
    assert (four.prepare(image)[0, :, :, 3] == 1).all()


def small():
    """A ConstantOfShape network: Conv, BatchNormalization, Relu, Conv, Softmax."""
    shapes = {"w": [8, 3, 3, 3], "g": [8], "b": [8], "m": [8], "v": [8], "w2": [4, 8, 1, 1], "b2": [4]}
    numbers = [onnx.numpy_helper.from_array(np.array(side, np.int64), f"{name}_s") for name, side in shapes.items()]
    node = onnx.helper.make_node
    nodes = [node("ConstantOfShape", [f"{name}_s"], [name]) for name in shapes]
    nodes += [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("Conv", ["r", "w2", "b2"], ["logits"]),
        node("Softmax", ["logits"], ["y"], axis=1),
    ]
    tensor = onnx.helper.make_tensor_value_info
    image, y = tensor("x", 1, [1, 3, 16, 16]), tensor("y", 1, [1, 4, 16, 16])
    graph = onnx.helper.make_graph(nodes, "light", [image], [y], numbers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 9)], ir_version=8)
    return model.SerializeToString()


def test_seeded_weights_are_the_same_twice_and_keep_activations_in_range():
    first, again, other = seeded.fill(small()), seeded.fill(small()), seeded.fill(small(), seed=1)
    assert first == again
    assert first != other
    session = onnxruntime.InferenceSession(first)
    assert [output.name for output in session.get_outputs()] == ["logits"]
    y = session.run(None, {"x": seeded.seeded_image((1, 3, 16, 16), 42)})[0]
    assert 0.1 < y.std() < 10


def test_count_of_macs_and_parameters(tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(seeded.fill(small()))
    counted = count(path)
    assert counted.macs == 16 * 16 * (8 * 27 + 4 * 8)
    assert counted.parameters == 8 * 27 + 4 * 8 + 4 * 8 + 4


def test_with_shape_fixes_the_image_and_what_follows(tmp_path):
    model = onnx.load_model_from_string(with_shape(seeded.fill(small()), (1, 3, 32, 24)))
    assert [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == [1, 4, 32, 24]


def test_crops_are_seeded_and_lie_inside(monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    monkeypatch.setattr(pictures, "photos", lambda _: [picture])
    first, again = zoo.crops(6, seed=3), zoo.crops(6, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(20 <= crop.shape[0] <= 50 and 28 <= crop.shape[1] <= 70 for crop in first)
