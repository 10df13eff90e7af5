"""One module through yosys, in a process of its own: ``python -m chanzi.flow.synth_job JOB.json``.

The job's file names the RTLIL, the library's files and where the mapped netlist goes.
"""

import json
import os
import sys
from pathlib import Path

_COARSE = (
    "proc", "setattr -unset init w:*", "setattr -set keep 1 t:chanzi_sram t:chanzi_code", "opt_expr", "opt_clean",
    "opt -nodffe -nosdff", "wreduce", "peepopt", "opt_clean", "booth", "alumacc", "opt", "memory -nomap", "opt_clean",
    "opt -fast -full", "opt -undriven -fine", "techmap", "opt -fast", "opt_clean",
)  # fmt: skip
RECIPES = {
    "speed": "strash; dch -f; map -B 0.9 -D {D}; topo; buffer -c; upsize -D {D}; dnsize -D {D}; stime",
    "area": "strash; dc2; scorr; &get -n; &dch -f; &nf -R 10; &put; buffer -c; topo; dnsize -D {D}; stime",
    "areas": "strash; dc2; scorr; dch -f; map -a -B 0.9",
}
"""ABC's commands: for speed, for area, and for a library that has nothing but areas."""


def work(job: dict) -> None:
    """Do a job."""
    from pyosys import libyosys

    design = libyosys.Design()
    folder = Path(job["folder"])
    libyosys.run_pass(f"read_rtlil {job['rtlil']}", design)
    libyosys.run_pass("select -none", design)
    libyosys.run_pass("select top", design)
    for step in _COARSE:
        libyosys.run_pass(step, design)
    liberty = " ".join(f"-liberty {path}" for path in job["flop_liberty"])
    libyosys.run_pass(f"dfflibmap {liberty}", design)
    libyosys.run_pass("opt_clean", design)
    script = folder / "abc.txt"
    period = f"{job['period_ps']:.0f}"
    script.write_text(RECIPES[job["recipe"]].replace("{D}", period).replace("; ", "\n") + "\n")
    if job["genlib"]:
        libyosys.run_pass(f"abc -genlib {job['genlib']} -script {script}", design)
    else:
        constraints = folder / "constraints"
        constraints.write_text(f"set_driving_cell {job['driver']}\nset_load {job['load_ff']} [all_outputs]\n")
        unwanted = " ".join(f"-dont_use {name}" for name in job["dont_use"])
        liberty = " ".join(f"-liberty {path}" for path in job["liberty"])
        libyosys.run_pass(f"abc {liberty} -D {period} -constr {constraints} -script {script} {unwanted}", design)
    libyosys.run_pass("opt_clean -purge", design)
    libyosys.run_pass(f"write_json -selected {job['result']}", design)


if __name__ == "__main__":
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    work(json.loads(Path(sys.argv[1]).read_text()))
    sys.stdout.flush()
    os._exit(0)
