"""Float networks quantized on the way: every scheme and method, and every way to give frames."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from chanzi.errors import ModelError
from chanzi.frontend import load
from chanzi.frontend.calibration import Preprocessing, feeds_of, image_feed
from chanzi.frontend.quantize import random_feeds

sys.path.insert(0, str(Path(__file__).parent))
from qdq_net import on_ort, on_pieces


def small_net(channels=3, opset=17):
    """Conv, BatchNorm, Relu, residual, pooling, dense: seeded."""
    rng = np.random.default_rng(0)

    def weights(*shape):
        return (rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)

    tensors = {
        "w1": weights(8, channels, 3, 3),
        "b1": weights(8, 1).reshape(-1),
        **{name: np.abs(weights(8, 1)).reshape(-1) + 0.5 for name in ("g", "b", "m", "v")},
        "w2": weights(8, 8, 3, 3),
        "w3": weights(10, 8),
        "b3": weights(10, 1).reshape(-1),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c1", "g", "b", "m", "v"], ["n1"], "bn"),
        helper.make_node("Relu", ["n1"], ["r1"], "relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "conv2", pads=[1] * 4),
        helper.make_node("Add", ["c2", "r1"], ["a"], "add"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], "dense", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", 1, ["batch", channels, 16, 12])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def frames(count=4, channels=3):
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((1, channels, 16, 12)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize("scheme", ["u8s8", "s8s8"])
@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_quantized_networks_run_on_the_chip_as_in_onnx_runtime(scheme, method):
    heard = []
    cut = load(small_net(), calibration=frames(), scheme=scheme, method=method, progress=heard.append)
    assert cut.quantization["scheme"] == scheme
    assert len(cut.pieces) == 1
    assert cut.macs_share == 1.0
    assert heard
    feed = frames()[2]
    got, want = on_pieces(cut, feed)["y"], on_ort(cut.qdq_model, feed)[0]
    step = max(np.abs(np.diff(np.unique(want))).min(initial=1.0), 1e-6)
    assert np.abs(got - want).max() <= 1.01 * step
    exact = on_ort(small_net(), feed)[0]
    assert np.abs(got - exact).max() < 0.15 * np.abs(exact).max()
    kinds = {t.data_type for t in onnx.load_from_string(cut.qdq_model).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert (onnx.TensorProto.UINT8 in kinds) == (scheme == "u8s8")


def test_declared_inputs_and_outputs_stay_as_they_were():
    cut = load(small_net(), calibration=frames())
    assert cut.inputs[0].shape == ("batch", 3, 16, 12)
    assert cut.inputs[0].frame == (1, 3, 16, 12)
    assert cut.outputs[0].name == "y"


def test_an_excluded_node_stays_in_float_on_the_host():
    cut = load(small_net(), calibration=frames(), exclude=["dense"])
    assert {row.op_type for row in cut.report if row.where == "host"} >= {"Gemm"}
    feed = frames()[0]
    want = on_ort(cut.qdq_model, feed)[0]
    np.testing.assert_allclose(on_pieces(cut, feed)["y"], want, rtol=0, atol=0.05 * np.abs(want).max())


def test_an_npz_counts_frames_along_its_first_axis(tmp_path):
    many = np.concatenate([feed["x"] for feed in frames(5)])
    np.savez(tmp_path / "frames.npz", whatever=many)
    feeds = list(feeds_of(tmp_path / "frames.npz", _fixed(small_net())))
    assert len(feeds) == 5
    np.testing.assert_array_equal(feeds[3]["x"], frames(5)[3]["x"])
    from_file = load(small_net(), calibration=tmp_path / "frames.npz")
    from_feeds = load(small_net(), calibration=frames(5))
    assert from_file.qdq_model == from_feeds.qdq_model


def _fixed(model):
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return fixed


def _folder(tmp_path, count=3, size=(40, 30)):
    from PIL import Image

    rng = np.random.default_rng(2)
    for i in range(count):
        pixels = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_of_images(tmp_path):
    folder = _folder(tmp_path)
    feeds = list(feeds_of(folder, _fixed(small_net())))
    assert len(feeds) == 3
    assert feeds[0]["x"].shape == (1, 3, 16, 12)
    assert load(small_net(), calibration=str(folder)).macs_share == 1.0


@pytest.mark.parametrize("shape", [(1, 3, 16, 12), (1, 16, 12, 3), (1, 1, 8, 8), (1, 8, 8, 1)])
def test_images_are_normalised_in_the_inputs_layout(tmp_path, shape):
    from PIL import Image

    Image.new("RGB", (20, 20), (255, 0, 51)).save(tmp_path / "a.png")
    how = Preprocessing(mean=(0.5, 0.25, 0.0), std=(0.5, 0.5, 2.0))
    value = image_feed(tmp_path / "a.png", shape, np.float32, how)
    assert value.shape == shape
    if 3 in shape:
        pixel = value[0, :, 0, 0] if shape[1] == 3 else value[0, 0, 0]
        np.testing.assert_allclose(pixel, [1.0, -0.5, 0.1], atol=1e-6)
    raw = image_feed(tmp_path / "a.png", shape, np.uint8, how)
    assert raw.max() <= 255
    assert raw.dtype == np.uint8


def test_noise_fits_every_input():
    feed = random_feeds(_fixed(small_net()), frames=2)[1]
    assert feed["x"].shape == (1, 3, 16, 12)
    assert feed["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"calibration": None}, "nothing to calibrate"),
        ({"calibration": []}, "no calibration frame"),
        ({"calibration": "/no/such/place"}, "no such file"),
        ({"calibration": frames(), "scheme": "u4"}, "unknown quantization 'u4'"),
        ({"calibration": frames(), "method": "luck"}, "unknown quantization 'luck'"),
        ({"calibration": [{"z": np.zeros((1, 3, 16, 12), np.float32)}]}, "."),
        ({"calibration": [{"x": np.zeros((1, 2, 16, 12), np.float32)}]}, "."),
    ],
    ids=["none", "empty", "missing", "scheme", "method", "name", "shape"],
)
def test_mistakes_are_told(options, words):
    with pytest.raises(ModelError, match=words):
        load(small_net(), **options)


def test_files_that_are_no_calibration(tmp_path):
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "wrong.npz", x=np.zeros((2, 5), np.float32))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no image")
    for name in ("empty", "wrong.npz", "broken.npz", "text.txt", "bad"):
        with pytest.raises(ModelError) as caught:
            load(small_net(), calibration=tmp_path / name)
        assert caught.value.hint or str(caught.value)
