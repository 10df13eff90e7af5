"""SCALE-Sim 3.0 on one network; runs inside SCALE-Sim's own environment.

One 96x96 array, output stationary, 16 + 8 + 8 MiB of scratchpad, bandwidth "CALC": SCALE-Sim then assumes that memory
always keeps up, so its cycles have no DRAM in them.
"""

import argparse
import contextlib
import csv
import json
import tempfile
from pathlib import Path

CONFIG = """[general]
run_name = run
[architecture_presets]
ArrayHeight = {dim}
ArrayWidth = {dim}
IfmapSramSzkB = 16384
FilterSramSzkB = 8192
OfmapSramSzkB = 8192
IfmapOffset = 0
FilterOffset = 100000000
OfmapOffset = 200000000
Bandwidth = 32
Dataflow = os
MemoryBanks = 1
ReadRequestBuffer = 64
WriteRequestBuffer = 64
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 128
IfmapSRAMBankNum = 16
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 128
FilterSRAMBankNum = 16
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 1
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def topology(layers: list[dict]) -> str:
    """Return SCALE-Sim's CSV: input sizes with padding included, one row a convolution."""
    rows = ["Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"]
    for layer in layers:
        if layer["kind"] != "conv":
            continue
        if layer["groups"] != 1:
            raise SystemExit("no grouped convolution here; a depthwise layer made dense would be another network")
        (h, w, out), k, stride = layer["out_shape"], layer["kernel"], layer["stride"]
        size = [(h - 1) * stride + k, (w - 1) * stride + k, k, k, layer["in_shape"][2], out, stride]
        # 'DP' anywhere in a name means depthwise to SCALE-Sim; ours hold no such letters.
        rows.append(", ".join([layer["name"], *map(str, size)]) + ",")
    return "\n".join(rows) + "\n"


def layout(layers: list[dict]) -> str:
    """Return a layout file, which version 3 wants to read even where custom layouts are off."""
    rows = ["Layer name," + ",".join(["x"] * 20) + ","]
    rows += [layer["name"] + "," + ",".join(["1"] * 20) + "," for layer in layers if layer["kind"] == "conv"]
    return "\n".join(rows) + "\n"


def main() -> None:
    """Run and write {"cycles", "macs", "utilization"} as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--dim", type=int, default=96)
    arguments = parser.parse_args()
    layers = json.loads(arguments.network.read_text("utf-8"))

    from scalesim.scale_sim import scalesim

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.cfg").write_text(CONFIG.format(dim=arguments.dim), encoding="utf-8")
        (folder / "net.csv").write_text(topology(layers), encoding="utf-8")
        (folder / "layout.csv").write_text(layout(layers), encoding="utf-8")
        paths = {"config": "run.cfg", "topology": "net.csv", "layout": "layout.csv"}
        paths = {key: str(folder / value) for key, value in paths.items()}
        with contextlib.redirect_stdout((folder / "log").open("w")):
            simulator = scalesim(save_disk_space=True, verbose=False, input_type_gemm=False, **paths)
            simulator.run_scale(top_path=str(folder / "out"))
        report = next((folder / "out").rglob("COMPUTE_REPORT.csv"))
        with report.open(newline="") as file:
            rows = [{k.strip(): v.strip() for k, v in row.items() if k} for row in csv.DictReader(file)]
    cycles = round(sum(float(row["Total Cycles"]) for row in rows))
    prefetch = round(sum(float(row["Total Cycles (incl. prefetch)"]) for row in rows))
    macs = sum(layer["macs"] for layer in layers)
    done = {"cycles": cycles, "macs": macs, "utilization": macs / cycles / arguments.dim**2}
    done["cycles_with_prefetch"] = prefetch
    arguments.result.write_text(json.dumps(done), encoding="utf-8")


if __name__ == "__main__":
    main()
