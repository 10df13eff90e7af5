"""Import the compiled loops, and keep what was compiled where a change of any of their files makes it new.

Numba looks only at the file of the function itself, not at those whose code it pulls in; so the folder's name is a hash
of all of them.
"""

import hashlib
from pathlib import Path

from chanzi.settings import cache_dir

_FILES = ("dot.py", "micro.py", "vec.py")


def load_kernels() -> None:
    """Import the modules of compiled loops, once."""
    import numba

    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_folder(before))
    try:
        from chanzi.sim.fast import dot, vec

        del dot, vec
    finally:
        numba.config.CACHE_DIR = before


def _folder(given: str) -> Path:
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / name).read_bytes() for name in _FILES)).hexdigest()
    root = Path(given) if given else cache_dir() / "loops"
    return root / digest[:16]
