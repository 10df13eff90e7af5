import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.errors import ModelError
from chanzi.zoo import faces, lines, pedestrian


def heads(anchor, *, encoding=(0.0, 0.0, 0.0, 0.0), logit=5.0):
    """The twelve outputs of a detector that sees one pedestrian at one anchor."""
    boxes = np.zeros((1917, 4), np.float32)
    logits = np.full((1917, 2), -10, np.float32)
    boxes[anchor], logits[anchor, 1] = encoding, logit
    outputs, at = {}, 0
    for level, (side, count) in enumerate(zip(pedestrian.LEVELS, (3, 6, 6, 6, 6, 6), strict=True)):
        rows = slice(at, at + side * side * count)
        for name, values in (("boxes", boxes), ("logits", logits)):
            outputs[f"{name}_{level}"] = values[rows].reshape(side, side, -1).transpose(2, 0, 1)[None]
        at = rows.stop
    assert at == 1917
    return outputs


@given(st.integers(0, 1916))
def test_a_zero_encoding_is_the_anchor_itself(anchor):
    found = pedestrian.decode(heads(anchor))
    y, x, height, width = pedestrian.anchors()[anchor]
    want = np.clip([y - height / 2, x - width / 2, y + height / 2, x + width / 2], 0, 1)
    np.testing.assert_allclose(found.boxes, [want], atol=1e-6)
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-5))], rtol=1e-5)


def test_encodings_move_by_a_tenth_and_grow_by_a_fifth_of_their_logarithm():
    anchor = 3 * (9 * 19 + 9) + 0  # the middle of the finest map, where nothing is clipped
    y, x, height, width = pedestrian.anchors()[anchor]
    assert (y, x, height, width) == (0.5, 0.5, np.float32(0.1), np.float32(0.1))
    found = pedestrian.decode(heads(anchor, encoding=(10, -10, 5 * np.log(2), 0)))
    np.testing.assert_allclose(found.boxes, [[0.5, 0.35, 0.7, 0.45]], atol=1e-6)


def test_nothing_above_the_threshold_is_no_detection():
    found = pedestrian.decode(heads(7, logit=-1), threshold=0.3)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


@given(st.integers(0, 895))
def test_blazeface_boxes_are_pixels_from_the_anchor(anchor):
    scores, boxes = np.full((896, 1), -9, np.float32), np.zeros((896, 16), np.float32)
    scores[anchor], boxes[anchor, :4] = 9, (12.8, -12.8, 25.6, 12.8)  # x, y, width, height
    outputs = {
        "Identity:0": scores[None, :512],
        "Identity_1:0": scores[None, 512:],
        "Identity_2:0": boxes[None, :512],
        "Identity_3:0": boxes[None, 512:],
    }
    y, x = faces.blazeface_anchors()[anchor] + (-0.1, 0.1)
    want = np.clip([y - 0.05, x - 0.1, y + 0.05, x + 0.1], 0, 1)
    np.testing.assert_allclose(faces.decode_blazeface(outputs).boxes, [want], atol=1e-5)


def test_centerface_boxes_are_centred_on_their_cell():
    heat = np.zeros((1, 1, 20, 40), np.float32)
    size, offset = np.zeros((1, 2, 20, 40), np.float32), np.zeros((1, 2, 20, 40), np.float32)
    heat[0, 0, 10, 20], size[0, :, 10, 20], offset[0, :, 10, 20] = 0.9, np.log([4, 8]), (0.5, -0.5)
    found = faces.decode_centerface({"537": heat, "538": size, "539": offset})
    np.testing.assert_allclose(found.boxes, [[9 / 20, 16 / 40, 13 / 20, 24 / 40]], atol=1e-6)


def some_lines(count, seed):
    return np.random.default_rng(seed).uniform(0, 256, (count, 4)).astype(np.float32)


@given(st.integers(1, 20), st.integers(0, 99))
def test_lines_agree_with_themselves_moved_a_little_or_turned_round(count, seed):
    truth = some_lines(count, seed)
    assert lines.agreement(truth, truth) == 1
    assert lines.agreement(truth[:, [2, 3, 0, 1]], truth) == 1
    assert lines.agreement(truth + 3, truth) == 1
    assert lines.agreement(truth + 1000, truth) == 0
    assert lines.agreement(truth[:0], truth) == 0
    assert lines.agreement(truth[:0], truth[:0]) == 1


def test_another_network_is_not_taken_for_the_line_detector():
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [tensor("x", 1, [1])], [tensor("y", 1, [1])]
    )
    with pytest.raises(ModelError, match="not the M-LSD network"):
        lines.convert(onnx.helper.make_model(graph).SerializeToString())
