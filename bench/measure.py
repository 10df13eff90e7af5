"""Whole commands measured from outside: wall seconds and peak memory; and one environment per rival."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one command cost; `ok` is False where it failed or ran out of time, and `note` says which."""

    ok: bool
    wall_s: float
    peak_bytes: int
    output: str
    note: str = ""


def run(command: list[str], *, timeout_s: float, log: Path, environment: dict[str, str] | None = None) -> Measured:
    """Run `command` to its end; its output goes to `log`. Peak memory is the largest process of its tree.

    A small process of its own starts the command, because a child's peak begins at what its parent held when it forked.
    """
    starter = [sys.executable, "-S", __file__, str(log), str(timeout_s), *command]
    done = subprocess.run(
        starter,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | (environment or {}),
    )
    found = json.loads(done.stdout)
    text = log.read_text(encoding="utf-8", errors="replace")
    note = found["note"]
    return Measured(ok=not note, wall_s=found["wall_s"], peak_bytes=found["peak_bytes"], output=text, note=note)


def _start(log: str, timeout: str, *command: str) -> None:
    """Run the command, then print what it cost as JSON."""
    start = time.perf_counter()
    note = ""
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() - start > float(timeout):
                process.kill()
                _, status, usage = os.wait4(process.pid, 0)
                note = f"stopped after {float(timeout):.0f} s"
                break
            time.sleep(0.005)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if not note and process.returncode:
        note = f"exit code {process.returncode}"
    print(json.dumps({"wall_s": wall, "peak_bytes": usage.ru_maxrss * 1024, "note": note}))


def environment(folder: Path, requirements: list[str]) -> Path:
    """Make (once) a virtual environment that holds exactly `requirements`; return its bin folder."""
    mark = folder / "requirements.txt"
    wanted = "\n".join(requirements) + "\n"
    if not mark.is_file() or mark.read_text("utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        mark.write_text(wanted, encoding="utf-8")
    return folder / "bin"


if __name__ == "__main__":
    _start(*sys.argv[1:])
