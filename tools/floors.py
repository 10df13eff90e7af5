"""Rewrite requirements/floors.txt: the oldest release of each dependency that pyproject.toml allows.

Needs uv (``pip install uv``). Run after changing a floor in pyproject.toml; a test compares the two.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HEADER = "# The oldest direct dependencies that pyproject.toml allows; rewritten by tools/floors.py.\n"


def main() -> int:
    """Resolve with uv and write the file."""
    root = Path(__file__).resolve().parent.parent
    uv = shutil.which("uv")
    if uv is None:
        print("uv is not installed: pip install uv")
        return 1
    command = [uv, "pip", "compile", "--quiet", "--resolution", "lowest-direct", "--extra", "dev", "--no-annotate"]
    command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11"]
    done = subprocess.run([*command, "pyproject.toml"], cwd=root, check=True, capture_output=True, text=True)
    if "://" in done.stdout:
        print("the resolution contains a URL; refusing to write it")
        return 1
    (root / "requirements" / "floors.txt").write_text(HEADER + done.stdout, encoding="utf-8")
    print(f"requirements/floors.txt: {len(done.stdout.splitlines())} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
