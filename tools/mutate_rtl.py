"""Mutation score of the hardware: single faults in the source of `chanzi.rtl`, and which of them the tests notice.

    python tools/mutate_rtl.py run --count 120 --seed 1 --journal mutants.jsonl
    python tools/mutate_rtl.py table --journal mutants.jsonl

`run` draws faults from the syntax trees of the blocks (seeded, so the same faults every time) and runs the tests of the
block against each, stopping at the first that fails; what survives them meets the random programs on whole chips as
well. Results go to the journal one by one, and a run that is started again goes on where it was. Each mutant is a
forked process that sees the changed module through an import hook, so no file of the checkout is touched.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SEQUENCER = (
    "tests/rtl/test_sequencer.py::test_an_unknown_opcode_ends_the_run",
    "tests/rtl/test_sequencer.py::test_an_illegal_instruction_ends_the_run_with_its_index",
    "tests/rtl/test_sequencer.py::test_every_instruction_begins_when_the_timing_simulator_says",
)
VECTOR = ("tests/rtl/test_vector.py", "tests/rtl/test_softmax.py", "tests/rtl/test_vector_windows.py")
TESTS: dict[str, tuple[str, ...]] = {
    "sequencer": SEQUENCER,
    "decode": (*SEQUENCER[:2], "tests/rtl/test_array.py", *SEQUENCER[2:]),
    "float32": ("tests/rtl/test_float32.py",),
    "lane": VECTOR,
    "dma": ("tests/rtl/test_dma.py",),
    "bus": ("tests/rtl/test_dma.py",),
    "scratchpad": ("tests/rtl/test_scratchpad.py",),
    "banks": ("tests/rtl/test_scratchpad.py",),
    "array.control": ("tests/rtl/test_array.py",),
    "array.walk": ("tests/rtl/test_array.py",),
    "array.drain": ("tests/rtl/test_array.py",),
    "array.engine": ("tests/rtl/test_array.py",),
    "array.feeder": ("tests/rtl/test_array.py",),
    "vector.engine": VECTOR,
    "vector.lanes": VECTOR,
    "vector.softmax": ("tests/rtl/test_softmax.py",),
}
"""Block -> the CI tests of that block, the quickest first."""

WHOLE = ("tests/conform/test_hardware.py",)
"""What a mutant meets that the tests of its block let through."""

EQUIVALENT: dict[str, str] = {}
"""Mutant -> why no test can tell it from the hardware."""

FLIPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One fault: in which block, at the how many-th place, and where that is."""

    block: str
    line: int
    column: int
    fault: str
    number: int

    @property
    def source(self) -> str:
        """Return the module's source with the fault."""
        tree = ast.parse(_path(self.block).read_text())
        places = _Places()
        places.visit(tree)
        node = places.found[self.number]
        new = next(made for name, made in _faults(node) if name == self.fault)
        return ast.unparse(ast.fix_missing_locations(_Replace(node, new).visit(tree)))

    @property
    def name(self) -> str:
        """Identify the mutant in the journal."""
        return f"{self.block}:{self.line}:{self.column}:{self.fault}"


def _path(block: str) -> Path:
    return ROOT / "src/chanzi/rtl" / f"{block.replace('.', '/')}.py"


def _called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _stuck(value: int) -> ast.expr:
    return ast.parse(f"__import__('amaranth').Const({value})", mode="eval").body


def _faults(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield (fault, node to stand in its place)."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for step in (1, -1):
            if node.value + step >= 0:
                yield f"constant {node.value} is {node.value + step}", ast.Constant(node.value + step)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPS:
        flipped = copy.copy(node)
        flipped.ops = [FLIPS[type(node.ops[0])]()]
        yield f"{type(node.ops[0]).__name__} is {type(flipped.ops[0]).__name__}", flipped
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        other = copy.copy(node)
        other.op = OPERATORS[type(node.op)]()
        yield f"{type(node.op).__name__} is {type(other.op).__name__}", other
        if isinstance(node.op, ast.Sub):
            yield "operands of Sub swapped", ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        yield "Invert dropped", node.operand
    elif _called(node) == "Mux" and isinstance(node, ast.Call) and len(node.args) == 3:
        yield "arms of Mux swapped", ast.Call(node.func, [node.args[0], node.args[2], node.args[1]], [])
    elif _called(node) in ("If", "Elif") and isinstance(node, ast.Call):
        for value in (0, 1):
            yield f"condition stuck at {value}", ast.Call(node.func, [_stuck(value)], [])
    elif _called(node) == "eq" and isinstance(node, ast.Call):
        yield "assignment dropped", ast.List([], ast.Load())


class _Places(ast.NodeVisitor):
    """Finds the places of logic in functions: no shapes, names, annotations, tables or conditions of Python."""

    def __init__(self) -> None:
        self.found: list[ast.AST] = []
        self._inside = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name == "__init__":
            return
        self._inside += 1
        for statement in node.body:
            self.visit(statement)
        self._inside -= 1

    def visit_Call(self, node: ast.Call) -> None:
        if _called(node) in ("Signal", "range", "Memory", "StructLayout", "unsigned", "signed", "getattr", "zip"):
            return
        if self._inside:
            self.found.append(node)
        self.visit(node.func)
        for argument in node.args:
            self.visit(argument)

    def visit_If(self, node: ast.If) -> None:
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def generic_visit(self, node: ast.AST) -> None:
        if self._inside and isinstance(node, ast.Constant | ast.Compare | ast.BinOp | ast.UnaryOp):
            self.found.append(node)
        super().generic_visit(node)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """Put the new node where the old one is."""
        return self.new if node is self.old else self.generic_visit(node)


def mutants(block: str) -> Iterator[Mutant]:
    """Yield every fault of a block's module."""
    places = _Places()
    places.visit(ast.parse(_path(block).read_text()))
    for number, place in enumerate(places.found):
        for fault, _ in _faults(place):
            yield Mutant(block=block, line=place.lineno, column=place.col_offset, fault=fault, number=number)


def draw(blocks: list[str], count: int, seed: int) -> list[Mutant]:
    """Return `count` faults, as many of each block, of each kind as even as the block has them."""
    rng = random.Random(seed)
    drawn: list[Mutant] = []
    for i, block in enumerate(blocks):
        kinds: dict[str, list[Mutant]] = {}
        for mutant in mutants(block):
            kinds.setdefault(mutant.fault.split()[0], []).append(mutant)
        for group in kinds.values():
            rng.shuffle(group)
        order, wanted = sorted(kinds), count * (i + 1) // len(blocks) - count * i // len(blocks)
        rng.shuffle(order)
        while wanted > 0 and any(kinds.values()):
            for kind in order:
                if wanted > 0 and kinds[kind]:
                    drawn.append(kinds[kind].pop())
                    wanted -= 1
    rng.shuffle(drawn)
    return drawn


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.name, self.source = f"chanzi.rtl.{mutant.block}", mutant.source

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Return this loader for the mutant's module alone."""
        del path, target
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module: object) -> None:
        """Run the changed source."""
        exec(compile(self.source, f"<mutant of {self.name}>", "exec"), vars(module))  # noqa: S102 - its purpose


def _tests(mutant: Mutant | None, tests: tuple[str, ...], seconds: float, log: Path) -> str:
    """Return "passed", "failed" or "timed out" of the tests with the mutant."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        import pytest

        if mutant:
            sys.meta_path.insert(0, _Finder(mutant))
        options = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        status = pytest.main([*options, *tests])
        os._exit(0 if status in (0, 5) else 1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "passed" if status == 0 else "failed"
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timed out"


def _preload() -> None:
    """Import what every mutant needs and no mutant changes."""
    import amaranth.back.rtlil
    import amaranth.sim
    import numpy as np
    from pyosys import libyosys

    import chanzi.conform.generate
    import chanzi.flow.verilog
    import chanzi.sim.timing

    if any(name.startswith("chanzi.rtl.") for name in sys.modules):
        raise SystemExit("a module of chanzi.rtl is loaded before its mutants")
    del amaranth, np, libyosys, chanzi


def run(arguments: argparse.Namespace) -> None:
    """Draw the faults and test those that the journal has not yet."""
    journal: Path = arguments.journal
    os.environ["CHANZI_CACHE_DIR"] = str(journal.resolve().with_suffix(".cache"))
    os.environ["CI"] = "1"
    os.chdir(ROOT)
    known = {entry["mutant"] for entry in _entries(journal)}
    drawn = [m for m in draw(sorted(TESTS), arguments.count, arguments.seed) if m.block in arguments.blocks]
    sound: set[tuple[str, ...]] = set()
    _preload()
    end = time.monotonic() + arguments.minutes * 60
    log = journal.resolve().with_suffix(".log")
    for mutant in drawn:
        if mutant.name in known or time.monotonic() > end:
            continue
        tests = TESTS[mutant.block]
        if tests not in sound:  # a test that fails anyway would kill every mutant
            if _tests(None, tests, 900, log) != "passed":
                raise SystemExit(f"without any fault, {' '.join(tests)} fails: see {log}")
            sound.add(tests)
        started, by = time.monotonic(), "block"
        result = _tests(mutant, tests, arguments.timeout, log)
        if result == "passed" and not arguments.block_only:
            by, result = "whole", _tests(mutant, WHOLE, 3 * arguments.timeout, log)
        entry = {"mutant": mutant.name, "result": result, "by": by, "seconds": round(time.monotonic() - started, 1)}
        with journal.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        sys.stdout.write(f"{entry['result']:10} {entry['seconds']:6} {mutant.name}\n")
        sys.stdout.flush()


def _entries(journal: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def table(arguments: argparse.Namespace) -> None:
    """Write the journal as a table in Markdown, and the survivors."""
    rows: dict[str, dict[str, int]] = {}
    survivors = []
    for entry in _entries(arguments.journal):
        mutant, result = str(entry["mutant"]), str(entry["result"])
        kind = {"failed": "killed", "timed out": "timed out", "passed": "survived"}[result]
        kind = "equivalent" if kind == "survived" and mutant in EQUIVALENT else kind
        row = rows.setdefault(mutant.split(":")[0], dict.fromkeys(("killed", "timed out", "survived", "equivalent"), 0))
        row[kind] += 1
        if kind in ("survived", "equivalent"):
            survivors.append(f"- `{mutant}`" + (f": {EQUIVALENT[mutant]}" if mutant in EQUIVALENT else ""))
    out = ["| block | faults | killed | timed out | equivalent | survived |", "|---|--:|--:|--:|--:|--:|"]
    total = dict.fromkeys(("killed", "timed out", "equivalent", "survived"), 0)
    for block, row in sorted(rows.items()):
        out.append(f"| {block} | {sum(row.values())} | " + " | ".join(str(row[key]) for key in total) + " |")
        total = {key: total[key] + row[key] for key in total}
    counted = sum(total.values()) - total["equivalent"]
    out.append(f"| all | {sum(total.values())} | " + " | ".join(map(str, total.values())) + " |")
    caught = total["killed"] + total["timed out"]
    out += ["", f"Caught: {caught} of {counted}, {100 * caught / max(1, counted):.1f} %.", "", *sorted(survivors)]
    sys.stdout.write("\n".join(out) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "table"))
    parser.add_argument("--journal", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--blocks", nargs="+", choices=sorted(TESTS), default=sorted(TESTS))
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--timeout", type=float, default=180, help="seconds of the block's tests; thrice for the chip's"
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="start no mutant after as many")
    parser.add_argument("--block-only", action="store_true", help="leave out the tests of whole chips")
    arguments = parser.parse_args()
    (run if arguments.command == "run" else table)(arguments)


if __name__ == "__main__":
    main()
