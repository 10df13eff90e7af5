"""A design through yosys to ECP5 cells, in a process of its own: ``python -m chanzi.flow.fpga_job JOB.json``.

Shared modules are mapped once and flattened afterwards. Each stage is a line on stdout, for whoever waits.
"""

import json
import os
import sys
from pathlib import Path

_MULTIPLIERS = (
    "techmap -map +/mul2dsp.v -map +/lattice/dsp_map_18x18.v -D DSP_A_MAXWIDTH=18 -D DSP_B_MAXWIDTH=18"
    " -D DSP_A_MINWIDTH=2 -D DSP_B_MINWIDTH=2 -D DSP_NAME=$__MUL18X18"
)
COARSE = (
    "proc", "opt_clean", "flatten", "opt_expr", "opt_clean", "opt -nodffe -nosdff", "wreduce", "peepopt", "opt_clean",
    "techmap -map +/cmp2lut.v -D LUT_WIDTH=4", "opt_expr", "opt_clean", _MULTIPLIERS,
    "chtype -set $mul t:$__soft_mul", "alumacc", "opt", "memory -nomap -no-rw-check", "opt_clean",
)  # fmt: skip
"""`synth_ecp5 -run coarse` without its search for state machines and shareable operators: a third of the time."""
LUTS = ("techmap -map +/lattice/latches_map.v", "abc9 -W 300 -D 10000", "clean")
"""In the place of its stage `map_luts`: what takes less than 10 ns before wires may be slower and smaller."""
STAGES = (("map_ram", "map_luts"), ("map_luts", "map_cells"), ("map_cells", "check"))
"""Of `synth_ecp5`, each up to the next."""


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
    run(f"synth_ecp5 -top {job['top']} -run begin:coarse")
    say("synthesis, coarse")
    for step in COARSE:
        run(step)
    for stage, following in STAGES:
        say(f"synthesis, {stage}")
        if stage != "map_luts":
            run(f"synth_ecp5 -no-rw-check -top {job['top']} -run {stage}:{following}")
            continue
        for step in LUTS:
            run(step)
    say("flattening")
    run("setattr -mod -unset keep_hierarchy *")
    run("tee -q -o modules.json stat -json")
    run("flatten")
    run("opt_clean -purge")
    run("autoname")
    run("blackbox =A:whitebox")
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
