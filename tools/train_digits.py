"""Train the digits CNN that ships with the package, and write it with its data next to `chanzi.zoo`.

    python tools/train_digits.py            # needs torch, scikit-learn and onnx; about half a minute on two cores

Data: scikit-learn's `load_digits` (1,797 images of 8x8 from the UCI optical recognition set), split once, stratified
and seeded: 1,437 to train on, 360 held out and never looked at by the training. Calibration images come from the
training part. The network is a small residual CNN, so that the default run shows a convolution, a residual add, a
pooling and a dense layer.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 0
EPOCHS = 60
CALIBRATION_IMAGES = 64
OUT = Path(__file__).parents[1] / "src" / "chanzi" / "zoo" / "data"


class DigitsNet(nn.Module):
    """8x8 grey image in [0, 1] -> ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
        )
        self.wide = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(64 * 4 * 4, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch."""
        x = self.stem(image)
        x = torch.relu(x + self.body(x))
        x = nn.functional.max_pool2d(self.wide(x), 2)
        return self.head(self.drop(x.flatten(1)))


def shifted(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Move every image by at most one pixel each way, zeros coming in."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    at = rng.integers(0, 3, (len(images), 2))
    return torch.stack([p[:, y : y + 8, x : x + 8] for p, (y, x) in zip(padded, at, strict=True)])


def train(images: np.ndarray, labels: np.ndarray) -> DigitsNet:
    """Train from SEED with Adam on a one-cycle rate."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    net, x, y = DigitsNet(), torch.from_numpy(images), torch.from_numpy(labels)
    steps = -(-len(x) // 64)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, epochs=EPOCHS, steps_per_epoch=steps)
    for _ in range(EPOCHS):
        for batch in torch.from_numpy(rng.permutation(len(x))).split(64):
            loss = nn.functional.cross_entropy(net(shifted(x[batch], rng)), y[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
    return net.eval()


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a convolution with the BatchNorm after it."""
    with torch.no_grad():
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = conv.weight * gain[:, None, None, None]
        return weight.numpy(), (norm.bias - norm.running_mean * gain).numpy()


def to_onnx(net: DigitsNet) -> onnx.ModelProto:
    """Write the network with BatchNorm folded, batch 1, opset 17."""
    tensors, nodes = [], []

    def constant(name: str, value: np.ndarray) -> str:
        tensors.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def conv(name: str, x: str, pair: tuple[np.ndarray, np.ndarray]) -> str:
        operands = [x, constant(f"{name}.weight", pair[0]), constant(f"{name}.bias", pair[1])]
        nodes.append(onnx.helper.make_node("Conv", operands, [f"{name}.out"], name, pads=[1, 1, 1, 1]))
        return f"{name}.out"

    def node(op: str, name: str, operands: list[str], **attributes: object) -> str:
        nodes.append(onnx.helper.make_node(op, operands, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    stem = node("Relu", "stem_relu", [conv("stem", "image", folded(net.stem[0], net.stem[1]))])
    body = node("Relu", "body1_relu", [conv("body1", stem, folded(net.body[0], net.body[1]))])
    body = node("Add", "residual", [stem, conv("body2", body, folded(net.body[3], net.body[4]))])
    body = node("Relu", "residual_relu", [body])
    wide = node("Relu", "wide_relu", [conv("wide", body, folded(net.wide[0], net.wide[1]))])
    flat = node("Flatten", "flatten", [node("MaxPool", "pool", [wide], kernel_shape=[2, 2], strides=[2, 2])])
    head = [
        constant("head.weight", net.head.weight.detach().numpy()),
        constant("head.bias", net.head.bias.detach().numpy()),
    ]
    nodes.append(onnx.helper.make_node("Gemm", [flat, *head], ["logits"], "head", transB=1))
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "digits", [tensor("image", 1, [1, 1, 8, 8])], [tensor("logits", 1, [1, 10])], tensors
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, producer_name="chanzi", opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> int:
    """Train, check, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    out: Path = parser.parse_args().out
    torch.set_num_threads(2)
    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    x, test_x, y, test_y = train_test_split(
        images, data.target.astype(np.int64), test_size=360, random_state=SEED, stratify=data.target
    )
    model = to_onnx(train(x, y))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits = np.concatenate([session.run(None, {"image": image[None]})[0] for image in test_x])
    right = int((logits.argmax(1) == test_y).sum())
    print(f"held out: {right} of {len(test_y)} right, {right / len(test_y):.2%}")
    if right < 0.99 * len(test_y):
        print("below 99 %: not written", file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(model, out / "digits.onnx")
    np.savez_compressed(
        out / "digits.npz",
        calibration=np.round(x[:CALIBRATION_IMAGES] * 16).astype(np.uint8),
        test_images=np.round(test_x * 16).astype(np.uint8),
        test_labels=test_y.astype(np.uint8),
    )
    for file in sorted(out.glob("digits.*")):
        print(file.name, file.stat().st_size, "bytes", hashlib.sha256(file.read_bytes()).hexdigest())
    return 0


if __name__ == "__main__":
    sys.exit(main())
