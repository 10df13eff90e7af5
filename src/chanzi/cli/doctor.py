"""``chanzi doctor``: what is installed, what is missing and how to get it."""

import os
import platform
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from chanzi.cli.console import say, say_json
from chanzi.settings import ALL, cache_dir

TOOLS = {
    "npm": ("networks that npm packages carry (BlazeFace, M-LSD)", "install Node.js"),
    "git": ("developing Chanzi", "install git"),
}


def doctor(*, json: bool = False) -> int:
    """Say what is installed, what is missing and how to get it; the exit code is 1 where something needed is missing.

    Parameters
    ----------
    json
        Write JSON instead of a table.
    """
    rows = [_python(), *_packages(), *_tools(), _cache(), _memory()]
    well = not any(row["needed"] and not row["ok"] for row in rows)
    if json:
        settings = {setting.name: setting.get() for setting in ALL}
        say_json({"ok": well, "checks": rows, "settings": settings})
        return 0 if well else 1
    for row in rows:
        mark = "ok" if row["ok"] else ("MISSING" if row["needed"] else "absent")
        say(f"{mark:<8} {row['name']:<16} {row['found']:<14} {row['what'] if row['ok'] else row['way']}".rstrip())
    for setting in ALL:
        if setting.name in os.environ:
            say(f"{'set':<8} {setting.name}={setting.get()}")
    say("all that is needed is here" if well else "something needed is missing: see the lines marked MISSING")
    return 0 if well else 1


def _row(name: str, *, ok: bool, needed: bool, found: str = "", what: str = "", way: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "needed": needed, "found": found, "what": what, "way": way}


def _python() -> dict[str, Any]:
    found = platform.python_version()
    return _row(
        "python",
        ok=sys.version_info >= (3, 11),
        needed=True,
        found=found,
        what=sys.prefix,
        way="use Python 3.11 or newer",
    )


def _packages() -> list[dict[str, Any]]:
    """Return a row for each declared dependency, base first, then the extras a user may want."""
    rows = []
    seen = set()
    for requirement in requires("chanzi") or []:
        match = re.match(r"([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?", requirement)
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", requirement)
        if match is None or match[1] in seen or (extra is not None and extra[1] in ("dev", "docs")):
            continue
        name, floor = match[1], match[2] or ""
        seen.add(name)
        needed = extra is None
        get = f'pip install "{name}>={floor}"' if needed else f'pip install "chanzi[{extra[1]}]"'  # type: ignore[index]
        try:
            found = version(name)
        except PackageNotFoundError:
            rows.append(_row(name, ok=False, needed=needed, way=get))
            continue
        ok = _numbers(found) >= _numbers(floor)
        what = "" if needed else f"extra '{extra[1]}'"  # type: ignore[index]
        rows.append(_row(name, ok=ok, needed=needed, found=found, what=what, way=f"older than {floor}: {get}"))
    return rows


def _numbers(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text.split("+")[0])[:3]]


def _tools() -> list[dict[str, Any]]:
    rows = []
    for name, (what, way) in TOOLS.items():
        path = shutil.which(name)
        rows.append(
            _row(
                name, ok=path is not None, needed=False, found="found" if path else "", what=what, way=f"{way} ({what})"
            )
        )
    return rows


def _cache() -> dict[str, Any]:
    folder = cache_dir()
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    ok = os.access(nearest, os.W_OK) and nearest.is_dir()
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    way = f"{folder} cannot be written: set CHANZI_CACHE_DIR (without it every run compiles anew)"
    return _row("cache", ok=ok, needed=False, found=f"{used / 1e6:.1f} MB", what=str(folder), way=way)


def _memory() -> dict[str, Any]:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") + _reclaimable()
    except (ValueError, OSError, AttributeError):
        return _row("memory", ok=True, needed=False, found="unknown")
    cores = f"{os.cpu_count()} processors"
    way = "large networks need about 1 GB"
    return _row("memory", ok=free > 1 << 30, needed=False, found=f"{free / 2**30:.1f} GiB free", what=cores, way=way)


def _reclaimable() -> int:
    """Return bytes of file cache that the system gives back on demand (0 where it does not say)."""
    try:
        text = Path("/proc/meminfo").read_text("utf-8")
    except OSError:
        return 0
    match = re.search(r"^Cached:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
