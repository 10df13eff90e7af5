import hashlib

import numpy as np
import onnxruntime

from chanzi.zoo import digits


def logits_of(images):
    session = onnxruntime.InferenceSession(digits.model_path(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {digits.INPUT: image[None]})[0] for image in images])


def test_float_network_is_right_on_99_percent_of_the_held_out_images():
    data = digits.load_data()
    assert len(data.test_images) == 360
    assert (logits_of(data.test_images).argmax(1) == data.test_labels).mean() >= 0.99


def test_calibration_images_are_not_test_images():
    data = digits.load_data()
    seen = {hashlib.sha256(image.tobytes()).digest() for image in data.calibration}
    assert not any(hashlib.sha256(image.tobytes()).digest() in seen for image in data.test_images)


def test_data_has_the_documented_types_and_ranges():
    data = digits.load_data()
    assert data.calibration.dtype == data.test_images.dtype == np.float32
    assert data.calibration.shape[1:] == data.test_images.shape[1:] == (1, 8, 8)
    assert data.test_images.min() == 0
    assert data.test_images.max() == 1
    assert set(data.test_labels) == set(range(10))
