"""Random legal programs on reference, fast, timing simulator and RTL: bytes and cycles equal, and what they covered.

    python bench/rtl_conformance.py                        200 programs on each chip
    python bench/rtl_conformance.py --programs 2500 --chip d4 d8 d8x2 d16 --journal programs.jsonl
    python bench/rtl_conformance.py --chip d8x2 --first 100000

With a journal, what is in it already is not run again, as long as the hardware is the same. Prints a table; the exit
code is 1 where anything differs.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chanzi.chip.chip import Chip
from chanzi.conform import space
from chanzi.conform.hardware import check_hardware, hardware_chips
from chanzi.flow.chip_model import hardware_key

BATCH = 50
"""Programs of a line in the journal."""


def batch(chip: Chip, first: int, count: int) -> dict[str, Any]:
    """Return what `count` programs showed."""
    start = time.process_time()
    *_, tally = check_hardware(chip, range(first, first + count))
    found = asdict(tally) | {"seen": sorted(tally.seen), "cpu_s": round(time.process_time() - start, 1)}
    return {"chip": chip.name, "hardware": hardware_key(chip), "first": first, **found}


def main() -> int:
    """Run and print."""
    chips = hardware_chips()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=200, help="on each chip")
    parser.add_argument("--first", type=int, default=0, help="seed of the first program")
    parser.add_argument("--chip", choices=sorted(chips), nargs="+", default=list(chips))
    parser.add_argument("--journal", type=Path)
    arguments = parser.parse_args()
    journal, known = arguments.journal, []
    if journal and journal.exists():
        known = [json.loads(line) for line in journal.read_text().splitlines()]
    found: list[dict[str, Any]] = []
    end = arguments.first + arguments.programs
    starts = range(arguments.first, end, BATCH)
    for first in starts:  # a batch of each chip in turn: a run that is cut has seen them all
        for name in arguments.chip:
            count, key = min(BATCH, end - first), hardware_key(chips[name])
            same = {"chip": name, "hardware": key, "first": first, "programs": count}
            entry = next((entry for entry in known if entry | same == entry), None)
            if entry is None:
                entry = batch(chips[name], first, count)
                if journal:
                    with journal.open("a") as file:
                        file.write(json.dumps(entry) + "\n")
                print(f"{name}: {first + count} programs, {len(entry['wrong'])} differ", file=sys.stderr, flush=True)
            found.append(entry)
    return report(found)


def report(found: list[dict[str, Any]]) -> int:
    """Print what the batches showed; return whether anything differs."""
    columns = ("programs", "stalled", "instructions", "cycles", "cpu_s")
    print("| chip | programs | also stalled | instructions | RTL cycles | processor seconds | programs that differ |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    names = [*dict.fromkeys(entry["chip"] for entry in found), ""]
    for name in names:
        mine = [entry for entry in found if name in ("", entry["chip"])]
        sums = [f"{round(sum(entry[column] for entry in mine)):,}" for column in columns]
        wrong = sum(len(entry["wrong"]) for entry in mine)
        print(f"| {' | '.join([f'`{name}`' if name else 'all', *sums, str(wrong)])} |")
    for entry in found:
        for line in entry["wrong"]:
            print(line)
    wanted, reached = space(), {name for entry in found for name in entry["seen"]}
    print(f"\nEncoding space: {len(reached & wanted)} of {len(wanted)} reached.")
    for name in sorted(wanted - reached):
        print(f"  not reached: {name}")
    return int(any(entry["wrong"] for entry in found))


if __name__ == "__main__":
    sys.exit(main())
