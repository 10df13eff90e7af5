"""Import the compiled loops, and keep what was compiled where a change of any of their files makes it new.

Numba looks only at the file of the function itself, not at those whose code it pulls in; so the folder's name is a hash
of all of them.
"""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chanzi.settings import cache_dir

_FILES = tuple(Path(__file__).parent / name for name in ("dot.py", "micro.py", "vec.py"))


def load_kernels() -> None:
    """Import the modules of compiled loops, once."""
    with kept(_FILES):
        from chanzi.sim.fast import dot, vec

        del dot, vec


@contextmanager
def kept(files: Sequence[Path]) -> Generator[None]:
    """Keep what is imported in the block in a folder of its own for what `files` hold."""
    import numba

    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_folder(before, files))
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def _folder(given: str, files: Sequence[Path]) -> Path:
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    root = Path(given) if given else cache_dir() / "loops"
    return root / digest[:16]
