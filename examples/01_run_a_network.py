"""Run a network on a chip and look at what comes out: the digits CNN that ships with Chanzi.

python examples/01_run_a_network.py
"""

import numpy as np

import chanzi
from chanzi.zoo import digits

SHADES = " .:-=+*#%@"


def draw(image: np.ndarray) -> str:
    """Return an 8x8 image as text."""
    return "\n".join("".join(SHADES[int(9 * v)] * 2 for v in row) for row in image[0])


def main() -> None:
    """Read the held-out digits on the default chip."""
    data = digits.load_data()
    # A float network is quantized with a few inputs like those it will see; then it works as in ONNX Runtime.
    calibration = [{"image": image[None]} for image in data.calibration]
    session = chanzi.Session(digits.model_path(), calibration=calibration)

    right = 0
    for image, label in zip(data.test_images, data.test_labels, strict=True):
        (logits,) = session.run(None, {"image": image[None]})
        if right == 0:
            print(draw(image), f"\nread as {logits.argmax()}, is {label}\n")
        right += int(logits.argmax() == label)
    print(f"{right} of {len(data.test_labels)} held-out digits read right")

    timing = session.timing()
    print(f"{timing.cycles} cycles a digit: {1e6 * timing.latency_s:.2f} us on {session.model.chip.name}")


if __name__ == "__main__":
    main()
