"""Which shape of driving network fits which chip: cycles of one backbone drawn in several ways.

    python bench/drive_network.py            the table
    python bench/drive_network.py --write    also rewrite docs/results/drive-network.md

Cycles do not depend on values, so weights are random and one frame of noise calibrates. Needs the extra [train].
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from chanzi import Session
from chanzi.drive.network import model
from chanzi.drive.network.export import to_int8, to_onnx
from chanzi.drive.network.spec import IMAGES, STATE, STATE_BYTES, NetSpec

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "drive-network.md"
CHIPS = ("chanzi-16", "tesla-fsd-hw3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One way to draw the network, and what the drawing asks."""

    name: str
    asks: str
    spec: NetSpec
    change: Callable[[nn.Module], None] = lambda _: None


def separable(net: nn.Module) -> None:
    """Replace every 3x3 convolution but the first by a depthwise one and a 1x1, as MobileNets do."""
    convs = [m for m in net.backbone.modules() if isinstance(m, nn.Conv2d)][1:]
    for parent in list(net.backbone.modules()):
        for name, child in list(parent.named_children()):
            if any(child is conv for conv in convs):
                depthwise = nn.Conv2d(
                    child.in_channels, child.in_channels, 3, child.stride, 1, groups=child.in_channels, bias=False
                )
                point = nn.Conv2d(child.in_channels, child.out_channels, 1, bias=False)
                norm = nn.BatchNorm2d(child.in_channels)
                setattr(parent, name, nn.Sequential(depthwise, norm, nn.ReLU(), point))


def drawings() -> list[Drawn]:
    """Return the ways."""
    plain = NetSpec()
    found = [
        Drawn(name="as shipped", asks="", spec=plain),
        Drawn(name="separable", asks="fewer products, depthwise", spec=plain, change=separable),
        Drawn(name="widths 12-24-36-48", asks="not multiples of 16", spec=NetSpec(widths=(12, 24, 36, 48))),
        Drawn(name="widths 16-32-64-96", asks="wider", spec=NetSpec(widths=(16, 32, 64, 96))),
        Drawn(name="widths 32-32-48-64", asks="a wider first map", spec=NetSpec(widths=(32, 32, 48, 64))),
        Drawn(name="no residual blocks", asks="shallower", spec=NetSpec(depths=(0, 0, 0, 0))),
        Drawn(name="blocks at a quarter", asks="the same depth, earlier", spec=NetSpec(depths=(0, 1, 0, 1))),
        Drawn(name="neck of 64", asks="all channels to the hidden layer", spec=NetSpec(neck=64)),
    ]
    found += [
        Drawn(name=f"{n} cameras", asks="pictures below one another", spec=NetSpec(cameras=n, neck=neck))
        for n, neck in ((3, 16), (8, 8))
    ]
    found.append(Drawn(name="320x160", asks="four times the pixels", spec=NetSpec(height=160, width=320, neck=8)))
    return found


def row(drawn: Drawn) -> str:
    """Return one line of the table."""
    torch.manual_seed(0)
    net = model.build(drawn.spec)
    drawn.change(net)
    rng = np.random.default_rng(0)
    noise = {
        IMAGES: rng.integers(0, 256, drawn.spec.images_shape).astype(np.float32),
        STATE: rng.integers(0, 256, (1, STATE_BYTES)).astype(np.float32),
    }
    int8 = to_int8(to_onnx(net, drawn.spec), [noise])
    cells = [drawn.name, drawn.asks]
    for number, name in enumerate(CHIPS):
        session = Session(int8, name)
        chip, timing = session.model.chip, session.timing()
        macs = sum(line.macs for line in session.model.placement)
        if number == 0:
            cells += [f"{macs / 1e6:.1f}", f"{sum(p.numel() for p in net.parameters()) / 1e3:.0f}"]
        # one frame runs on one core
        used = macs / timing.cycles / chip.core.dim**2
        host = ", ".join(itertools.chain.from_iterable(step.ops for step in session.model.host_steps))
        cells += [f"{timing.cycles:,}", f"{used:.1%}" + (f" (host: {host})" if host else "")]
        cells.append(f"{timing.frames_per_s:,.0f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table; write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    head = ["drawing", "what it asks", "MMAC", "k parameters"]
    for name in CHIPS:
        head += [f"cycles, {name}", "array in use", "frames/s"]
    lines = ["| " + " | ".join(head) + " |", "|---|---" + "|---:" * (len(head) - 2) + "|"]
    print("\n".join(lines), flush=True)
    for drawn in drawings():
        lines.append(row(drawn))
        print(lines[-1], flush=True)
    if arguments.write:
        RESULTS.write_text(
            "# Which driving network fits which chip\n\n"
            "Cycles of a frame by the timing simulator, weights resident, one core;\n"
            "`python bench/drive_network.py --write`. Why it is drawn as it is:\n"
            "[the driving network](../design/drive-network.md).\n\n" + "\n".join(lines) + "\n"
        )


if __name__ == "__main__":
    main()
