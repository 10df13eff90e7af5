"""Spoiled files end in one clear line or a right answer: never a traceback, a hang, or all of the memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = [path.stem.removeprefix("target_") for path in sorted(HERE.glob("target_*.py"))]
IN_EVERY_RUN = 300
ONCE = 10_000


def eat(kind: str, first: int, count: int) -> dict[str, object]:
    command = [sys.executable, str(HERE / "child.py"), kind, str(first), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    assert done.returncode == 0, f"{kind}: {last or done.stderr[-3000:]}"
    return json.loads(last)


@pytest.mark.parametrize("kind", KINDS)
def test_spoiled_files_are_refused_or_right(kind):
    summary = eat(kind, 0, IN_EVERY_RUN)
    assert summary["refused"] > IN_EVERY_RUN // 10


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("start", range(0, ONCE, 500))
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_spoiled_files(kind, start):
    eat(kind, start, 500)
