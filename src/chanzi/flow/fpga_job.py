"""A design through yosys to ECP5 cells, in a process of its own: ``python -m chanzi.flow.fpga_job JOB.json``.

Shared modules are mapped once and flattened afterwards. Each stage is a line on stdout, for whoever waits.
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

STAGES = ("begin", "coarse", "map_ram", "map_ffram", "map_gates", "map_ffs", "map_luts", "map_cells", "check")
"""Of yosys' `synth_ecp5`; the last is not run."""


def work(job: dict, tell: int) -> None:
    """Do a job in the current folder: `rtlil`, `verilog`: files; `shared`: modules to map once; `top`."""
    from pyosys import libyosys

    design = libyosys.Design()

    def run(command: str) -> None:
        libyosys.run_pass(command, design)

    def say(stage: str) -> None:
        os.write(tell, f"{stage}\n".encode())

    say("reading")
    for name in job["rtlil"]:
        run(f"read_rtlil {name}")
    for name in job["verilog"]:
        run(f"read_verilog {name}")
    for name in job["shared"]:
        run(f"setattr -mod -set keep_hierarchy 1 {name}")
    run(f"hierarchy -top {job['top']}")
    for stage, following in pairwise(STAGES):
        say(f"synthesis, {stage}")
        run(f"synth_ecp5 -no-rw-check -top {job['top']} -run {stage}:{following}")
    say("flattening")
    run("setattr -mod -unset keep_hierarchy *")
    run("tee -q -o modules.json stat -json")
    run("flatten")
    run("opt_clean -purge")
    run("autoname")
    run("tee -q -o cells.json stat -json")
    run("write_json netlist.json")
    run("write_verilog -noattr netlist.v")


if __name__ == "__main__":
    mine = os.dup(1)
    log = os.open("yosys.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    work(json.loads(Path(sys.argv[1]).read_text()), mine)
    sys.stdout.flush()
    os._exit(0)
