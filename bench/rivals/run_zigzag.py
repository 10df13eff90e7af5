"""ZigZag 3.9.1 on one ONNX network; runs inside ZigZag's own environment.

The array of the 2019 chip in ZigZag's words: 96 output channels x (12 x 8) output pixels, 16 + 16 MiB of scratchpad,
DRAM of 32 bytes a cycle, the mapping fixed to those dimensions or searched. ZigZag's files are
YAML; they are written from here.
"""

import argparse
import contextlib
import json
import logging
import os
import tempfile
from pathlib import Path


def port(name: str, kind: str, bits: int, allocation: list[str]) -> str:
    """Return one memory port in ZigZag's form."""
    rows = "".join(f"          - {row}\n" for row in allocation)
    sizes = f"        bandwidth_min: {min(bits, 64)}\n        bandwidth_max: {bits}\n"
    return f"      - name: {name}\n        type: {kind}\n{sizes}        allocation:\n{rows}"


def memory(name: str, size_bits: int, operands: str, ports: list[str], served: str, cost: float) -> str:
    """Return one memory level in ZigZag's form."""
    head = f"  {name}:\n    size: {size_bits}\n    r_cost: {cost}\n    w_cost: {cost}\n    area: 0\n    latency: 1\n"
    return f"{head}    operands: [{operands}]\n    ports:\n{''.join(ports)}    served_dimensions: [{served}]\n"


def accelerator() -> str:
    """Return the chip: an output-stationary 96 x 12 x 8 array."""
    weight = [port("r_port_1", "read", 8, ["I2, tl"]), port("w_port_1", "write", 8, ["I2, fh"])]
    out = [
        port("r_port_1", "read", 32, ["O, tl"]),
        port("r_port_2", "read", 32, ["O, th"]),
        port("w_port_1", "write", 32, ["O, fh"]),
        port("w_port_2", "write", 32, ["O, fl"]),
    ]
    acts = [
        port("r_port_1", "read", 2048, ["I1, tl", "O, tl", "O, th"]),
        port("w_port_1", "write", 2048, ["I1, fh", "O, fh", "O, fl"]),
    ]
    weights = [port("r_port_1", "read", 1024, ["I2, tl"]), port("w_port_1", "write", 1024, ["I2, fh"])]
    both = ["I1, fh", "I1, tl", "I2, fh", "I2, tl", "O, fh", "O, tl", "O, fl", "O, th"]
    return (
        "name: fsd96\nmemories:\n"
        + memory("rf_w", 8, "I2", weight, "D2, D3", 0.01)
        + memory("rf_o", 32, "O", out, "", 0.022)
        + memory("sram_a", 16 * 2**23, "I1, O", acts, "D1, D2, D3", 208.0)
        + memory("sram_w", 16 * 2**23, "I2", weights, "D1, D2, D3", 208.0)
        + memory("dram", 10**10, "I1, I2, O", [port("rw_port_1", "read_write", 256, both)], "D1, D2, D3", 700.0)
        + "operational_array:\n  unit_energy: 0.04\n  unit_area: 1\n  dimensions: [D1, D2, D3]\n  sizes: [96, 12, 8]\n"
    )


def mapping(search: bool) -> str:
    """Return the spatial mapping: K x (OX, OY) for every layer, or none, and ZigZag then searches for one."""
    links = "  memory_operand_links:\n    O: O\n    W: I2\n    I: I1\n"
    rows = "  spatial_mapping:\n    D1:\n      - K, 96\n    D2:\n      - OX, 12\n    D3:\n      - OY, 8\n"
    return f"- name: default\n{'' if search else rows}{links}"


def main() -> None:
    """Run and write {"cycles", "energy_pj"} as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--search", action="store_true", help="let ZigZag choose the mapping of each layer")
    arguments = parser.parse_args()
    macs = sum(layer["macs"] for layer in json.loads(arguments.network.read_text("utf-8")))
    result, onnx_path = arguments.result.resolve(), str(arguments.onnx.resolve())

    from zigzag.api import get_hardware_performance_zigzag

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        (folder / "chip.yaml").write_text(accelerator(), encoding="utf-8")
        (folder / "map.yaml").write_text(mapping(arguments.search), encoding="utf-8")
        logging.disable(logging.WARNING)
        with (folder / "log").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            energy, latency, _ = get_hardware_performance_zigzag(
                onnx_path, "chip.yaml", "map.yaml", opt="latency", dump_folder="out", loma_show_progress_bar=False
            )
    done = {"cycles": round(float(latency)), "macs": macs, "utilization": macs / float(latency) / 96**2}
    result.write_text(json.dumps(done | {"energy_pj": float(energy)}), encoding="utf-8")


if __name__ == "__main__":
    main()
