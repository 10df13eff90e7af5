"""A PyTorch module on the chip, by ``torch.compile``. Needs the torch extra: pip install 'chanzi[torch]'.

python examples/04_torch_compile.py
"""

import sys

import chanzi

try:
    import torch
except ImportError:
    sys.exit("this example needs PyTorch: pip install 'chanzi[torch]'")
from torch import nn


def main() -> None:
    """Run a small network in float and on the chip."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).eval()
    image = torch.rand(1, 3, 64, 64)

    # The backend quantizes with the first input it is called with.
    on_chip = torch.compile(net, backend="chanzi")
    with torch.no_grad():
        expected, got = net(image), on_chip(image)
    print("float:  ", expected[0, :5].numpy().round(3))
    print("on chip:", got[0, :5].numpy().round(3))

    # Or as a session, for its timing and reports.
    session = chanzi.from_torch(net, (image,), chip="tesla-fsd-hw3")
    print(f"{session.timing().cycles} cycles on {session.model.chip.name}")


if __name__ == "__main__":
    main()
