"""Programs that were compiled before, by everything that decides what a program is."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chanzi.errors import ProgramError
from chanzi.program import container
from chanzi.program.model import CompiledModel
from chanzi.settings import CACHE, cache_dir

MAX_BYTES = 4 << 30
"""What the folder may hold before the longest unused programs are deleted."""


def enabled() -> bool:
    """Return whether the compile cache is on (``CHANZI_CACHE``)."""
    return CACHE.get() not in ("", "0")


def folder() -> Path:
    """Return where programs are kept (not created)."""
    return cache_dir() / "programs"


def key_of(parts: Mapping[str, bytes]) -> str:
    """Return the key of a program: a hash of `parts` (names and contents) and of this Chanzi's code."""
    digest = hashlib.sha256(_code_stamp())
    for name in sorted(parts):
        for piece in (name.encode(), parts[name]):
            digest.update(len(piece).to_bytes(8, "little"))
            digest.update(piece)
    return digest.hexdigest()


def _code_stamp() -> bytes:
    """Return what changes when the package's code does: a program must not outlive the compiler that made it."""
    import chanzi

    root = Path(chanzi.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        status = path.stat()
        digest.update(f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.digest()


def digest_feeds(feeds: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a hash of calibration feeds."""
    digest = hashlib.sha256()
    for feed in feeds:
        digest.update(b"frame")
        for name in sorted(feed):
            array = np.ascontiguousarray(feed[name])
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.tobytes() if array.dtype == object else array.reshape(-1).data.cast("B"))
    return digest.digest()


def digest_files(paths: Sequence[Path]) -> bytes:
    """Return a hash of names, sizes and times of change of files, folders with all that is directly in them."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            status = file.stat()
            digest.update(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.digest()


def lookup(key: str) -> CompiledModel | None:
    """Return the program kept under `key`, or None; one that cannot be read any more is deleted."""
    if not enabled():
        return None
    path = folder() / f"{key}.chz"
    if not path.is_file():
        return None
    try:
        model = container.read(path)
    except ProgramError:
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return model


def store(key: str, model: CompiledModel) -> None:
    """Keep `model` under `key`; a cache that cannot be written only costs time."""
    if not enabled():
        return
    with contextlib.suppress(OSError, ProgramError):
        folder().mkdir(parents=True, exist_ok=True)
        container.write(folder() / f"{key}.chz", model)
        _trim()


def _trim() -> None:
    files = [(path.stat(), path) for path in folder().glob("*.chz")]
    total = sum(status.st_size for status, _ in files)
    for status, path in sorted(files, key=lambda pair: pair[0].st_mtime):
        if total <= MAX_BYTES:
            break
        path.unlink()
        total -= status.st_size
