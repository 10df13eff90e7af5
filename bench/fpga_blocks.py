"""How fast each block of a chip is on an ECP5, alone: placed and routed between registers, critical path named.

    python bench/fpga_blocks.py                        every block of chanzi-8
    python bench/fpga_blocks.py multiply_add combine   those
    python bench/fpga_blocks.py --float-stages 2 requantize

A block alone has the whole part to itself, so its wires are short: what it reaches here is the most that it may reach
in the chip. Half a minute to some minutes for each; what was made before is taken from the cache.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip
from chanzi.flow.fpga import _critical, _follow, _program, synthesize_top
from chanzi.report.fpga import path_ends


class Between(Component):
    """A block between registers: its inputs come from a shift register, its outputs go into another."""

    def __init__(self, block: Component) -> None:
        self.block = block
        super().__init__({"shift_in": In(1), "load": In(1), "shift_out": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Return the block and the two chains."""
        del platform
        m = Module()
        block = m.submodules.block = self.block
        inputs, outputs = [], []
        for _, member, value in self.block.signature.flatten(block):
            (inputs if member.flow == In else outputs).append(Value.cast(value))
        given, taken = Cat(*inputs), Cat(*outputs)
        chain, result = Signal(len(given)), Signal(len(taken))
        m.d.sync += [chain.eq(Cat(self.shift_in, chain[:-1])), result.eq(Cat(result[1:], result[0]))]
        with m.If(self.load):
            m.d.sync += result.eq(taken)
        m.d.comb += self.shift_out.eq(result[0])
        at = 0
        for value in inputs:
            m.d.comb += value.eq(chain[at : at + len(value)])
            at += len(value)
        return m


def blocks(chip: Chip) -> dict[str, Callable[[], Any]]:
    """Return how each block is made."""
    from chanzi.rtl import array, float32, lane  # noqa: F401
    from chanzi.rtl.array.engine import ArrayEngine
    from chanzi.rtl.dma import LoadEngine, StoreEngine
    from chanzi.rtl.scratchpad import Scratchpad
    from chanzi.rtl.sequencer import Sequencer
    from chanzi.rtl.vector.engine import VectorEngine
    from chanzi.rtl.vector.softmax import Softmax

    core, stages = chip.core, chip.core.float_stages
    return {
        "multiply": lambda: float32.Multiply(stages),
        "multiply_add": lambda: float32.MultiplyAdd(lane.PRODUCT_BITS, stages),
        "to_byte": lambda: float32.ToByte(stages),
        "divide": lambda: float32.Divide(stages),
        "requantize": lambda: lane.Requantize(stages),
        "combine": lambda: lane.Combine(stages),
        "constants": lambda: lane.CombineConstants(stages),
        "softmax": lambda: Softmax(core),
        "vector": lambda: VectorEngine(core),
        "array": lambda: ArrayEngine(core),
        "sequencer": lambda: Sequencer(chip),
        "scratchpad": lambda: Scratchpad(core, model=False),
        "load": lambda: LoadEngine(chip),
        "store": lambda: StoreEngine(chip),
    }


def main() -> int:
    """Place and route each block; print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blocks", nargs="*")
    parser.add_argument("--chip", default="chanzi-8")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mhz", type=float, default=80.0)
    parser.add_argument("--float-stages", type=int, choices=(1, 2), default=1, help="in the place of the chip's own")
    parser.add_argument("--paths", action="store_true", help="print the hops of the critical path")
    given = parser.parse_args()
    chip = load_chip(given.chip)
    found = blocks(replace(chip, core=replace(chip.core, float_stages=given.float_stages)))
    for name in given.blocks or found:
        begin = time.perf_counter()
        netlist = synthesize_top(Between(found[name]()), name="chanzi_block")
        made = time.perf_counter() - begin
        with tempfile.TemporaryDirectory() as folder:
            options = f"--85k --package CABGA381 --speed 6 --freq {given.mhz} --seed {given.seed} --timing-allow-fail"
            files = ["--json", str(netlist / "netlist.json"), "--report", "report.json"]
            command = [*_program("nextpnr-ecp5"), *options.split(), "--lpf-allow-unconstrained", *files]
            code, lines = _follow(command, Path(folder), lambda _: None, lambda _: "")
            if code:
                print(name, "\n".join(lines[-5:]))
                continue
            report = json.loads((Path(folder) / "report.json").read_text())
        clock, fmax = max(report["fmax"].items(), key=lambda item: item[1]["achieved"])
        path = _critical(report, clock)
        start, end = path_ends(path)
        wires = sum(hop.ns for hop in path if hop.kind == "routing")
        whole = sum(hop.ns for hop in path)
        used = report["utilization"]["TRELLIS_COMB"]["used"]
        print(
            f"{name:14} {fmax['achieved']:6.1f} MHz  {whole:6.2f} ns, wires {wires:5.2f}  {used:6,} places"
            f"  {start} to {end}  (made in {made:.0f} s, placed in {time.perf_counter() - begin - made:.0f} s)",
            flush=True,
        )
        if given.paths:
            for hop in path:
                print(f"    {hop.kind:8} {hop.ns:5.2f}  {hop.cell}  {hop.net}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
