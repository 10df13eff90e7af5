"""Every CHANZI_* environment variable, declared once; the docs page is generated from this table."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One environment variable."""

    name: str
    default: str
    meaning: str

    def get(self) -> str:
        """Return the variable's value, or the default where it is unset."""
        return os.environ.get(self.name, self.default)


CACHE_DIR = Setting(
    name="CHANZI_CACHE_DIR",
    default="",
    meaning="Where compiled programs and fetched networks are kept; empty: the platform's user cache folder.",
)
CACHE = Setting(name="CHANZI_CACHE", default="1", meaning="0 turns the compile cache off.")
DEBUG = Setting(
    name="CHANZI_DEBUG",
    default="0",
    meaning="0 quiet, 1 stages and their seconds, 2 passes, 3 tiles and placement; tracebacks are shown from 1 up.",
)
THREADS = Setting(name="CHANZI_THREADS", default="0", meaning="Threads of the fast simulator; 0 takes every core.")

ALL = (CACHE_DIR, CACHE, DEBUG, THREADS)


def cache_dir() -> Path:
    """Return the cache folder (not created)."""
    chosen = CACHE_DIR.get()
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("chanzi"))
