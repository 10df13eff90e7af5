"""The same network on every chip that Chanzi knows: cycles, time, and how much of the array is busy.

python examples/03_compare_chips.py            # the digits CNN
python examples/03_compare_chips.py resnet50   # any network of the zoo (fetched once)
"""

import sys

import chanzi
from chanzi import zoo
from chanzi.chip import presets


def main() -> None:
    """Compile for each preset and print a line each."""
    name = sys.argv[1] if len(sys.argv) > 1 else "digits"
    path, calibration = zoo.fetch(name, print), zoo.calibration(name, 8)
    print(f"{'chip':16} {'cores':>5} {'dim':>4} {'cycles':>12} {'time':>10} {'busy':>7}")
    for preset in presets():
        chip = chanzi.load_chip(preset)
        try:
            model = chanzi.compile(path, chip=chip, calibration=calibration, mode="latency")
        except chanzi.ChanziError as error:
            print(f"{preset:16} {error}")
            continue
        timing = chanzi.Session(model).timing()
        macs = sum(layer.macs for step in model.chip_steps for layer in step.segment.layers)
        busy = macs / timing.latency_s / chip.peak_macs_per_s
        time = f"{1e3 * timing.latency_s:.3f} ms"
        print(f"{preset:16} {chip.cores:5} {chip.core.dim:4} {timing.cycles:12,} {time:>10} {busy:7.1%}")


if __name__ == "__main__":
    main()
