"""Share a loop's range between threads. The compiled loops release the interpreter lock, so plain threads do."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from chanzi.settings import THREADS


def threads_wanted() -> int:
    """Return how many threads the settings ask for."""
    value = THREADS.get()
    chosen = int(value) if value.isdecimal() else 0
    return min(chosen or os.cpu_count() or 1, 64)


class Workers:
    """A few threads beside the caller's own.

    Parameters
    ----------
    threads : int
        All together.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="chanzi") if threads > 1 else None

    def run(self, part: Callable[[int, int], None], count: int, unit: int = 1) -> None:
        """Call ``part(first, last)`` so that 0 .. count - 1 is covered, cut at multiples of `unit`."""
        if self._pool is None or count <= unit:
            part(0, count)
            return
        units = -(-count // unit)
        shares = min(2 * self.threads, units)  # more than threads: one that is held up leaves its share to the others
        cuts = [min(units * i // shares * unit, count) for i in range(shares + 1)]
        todo = iter(list(pairwise(cuts)))

        def work() -> None:
            for first, last in todo:
                part(first, last)

        waiting = [self._pool.submit(work) for _ in range(min(self.threads, shares) - 1)]
        work()
        for other in waiting:
            other.result()
