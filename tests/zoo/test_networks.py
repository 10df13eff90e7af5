"""Every network of the zoo is what it says: fetched, run in ONNX Runtime on photos, and looked at."""

import numpy as np
import onnxruntime
import pytest

from chanzi import zoo
from chanzi.zoo import faces, pedestrian
from chanzi.zoo.boxes import iou
from chanzi.zoo.count import count
from chanzi.zoo.registry import fetch_archive, read_member

pytestmark = pytest.mark.zoo
NEEDS_TORCH = ("efficientnet_lite0", "mobilenet_v2", "regnetx_400mf")


@pytest.fixture(scope="session")
def run():
    sessions = {}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3

    def one(name, image):
        if name in NEEDS_TORCH:
            pytest.importorskip("torch")
        if name not in sessions:
            sessions[name] = onnxruntime.InferenceSession(str(zoo.fetch(name)), options)
        names = [output.name for output in sessions[name].get_outputs()]
        return dict(zip(names, sessions[name].run(None, zoo.feed(name, image)), strict=True))

    return one


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_macs_parameters_and_finite_outputs(name, run):
    outputs = run(name, zoo.photo("coffee"))
    assert all(np.isfinite(value).all() and value.std() > 0 for value in outputs.values())
    counted = count(zoo.fetch(name))
    assert (counted.macs, counted.parameters) == (zoo.NETWORKS[name].macs, zoo.NETWORKS[name].parameters)


@pytest.mark.parametrize(("photo", "classes"), [("coffee", {504, 967, 968}), ("chelsea", {281, 282, 285})])
def test_efficientnet_knows_the_cup_and_the_cat(run, photo, classes):
    assert int(run("efficientnet_lite0", zoo.photo(photo))["logits"].argmax()) in classes


def overlaps(detections, box):
    return len(detections.boxes) and iou(detections.boxes, np.array([box], np.float32)).max() > 0.5


# boxes drawn by hand on the photos: top, left, bottom, right in parts of the sides
@pytest.mark.parametrize(
    ("photo", "box"),
    [
        ("bus", (0.37, 0.06, 0.84, 0.29)),
        ("bus", (0.37, 0.27, 0.80, 0.43)),
        ("zidane", (0.06, 0.58, 0.98, 0.90)),
        ("astronaut", (0.0, 0.03, 1.0, 0.80)),
    ],
)
def test_the_pedestrian_detector_finds_people(run, photo, box):
    assert overlaps(pedestrian.decode(run("pedestrian", zoo.photo(photo))), box)


def test_the_pedestrian_detector_finds_nobody_in_a_cup(run):
    assert len(pedestrian.decode(run("pedestrian", zoo.photo("coffee")), threshold=0.5).boxes) == 0


@pytest.mark.parametrize("name", ["centerface", "blazeface"])
def test_the_face_detectors_find_the_astronauts_face(run, name):
    decode = {"centerface": faces.decode_centerface, "blazeface": faces.decode_blazeface}[name]
    found = decode(run(name, zoo.photo("astronaut")))
    assert len(found.boxes) == 1
    assert overlaps(found, (0.13, 0.35, 0.42, 0.55))


def test_text_is_found_on_the_page_and_not_on_the_flower(run):
    page = run("ppocr_det", zoo.photo("page"))["sigmoid_0.tmp_0"] > 0.3
    flower = run("ppocr_det", zoo.photo("flower"))["sigmoid_0.tmp_0"] > 0.3
    assert page.mean() > 0.1
    assert flower.mean() < 0.01


def test_lines_are_found_in_the_palace(run):
    outputs = run("mlsd_tiny", zoo.photo("china"))
    assert (outputs["scores"] > 0.2).sum() > 20


def test_the_line_detectors_head_in_two_parts_computes_the_same(run):
    from chanzi.zoo.lines import agreement, decode

    entry = zoo.NETWORKS["mlsd_tiny"]
    whole = onnxruntime.InferenceSession(read_member(fetch_archive(entry.source), entry.member))
    outputs = run("mlsd_tiny", zoo.photo("china"))
    expected = whole.run(["offsets", "scores"], zoo.feed("mlsd_tiny", zoo.photo("china")))
    np.testing.assert_allclose(outputs["offsets"], expected[0], atol=1e-3)
    np.testing.assert_allclose(outputs["scores"], expected[1], atol=1e-5)
    assert len(decode(outputs)) > 20
    assert agreement(decode(outputs), decode(outputs)) == 1
