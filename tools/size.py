"""Lines per file, largest first: prints the table and exits 1 where a file is longer than 800 lines."""

import statistics
import sys
from pathlib import Path

LIMIT = 800
AIM = 500
ROOTS = ("src", "tests", "bench", "tools", "examples", "docs")


def sizes(root: Path) -> list[tuple[int, Path]]:
    """Return (lines, path) of every Python file below `root`'s source folders, longest first."""
    files = [path for name in ROOTS for path in (root / name).rglob("*.py") if "_build" not in path.parts]
    counted = [(len(path.read_text("utf-8").splitlines()), path.relative_to(root)) for path in files]
    return sorted(counted, key=lambda row: (-row[0], str(row[1])))


def main() -> int:
    """Print the fifteen longest files and the totals of each folder."""
    root = Path(__file__).resolve().parent.parent
    rows = sizes(root)
    for lines, path in rows[:15]:
        note = "  TOO LONG" if lines > LIMIT else "  over the aim" if lines > AIM else ""
        print(f"{lines:6d}  {path}{note}")
    print()
    print(f"{'folder':10s} {'files':>6s} {'lines':>7s} {'median':>7s} {'p90':>5s} {'max':>5s}")
    for name in ROOTS:
        of = sorted(lines for lines, path in rows if path.parts[0] == name)
        if of:
            p90 = of[min(len(of) - 1, int(0.9 * len(of)))]
            print(f"{name:10s} {len(of):6d} {sum(of):7d} {statistics.median(of):7.0f} {p90:5d} {of[-1]:5d}")
    too_long = [path for lines, path in rows if lines > LIMIT]
    if too_long:
        print(f"\nlonger than {LIMIT} lines: {', '.join(map(str, too_long))}; split by what each part is about")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
