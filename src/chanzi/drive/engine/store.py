"""Artefacts by their sha256: written whole or not at all, read only if they are what their name says."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from chanzi.drive.engine.unit import sha256
from chanzi.errors import LoopError


class Store:
    """A folder of artefacts.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return where an artefact of that sha256 is kept, whether it is there or not."""
        return self._folder / name[:2] / name

    def put(self, data: bytes) -> str:
        """Keep `data` and return its sha256; once this returns it outlives a loss of power."""
        name = sha256(data)
        path = self.path(name)
        if path.is_file() and path.stat().st_size == len(data):
            return name
        path.parent.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(path.parent)
        return name

    def get(self, name: str) -> bytes:
        """Return an artefact.

        Raises
        ------
        LoopError
            It is not there, or is not what it was.
        """
        try:
            data = self.path(name).read_bytes()
        except FileNotFoundError:
            raise LoopError(
                f"the artefact {name[:12]} is not in {self._folder}", hint="restore the folder, or begin a new run"
            ) from None
        if sha256(data) != name:
            raise LoopError(
                f"{self.path(name)} is damaged: its bytes are not those of its name",
                hint="restore it from a copy, or begin a new run",
            )
        return data

    def __contains__(self, name: str) -> bool:
        return self.path(name).is_file()

    def __iter__(self) -> Iterator[str]:
        for folder in sorted(self._folder.iterdir()):
            for path in sorted(folder.iterdir()):
                if not path.name.startswith("."):
                    yield path.name

    def drop(self, name: str) -> None:
        """Delete an artefact; one that is gone already is no mistake."""
        self.path(name).unlink(missing_ok=True)

    def sweep(self, keep: frozenset[str]) -> int:
        """Delete what is not in `keep`, and what a killed writer left behind; return how many bytes that were."""
        freed = 0
        for folder in self._folder.iterdir():
            for path in folder.iterdir():
                if path.name not in keep:
                    freed += path.stat().st_size
                    path.unlink(missing_ok=True)
        return freed


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` outlive a loss of power; where folders cannot be opened it is the system's affair."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
