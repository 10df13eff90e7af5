"""Random legal programs on reference, fast, timing simulator and RTL: bytes and cycles equal, and what they covered.

    python bench/rtl_conformance.py                        200 programs on each chip
    python bench/rtl_conformance.py --programs 2500        ten thousand in all (about an hour on one core)
    python bench/rtl_conformance.py --chip d8x2 --first 100000

Prints a table; the exit code is 1 where anything differs.
"""

import argparse
import sys
import time

from chanzi.conform import space
from chanzi.conform.hardware import Tally, check_hardware, hardware_chips


def main() -> int:
    """Run and print."""
    chips = hardware_chips()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=200, help="on each chip")
    parser.add_argument("--first", type=int, default=0, help="seed of the first program")
    parser.add_argument("--chip", choices=sorted(chips), action="append")
    arguments = parser.parse_args()
    lines, wrong, reached = [], 0, set()
    for name in arguments.chip or chips:
        start, shown, tally = time.perf_counter(), 0.0, Tally()
        for tally in check_hardware(chips[name], range(arguments.first, arguments.first + arguments.programs)):
            seconds = time.perf_counter() - start
            if seconds - shown > 10:
                shown = seconds
                print(f"{name}: {tally.programs} programs, {len(tally.wrong)} differ, {seconds:.0f} s", file=sys.stderr)
        for line in tally.wrong:
            print(line)
        wrong += len(tally.wrong)
        reached |= set(tally.seen)
        seconds = time.perf_counter() - start
        cells = (name, tally.programs, tally.stalled, tally.instructions, f"{tally.cycles:,}", len(tally.wrong))
        lines.append(f"| {' | '.join(map(str, cells))} | {seconds:.0f} |")
    print("| chip | programs | also stalled | instructions | RTL cycles | programs that differ | seconds |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(lines))
    names = space()
    print(f"\nencoding space: {len(reached & names)} of {len(names)} reached")
    for name in sorted(names - reached):
        print(f"  not reached: {name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
