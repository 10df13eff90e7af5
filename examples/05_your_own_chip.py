"""Describe a chip of your own in TOML, ask what it could do at best, and run a network on it.

python examples/05_your_own_chip.py
"""

import chanzi
from chanzi import zoo
from chanzi.chip import parse_chip

MINE = """
name = "mine"
description = "two small cores for a doorbell"
clock_hz = 400_000_000
cores = 2

[core]
dim = 32

[core.scratchpad]
bytes = 524_288
banks = 32

[dram]
bytes_per_s = 3_200_000_000
latency_ns = 100.0
"""


def main() -> None:
    """Refuse an impossible chip, then run on a possible one."""
    try:
        parse_chip(MINE.replace("dim = 32", "dim = 33"), origin="mine.toml")
    except chanzi.ChanziError as error:
        print("refused:", error)

    chip = parse_chip(MINE, origin="mine.toml")
    print(f"{chip.name}: {chip.peak_tops:.2f} TOPS at best, {chip.dram_bytes_per_cycle:.0f} bytes a cycle from DRAM")

    model = chanzi.compile(zoo.fetch("digits"), chip=chip, calibration=zoo.calibration("digits"), mode="latency")
    timing = chanzi.Session(model).timing()
    print(f"digits: {timing.cycles} cycles, {1e6 * timing.latency_s:.1f} us with weights in place")
    print(f"        {timing.cold_cycles} cycles the first time")


if __name__ == "__main__":
    main()
