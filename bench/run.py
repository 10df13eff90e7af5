"""Chanzi and its rivals side by side: the same layers, the same 96x96 array, one run, ratios.

    python bench/run.py                     everything (about ten minutes on two cores; SCALE-Sim wants 9 GB)
    python bench/run.py --only vela         Chanzi and one rival
    python bench/run.py --write             also rewrite docs/results/rivals.md and .json

Each rival gets an environment of its own under --work, made by this script. Wall seconds and peak memory are those of
the whole command, from outside. Cycles compare within what each tool counts: SCALE-Sim assumes memory that always keeps
up, ZigZag and Vela include DRAM, and Vela compiles for another NPU of 2,048 multiply-accumulates.
"""

import argparse
import csv
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import chanzi_side
import measure
import networks

HERE = Path(__file__).parent
RIVALS = HERE / "rivals"
RESULTS = HERE.parent / "docs" / "results"
ARRAY_MACS = 96 * 96
VELA_MACS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One tool on one network."""

    tool: str
    network: str
    work: str
    wall_s: float
    peak_bytes: int | None
    cycles: int | None = None
    utilization: float | None = None
    note: str = ""


def _row(tool: str, network: str, work: str, cost: measure.Measured, **figures: object) -> Row:
    return Row(
        tool=tool, network=network, work=work, wall_s=cost.wall_s, peak_bytes=cost.peak_bytes, note=cost.note, **figures
    )


def _from_json(tool: str, network: str, work: str, cost: measure.Measured, result: Path) -> Row:
    if not cost.ok:
        return _row(tool, network, work, cost)
    done = json.loads(result.read_text("utf-8"))
    return _row(tool, network, work, cost, cycles=done["cycles"], utilization=done["utilization"])


def scalesim(work: Path, network: str, timeout_s: float) -> Row:
    """SCALE-Sim 3.0; its own requirements leave NumPy open and it breaks on 2.4."""
    bin_ = measure.environment(work / "scalesim", ["scalesim==3.0.0", "numpy<2.4"])
    result = work / f"scalesim-{network}.json"
    command = [str(bin_ / "python"), str(RIVALS / "run_scalesim.py"), str(work / f"{network}.json"), str(result)]
    cost = measure.run(command, timeout_s=timeout_s, log=work / "scalesim.log")
    return _from_json("SCALE-Sim 3.0", network, "cycles, output stationary, no DRAM", cost, result)


def zigzag(work: Path, network: str, timeout_s: float, *, search: bool = False) -> Row:
    """ZigZag 3.9.1; it needs `six`, which it does not declare."""
    bin_ = measure.environment(work / "zigzag", ["zigzag-dse==3.9.1", "six"])
    result = work / f"zigzag-{network}.json"
    files = [str(work / f"{network}.json"), str(work / f"{network}.onnx"), str(result)]
    command = [str(bin_ / "python"), str(RIVALS / "run_zigzag.py"), *files, *(["--search"] if search else [])]
    cost = measure.run(command, timeout_s=timeout_s, log=work / "zigzag.log")
    mapping = "searched" if search else "fixed"
    return _from_json("ZigZag 3.9.1", network, f"cycles and energy, {mapping} mapping", cost, result)


def zigzag_search(work: Path, network: str, timeout_s: float) -> Row:
    """ZigZag choosing the mapping of each layer: better cycles, and three times the wait."""
    return zigzag(work, network, timeout_s, search=True)


def vela(work: Path, network: str, timeout_s: float) -> Row:
    """Vela 5.2 on an int8 .tflite of the same layers, which is written first and not timed."""
    bin_ = measure.environment(work / "vela", ["ethos-u-vela==5.2.0"])
    model = work / f"{network}.tflite"
    writer = [str(bin_ / "python"), str(RIVALS / "write_tflite.py"), str(work / f"{network}.json"), str(model)]
    wrote = measure.run(writer, timeout_s=timeout_s, log=work / "tflite.log")
    if not wrote.ok:
        return _row("Vela 5.2", network, "write .tflite", wrote)
    out = work / "vela-out"
    flags = ["--accelerator-config", "ethos-u85-2048", "--arena-cache-size", str(8 << 20), "--output-dir", str(out)]
    cost = measure.run([str(bin_ / "vela"), str(model), *flags], timeout_s=timeout_s, log=work / "vela.log")
    if not cost.ok:
        return _row("Vela 5.2", network, "compile", cost)
    with next(out.glob(f"{network}_summary_*.csv")).open(newline="") as file:
        summary = list(csv.DictReader(file))[-1]
    cycles = round(float(summary["cycles_total"]))
    utilization = float(summary["nn_macs"]) / cycles / VELA_MACS
    return _row("Vela 5.2", network, "compile for Ethos-U85-2048", cost, cycles=cycles, utilization=utilization)


# SCALE-Sim's depthwise needs a row for each channel: MobileNetV2 passed 20 GB without an end, so it is not asked.
ASKED = (
    (vela, "resnet50"),
    (vela, "mobilenetv2"),
    (zigzag, "mobilenetv2"),
    (zigzag_search, "mobilenetv2"),
    (scalesim, "resnet50"),
)


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown, each rival with its ratios to Chanzi's row of the same network."""
    ours = {row.network: row for row in rows if row.tool.startswith("Chanzi")}
    head = ["network", "tool", "work", "wall s", "peak MB", "cycles", "utilization", "time ÷ ours", "memory ÷ ours", "cycles ÷ ours"]  # fmt: skip  # noqa: E501 - a table's head
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|" + "---:|" * (len(head) - 3)]
    for row in sorted(rows, key=lambda r: (r.network, not r.tool.startswith("Chanzi"), r.tool)):
        mine = ours.get(row.network)
        ratios = ["", "", ""]
        if mine is not None and not row.tool.startswith("Chanzi"):
            ratios[0] = f"{row.wall_s / mine.wall_s:.1f}"
            if row.peak_bytes and mine.peak_bytes:
                ratios[1] = f"{row.peak_bytes / mine.peak_bytes:.1f}"
            if row.cycles and mine.cycles:
                ratios[2] = f"{row.cycles / mine.cycles:.2f}"
        cells = [
            row.network,
            row.tool,
            row.note or row.work,
            f"{row.wall_s:.2f}",
            f"{row.peak_bytes / 1e6:,.0f}" if row.peak_bytes else "",
        ]
        cells += [f"{row.cycles:,}" if row.cycles else "", f"{row.utilization:.1%}" if row.utilization else "", *ratios]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


PAGE = """# Beside other tools

{table}
`python bench/run.py --write` made this table in one run on {cores} cores. Wall seconds and peak memory are those of the
whole command. Chanzi's row is a full compilation, without cache, from the quantized ONNX file to the program file and
its cycles, on one 96x96 core (`tesla-fsd-hw3` with one of its two cores) with its DRAM.

Compare cycles with care. SCALE-Sim takes memory to be always fast enough; ZigZag and Vela include DRAM; Vela compiles
for another NPU, with 2,048 multiply-accumulates where the array here has 9,216, so its utilization is of its own array.
SCALE-Sim is not asked for MobileNetV2: with a row for each depthwise channel it had not ended after 444 s and 23.7 GiB.
"""


def main() -> int:
    """Run what was asked, print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("vela", "zigzag", "scalesim", "none"))
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "chanzi-bench")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for each command")
    parser.add_argument("--write", action="store_true", help="rewrite docs/results/rivals.*")
    parser.add_argument("--quick", action="store_true", help="without ZigZag's search, which takes the longest")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    networks.write(work)
    rows: list[Row] = []
    for name in networks.NETWORKS:
        for work_name, cost, figures in chanzi_side.rows(work, name, arguments.timeout):
            rows.append(_row("Chanzi", name, work_name, cost, **figures))
            print(f"Chanzi {name}: {cost.wall_s:.2f} s {cost.note}", flush=True)
    for tool, name in ASKED:
        if arguments.only in (None, tool.__name__.split("_")[0]) and not (arguments.quick and tool is zigzag_search):
            rows.append(tool(work, name, arguments.timeout))
            print(f"{rows[-1].tool} {name}: {rows[-1].wall_s:.2f} s {rows[-1].note}", flush=True)
    print()
    print(table(rows))
    if arguments.write:
        RESULTS.mkdir(parents=True, exist_ok=True)
        page = PAGE.format(table=table(rows), cores=os.cpu_count())
        (RESULTS / "rivals.md").write_text(page, encoding="utf-8")
        data = {
            "command": "python bench/run.py --write",
            "cores": os.cpu_count(),
            "rows": [asdict(row) for row in rows],
        }
        (RESULTS / "rivals.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row.note for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
