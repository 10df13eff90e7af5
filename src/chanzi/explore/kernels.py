"""Import the compiled loops of the fast model, and keep what was compiled until one of their files changes."""

from pathlib import Path

from chanzi.sim.fast.kernels import kept

_FILES = tuple(
    Path(__file__).parent / name
    for name in ("fields.py", "durations.py", "stripes.py", "jobs.py", "clock.py", "walk.py")
)


def load_kernels() -> None:
    """Import the modules of compiled loops, once."""
    with kept(_FILES):
        from chanzi.explore import walk

        del walk
