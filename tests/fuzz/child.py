"""The process that eats spoiled files: ``python child.py KIND FIRST COUNT``.

Runs apart from pytest so that memory can be capped and a hang or crash of a C library is seen. Case N of a kind is a
function of N alone, so a failure is repeated with ``python child.py KIND N 1``. Prints one JSON line at the end; stops
at the first case that ends in anything but a `ChanziError` or an accepted input.
"""

import faulthandler
import importlib
import json
import random
import resource
import sys
import time
import traceback
from pathlib import Path

MEMORY_BYTES = 6 << 30
CASE_SECONDS = 180.0  # on a machine that others share


def say(line: dict[str, object]) -> None:
    """Print one JSON line, which is what the parent reads."""
    sys.stdout.write(json.dumps(line) + "\n")


def main(kind: str, first: int, count: int) -> int:
    """Run `count` cases and report."""
    sys.path.insert(0, str(Path(__file__).parent))
    from chanzi.errors import ChanziError

    # The target reads its good files before the cap, so that only what a spoiled file asks for is held against it.
    target = importlib.import_module(f"target_{kind}")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    refused = accepted = 0
    slowest = 0.0
    for case in range(first, first + count):
        rng = random.Random(f"{kind} {case}")
        data = target.make(rng)
        start = time.perf_counter()
        faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
        try:
            target.check(data)
            accepted += 1
        except ChanziError as error:
            refused += 1
            text = str(error)
            if not text.strip() or len(text) > 1000 or "Traceback" in text or not text.isprintable():
                say({"kind": kind, "case": case, "failed": f"message of {len(text)}: {text[:300]!r}"})
                return 1
        except BaseException:
            say({"kind": kind, "case": case, "failed": traceback.format_exc()[-3000:]})
            return 1
        faulthandler.cancel_dump_traceback_later()
        slowest = max(slowest, time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    summary = {"kind": kind, "accepted": accepted, "refused": refused, "slowest_s": round(slowest, 2), "peak_mib": peak}
    say(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
