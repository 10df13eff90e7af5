"""Mutation score of the hardware: single faults in the source of `chanzi.rtl`, and which of them the tests notice.

    python tools/mutate_rtl.py run --count 120 --seed 1 --journal mutants.jsonl
    python tools/mutate_rtl.py table --journal mutants.jsonl > docs/results/mutation.md

`run` draws faults from the syntax trees of the blocks (seeded, so the same faults every time) and builds all of them
into the hardware at once: each place computes the right value and the wrong ones, and one more input says which fault
is on. So the hardware of each test is built once, not once for each fault. Without a fault all tests must pass. Then
each fault meets the tests of its block, up to the first that fails, and what survives those the random programs on a
whole chip. No file of the checkout is touched: the changed modules come through an import hook. Results go to the
journal one by one, and a run that is started again goes on where it was.

A place that turns out to be plain Python (a size, a loop, a latency) is no hardware that could be switched, and is
left out.
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
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SEQUENCER = (
    "tests/rtl/test_sequencer.py::test_an_unknown_opcode_ends_the_run",
    "tests/rtl/test_sequencer.py::test_an_illegal_instruction_ends_the_run_with_its_index",
    "tests/rtl/test_sequencer.py::test_every_instruction_begins_when_the_timing_simulator_says",
)
VECTOR = ("tests/rtl/test_vector.py", "tests/rtl/test_softmax.py", "tests/rtl/test_vector_windows.py")
TESTS: dict[str, tuple[str, ...]] = {
    "float32": ("tests/rtl/test_float32.py",),
    "scratchpad": ("tests/rtl/test_scratchpad.py",),
    "banks": ("tests/rtl/test_scratchpad.py",),
    "dma": ("tests/rtl/test_dma.py",),
    "bus": ("tests/rtl/test_dma.py",),
    "sequencer": SEQUENCER,
    "array.control": ("tests/rtl/test_array.py",),
    "array.walk": ("tests/rtl/test_array.py",),
    "array.drain": ("tests/rtl/test_array.py",),
    "array.engine": ("tests/rtl/test_array.py",),
    "array.feeder": ("tests/rtl/test_array.py",),
    "array.grid": ("tests/rtl/test_array.py",),
    "decode": (*SEQUENCER[:2], "tests/rtl/test_array.py", *SEQUENCER[2:]),
    "vector.engine": VECTOR,
    "vector.lanes": VECTOR,
    "vector.softmax": ("tests/rtl/test_softmax.py",),
    "lane": ("tests/rtl/test_float32.py", *VECTOR),
}
"""Block -> the CI tests of that block, the quickest first."""

WHOLE = ("tests/flow/test_banks.py", "tests/conform/test_hardware.py")
"""What a mutant meets that the tests of its block let through."""

PAGE = """\
# Mutation score of the hardware

Single faults in the source of `chanzi.rtl`, {faults} of them, drawn at random: a comparison, operator or number that is
another, arms or operands swapped, a condition stuck, an assignment dropped. Each is switched on by itself, and the
tests that every CI run has must notice. Written by

    python tools/mutate_rtl.py run --journal mutants.jsonl [--blocks BLOCK ... --each 24]
    python tools/mutate_rtl.py table --journal mutants.jsonl > docs/results/mutation.md

Places that are plain Python (sizes, loops, latencies) are no hardware and are left out.
"""

FAULT_PORT, FAULT_BITS = "chanzi_fault", 10

HANGS = 400_000
"""Cycles after which a program of the tests will not end any more."""

SPARE = 2.5
"""Faults drawn for each that is tested: as many places are plain Python."""

EQUIVALENT: dict[str, str] = {
    "float32:48:29:Gt is GtE": "one bit more is or-ed to the last bit of the result: that bit itself",
    "float32:98:32:LtE is Lt": "at 0 the other arm gives 0 as well",
    "float32:98:51:Gt is GtE": "at 26 the other arm gives 26 as well",
    "float32:130:24:Lt is LtE": "zero negated is zero",
    "array.feeder:36:50:constant 0 is 1": "no step is taken with a row's word missing",
    "array.feeder:38:81:constant 9 is 10": "the tenth bit is cut off again",
    "array.feeder:84:46:operands of Sub swapped": "both operands of a product change their sign",
    "vector.softmax:98:62:Gt is GtE": "at the right edge the other arm gives the same",
}
"""Mutant -> why no test can tell it from the hardware."""

OPEN = {
    "array.control:162:45:LShift is RShift": "what a later word of a tile's parameters needs of its banks; CI's chips "
    "of side 4 have one word of them, or words that are full",
    "array.drain:273:55:LShift is RShift": "bytes of a later word of raw sums; the same: it takes a side of 8 with "
    "ports of 16",
    "vector.engine:324:87:Eq is NotEq": "sums are cleared at a line's first tap, too; what is cleared there seems to "
    "be shifted out and never written",
}
"""Survivor -> what it shows."""

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


class _Switches(ast.NodeTransformer):
    """Puts faults into a module's tree, each behind its number."""

    def __init__(self, tree: ast.Module, faults: list[tuple[int, Mutant]]) -> None:
        places = _Places()
        places.visit(tree)
        self._parent = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._variants: dict[ast.AST, list[tuple[int, ast.expr]]] = {}
        self._dropped: dict[ast.AST, list[int]] = {}
        self._domain = ""
        for number, mutant in faults:
            node = places.found[mutant.number]
            new = next(made for name, made in _faults(node) if name == mutant.fault)
            if _called(node) == "eq":
                self._dropped.setdefault(node, []).append(number)
                continue
            if _called(node) in ("If", "Elif"):
                node, new = node.args[0], new.args[0]
            at = self._around(node)
            if at is not None:  # the copy takes `new` where it comes to `node`
                self._variants.setdefault(at, []).append((number, copy.deepcopy(at, {id(node): new})))

    def _around(self, node: ast.AST) -> ast.AST | None:
        """Return the smallest expression around a place that has a value of the hardware."""
        if not isinstance(node, ast.Constant):
            return node
        up = self._parent[node]
        while isinstance(up, ast.Slice | ast.UnaryOp):
            up = self._parent[up]
        if isinstance(up, ast.Subscript):
            above = self._parent[up]
            assigned = isinstance(above, ast.Attribute) and above.attr == "eq"
            return None if assigned or isinstance(up.ctx, ast.Store) else up
        if isinstance(up, ast.Call) and _called(up) in ("eq", "Mux"):
            return node
        return up if isinstance(up, ast.Compare | ast.BinOp) else None

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the node with the faults in and below it."""
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute):
            self._domain = node.target.attr
        variants, dropped = self._variants.get(node, []), self._dropped.get(node, [])
        target = copy.deepcopy(node.func.value) if dropped else None
        node = self.generic_visit(node)
        for number in dropped:
            arguments = [ast.Constant(number), target, node.args[0], ast.Constant(self._domain)]
            node.args = [ast.Call(ast.Name("_assigned_", ast.Load()), arguments, [])]
        if not variants:
            return node
        pairs = [ast.Tuple([ast.Constant(number), _thunk(new)], ast.Load()) for number, new in variants]
        name = "_number_" if isinstance(node, ast.Constant) else "_switched_"
        return ast.Call(ast.Name(name, ast.Load()), [_thunk(node), *pairs], [])


def _thunk(body: ast.AST) -> ast.Lambda:
    return ast.Lambda(ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]), body)


class Switchboard:
    """The input that says which fault is on, and the hardware that listens to it."""

    def __init__(self) -> None:
        from amaranth import Signal

        self.signal = Signal(FAULT_BITS, name=FAULT_PORT)
        self.reached: set[int] = set()
        self.forget: Callable[[], None] = lambda: None

    def turn(self, number: int) -> None:
        """Switch on a fault in what is simulated in this process."""
        self.signal._init = number

    def switched(self, base: Callable[[], Any], *variants: tuple[int, Callable[[], Any]]) -> Any:
        """Return the right value, or that of the variant whose fault is on; of plain Python the right one."""
        from amaranth import Mux, Value

        right = base()
        if not isinstance(right, Value):
            return right
        for number, variant in variants:
            try:
                wrong = Value.cast(variant())
                both = Mux(self.signal == number, wrong, right)[: len(right)]
            except (TypeError, ValueError, IndexError, OverflowError, SyntaxError):
                continue
            self.reached.add(number)
            right = both.as_signed() if right.shape().signed else both
        return right

    def number(self, base: Callable[[], int], *variants: tuple[int, Callable[[], int]]) -> Any:
        """Return a number that hardware is given, or what a fault makes of it."""
        from amaranth import Const

        largest = max(base(), *(variant() for _, variant in variants))
        return self.switched(lambda: Const(base(), max(1, largest.bit_length())), *variants)

    def assigned(self, number: int, target: Any, value: Any, domain: str) -> Any:
        """Return what is assigned, or, with the fault on, what leaves the target as it was."""
        from amaranth import Mux, Signal, Value

        try:
            into, right = Value.cast(target), Value.cast(value)
        except TypeError:
            return value
        if domain not in ("sync", "comb"):
            return value
        before = into if domain == "sync" else into.init if isinstance(into, Signal) else 0
        self.reached.add(number)
        return Mux(self.signal == number, before, right)


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
    """Gives the blocks with their faults in the place of their modules."""

    def __init__(self, board: Switchboard, faults: Mapping[str, list[tuple[int, Mutant]]]) -> None:
        self.board = board
        self.faults = {f"chanzi.rtl.{block}": (block, found) for block, found in faults.items()}

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Return this loader for the changed modules alone."""
        del path, target
        return importlib.util.spec_from_loader(name, self) if name in self.faults else None

    def exec_module(self, module: Any) -> None:
        """Run the changed source."""
        block, found = self.faults[module.__name__]
        tree = ast.parse(_path(block).read_text())
        tree = ast.fix_missing_locations(_Switches(tree, found).visit(tree))
        vars(module).update(_switched_=self.board.switched, _assigned_=self.board.assigned, _number_=self.board.number)
        exec(compile(tree, f"<faults of {module.__name__}>", "exec"), vars(module))  # noqa: S102 - its purpose


def _wire(board: Switchboard) -> None:
    """Give every design that is built the input of the faults, and build each test's hardware once."""
    from amaranth.back import rtlil
    from amaranth.hdl import _ir
    from amaranth.lib import wiring

    from chanzi.flow import verilator, verilog

    convert, made, counts = rtlil.convert, {}, {}

    def with_fault(design: Any, name: str = "top", **options: Any) -> str:
        ports = {FAULT_PORT: (board.signal, _ir.PortDirection.Input)}
        for path, member, value in design.signature.flatten(design):
            way = _ir.PortDirection.Input if member.flow == wiring.In else _ir.PortDirection.Output
            ports["__".join(map(str, path))] = (value.as_value() if hasattr(value, "as_value") else value, way)
        return convert(design, name=name, ports=ports, **options)

    to_verilog = verilog.to_verilog

    def once(design: Any, **options: Any) -> str:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" (")[0]
        counts[test] = counts.get(test, -1) + 1
        key = (test, counts[test])
        if key not in made:
            made[key] = to_verilog(design, **options)
        design._MustUse__used = True
        return made[key]

    rtlil.convert, verilog.to_verilog = with_fault, once
    verilog._PASSES = verilog._PASSES.replace("wreduce;", "")  # it trips over registers that only a fault changes
    from chanzi.flow import module
    from chanzi.rtl import shared

    ports_of, instance, model_init = module.ports_of, shared.Instance, verilator.Model.__init__
    module.ports_of = lambda design, **options: {**ports_of(design, **options), FAULT_PORT: FAULT_BITS}
    shared.Instance = lambda name, **ports: instance(name, **ports, **{f"i_{FAULT_PORT}": board.signal})

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        model_init(self, *arguments, **options)
        if FAULT_PORT in self.bits:
            self.set(FAULT_PORT, board.signal._init)

    verilator.Model.__init__ = init
    from chanzi.flow import simulator  # takes what is changed above

    simulator.MAX_CYCLES = HANGS
    verilator.build.__kwdefaults__["optimize"] = "-O0"  # a block's tests run few cycles: compiling is what takes time
    board.forget = counts.clear


def _tests(board: Switchboard, number: int, tests: tuple[str, ...], seconds: int, log: Path) -> str:
    """Return "passed", "failed" or "timed out" of the tests with a fault on."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        board.turn(number)
        board.forget()
        os._exit(_pytest(tests))
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "timed out"
    return "passed" if status == 0 else "failed"


def _pytest(tests: Iterable[str]) -> int:
    import pytest

    options = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--durations=8"]
    status = pytest.main([*options, *tests])
    return 0 if status in (0, 5) else 1


def run(arguments: argparse.Namespace) -> None:
    """Draw the faults and test those that the journal has not yet, on their blocks' tests, then on whole chips."""
    journal: Path = arguments.journal
    os.environ["CHANZI_CACHE_DIR"] = str(journal.resolve().with_suffix(".cache"))
    os.environ["CI"] = "1"
    os.chdir(ROOT)
    board, log = Switchboard(), journal.resolve().with_suffix(".log")
    faults: dict[str, list[tuple[int, Mutant]]] = {block: [] for block in TESTS}
    for number, mutant in enumerate(draw(list(TESTS), round(arguments.count * SPARE), arguments.seed), 1):
        faults[mutant.block].append((number, mutant))
    sys.meta_path.insert(0, _Finder(board, faults))
    _wire(board)
    end, sound = time.monotonic() + arguments.minutes * 60, set()

    def test(number: int, mutant: Mutant, tests: tuple[str, ...], by: str) -> None:
        known = {(entry["mutant"], entry["by"]) for entry in _entries(journal)}
        if (mutant.name, by) in known or time.monotonic() > end:
            return
        started = time.monotonic()
        result = _tests(board, number, tests, arguments.timeout, log)
        entry = {"mutant": mutant.name, "by": by, "result": result, "seconds": round(time.monotonic() - started, 1)}
        note(entry)
        sys.stdout.write(f"{result:10} {by:6} {entry['seconds']:6} {mutant.name}\n")
        sys.stdout.flush()

    def note(entry: dict[str, Any]) -> None:
        with journal.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def build(tests: tuple[str, ...]) -> None:
        new = [name for name in tests if name not in sound]
        if new and _pytest(new):
            raise SystemExit("a test fails without any fault")
        sound.update(new)

    for i, block in enumerate(TESTS):
        if block not in arguments.blocks or {"done": block, "seed": arguments.seed, "count": arguments.count} in _read(
            journal
        ):
            continue
        build(TESTS[block])
        quota = arguments.each or arguments.count * (i + 1) // len(TESTS) - arguments.count * i // len(TESTS)
        for number, mutant in [(n, m) for n, m in faults[block] if n in board.reached][:quota]:
            test(number, mutant, TESTS[block], "block")
        if time.monotonic() < end:
            note({"done": block, "seed": arguments.seed, "count": arguments.count})
    survived = {entry["mutant"] for entry in _entries(journal) if entry["result"] == "passed"}
    left = [(n, m) for found in faults.values() for n, m in found if m.name in survived - set(EQUIVALENT)]
    if left and arguments.whole:
        build(WHOLE)
        for number, mutant in left:
            test(number, mutant, WHOLE, "whole")


def _read(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def _entries(journal: Path) -> list[dict[str, Any]]:
    return [entry for entry in _read(journal) if "mutant" in entry]


KINDS = ("caught by its block's tests", "by random programs", "hangs", "equivalent", "survived")


def table(arguments: argparse.Namespace) -> None:
    """Write the journal as a page in Markdown: a row for each block, and what survived."""
    kinds: dict[str, str] = {}
    for entry in _entries(arguments.journal):
        name, result = str(entry["mutant"]), str(entry["result"])
        if result == "passed":
            kinds.setdefault(name, "equivalent" if name in EQUIVALENT else "survived")
        else:
            kinds[name] = "hangs" if result == "timed out" else KINDS[entry["by"] == "whole"]
    out = [PAGE.format(faults=len(kinds)), f"| block | faults | {' | '.join(KINDS)} |", "|---" + "|--:" * 6 + "|"]
    for block in [*TESTS, ""]:
        mine = [kind for name, kind in kinds.items() if block in ("", name.split(":")[0])]
        if mine:
            cells = [f"`{block}`" if block else "all", len(mine), *(mine.count(kind) for kind in KINDS)]
            out.append("| " + " | ".join(map(str, cells)) + " |")
    every = list(kinds.values())
    counted = len(every) - every.count("equivalent")
    caught = counted - every.count("survived")
    missing = [f"`{block}`" for block in TESTS if not any(name.split(":")[0] == block for name in kinds)]
    out += ["", f"Not tried yet: {', '.join(missing)}."] if missing else []
    out += ["", f"Caught: {caught} of {counted}, {100 * caught / max(1, counted):.1f} %."]
    remarks = EQUIVALENT | OPEN
    for title, kind in (("Survivors", "survived"), ("Equivalent: no test can tell", "equivalent")):
        names = sorted(name for name, found in kinds.items() if found == kind)
        lines = [f"- `{name}`" + (f": {remarks[name]}" if name in remarks else "") for name in names]
        out += ["", f"## {title}", "", *(lines or ["None."])]
    sys.stdout.write("\n".join(out) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "table"))
    parser.add_argument("--journal", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--blocks", nargs="+", choices=list(TESTS), default=list(TESTS))
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--each", type=int, default=0, help="faults of each block, of those drawn, instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=150, help="processor seconds of a fault's tests")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no mutant after as many")
    parser.add_argument("--no-whole", dest="whole", action="store_false", help="leave out the tests of whole chips")
    arguments = parser.parse_args()
    (run if arguments.command == "run" else table)(arguments)


if __name__ == "__main__":
    main()
