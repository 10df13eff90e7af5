import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chanzi.zoo.boxes import Detections, average_precision, iou, nms, sigmoid

sides = st.floats(0, 1, width=32)


@st.composite
def boxes(draw, most=12):
    raw = draw(arrays(np.float32, (draw(st.integers(1, most)), 4), elements=sides))
    return np.concatenate([np.minimum(raw[:, :2], raw[:, 2:]), np.maximum(raw[:, :2], raw[:, 2:]) + 0.05], axis=1)


@given(boxes(), boxes())
def test_overlap_is_symmetric_and_in_range(a, b):
    overlap = iou(a, b)
    assert overlap.shape == (len(a), len(b))
    assert (overlap >= 0).all()
    assert (overlap <= 1 + 1e-5).all()
    np.testing.assert_allclose(overlap, iou(b, a).T)
    np.testing.assert_allclose(np.diag(iou(a, a)), 1, rtol=1e-4)


@given(boxes(), st.floats(0.1, 0.9), st.integers(0, 99))
def test_suppression_keeps_the_best_and_covers_the_rest(found, most, seed):
    scores = np.random.default_rng(seed).permutation(len(found)).astype(np.float32)
    kept = nms(found, scores, most)
    overlap = iou(found, found)
    assert kept[0] == scores.argmax()
    assert (np.diff(scores[kept]) < 0).all()
    assert all(overlap[a, b] <= most for a in kept for b in kept if a != b)
    dropped = set(range(len(found))) - set(kept.tolist())
    assert all(any(overlap[d, k] > most and scores[k] > scores[d] for k in kept) for d in dropped)


def spread(count):
    at = np.arange(count, dtype=np.float32)[:, None] / count
    found = np.concatenate([at, at, at + 0.5 / count, at + 0.5 / count], axis=1)
    return Detections(boxes=found, scores=np.linspace(0.9, 0.5, count, dtype=np.float32))


def test_average_precision_of_equal_half_and_false_detections():
    full = spread(4)
    half = Detections(boxes=full.boxes[:2], scores=full.scores[:2])
    nothing = Detections(boxes=full.boxes[:0], scores=full.scores[:0])
    assert average_precision([full], [full]) == 1
    assert average_precision([half], [full]) == 0.5
    assert average_precision([nothing], [full]) == 0
    assert average_precision([nothing], [nothing]) == 1
    assert average_precision([full], [nothing]) == 0
    # two right, then two wrong: the wrong ones come after full recall and cost nothing; first, they halve it
    assert average_precision([full], [half]) == 1
    last = Detections(boxes=full.boxes[2:], scores=full.scores[2:])
    assert average_precision([full], [last]) == 0.5


def test_a_true_box_is_matched_once():
    one = spread(1)
    twice = Detections(boxes=np.repeat(one.boxes, 2, axis=0), scores=np.array([0.9, 0.8], np.float32))
    two = spread(2)
    both = [Detections(boxes=twice.boxes, scores=twice.scores), two]
    assert average_precision(both, [one, two]) < 1


@given(st.floats(-1e4, 1e4))
def test_sigmoid_never_overflows(x):
    value = float(sigmoid(np.float32(x)))
    assert 0 <= value <= 1
    assert abs(value - 1 / (1 + np.exp(-np.clip(np.float64(x), -700, 700)))) < 1e-6
