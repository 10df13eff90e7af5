"""Readable text of every stage, for `--dump-passes DIR`."""

from collections.abc import Callable
from pathlib import Path

from chanzi.compiler.ir import Item, Job, Layout, Node, Part
from chanzi.compiler.place import Placed
from chanzi.graph.text import graph_text
from chanzi.isa.fields import WAITS, Opcode
from chanzi.program.program import Compiled

__all__ = ["graph_text", "items_text", "jobs_text", "layout_text", "parts_text", "program_text", "writer"]
Writer = Callable[[str, Callable[[], str]], None]


def writer(folder: Path | None) -> Writer:
    """Return a function that writes one stage's text to ``folder/NAME.txt``, or does nothing without a folder."""
    if folder is None:
        return lambda _name, _text: None
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, text: Callable[[], str]) -> None:
        part = folder / f".{name}.txt.part"
        part.write_text(text() + "\n", "utf-8")
        part.replace(folder / f"{name}.txt")

    return write


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def items_text(items: tuple[Item, ...]) -> str:
    """Return one line for each node, with what was fused into it."""
    lines = []
    for item in items:
        reads = ", ".join(x.name for x in item.inputs)
        if isinstance(item, Node):
            fused = " + ".join(item.ops)
            lines.append(f"{type(item.op).__name__:8} {item.y.name} {_shape(item.y.shape)} <- {reads}   # {fused}")
        else:
            lines.append(f"({type(item).__name__}) {item.y.name} <- {reads}")
    return "\n".join(lines)


def layout_text(layout: Layout) -> str:
    """Return where every tensor lies."""
    lines = []
    for name, view in layout.views.items():
        s = view.storage
        channels = view.channels
        contiguous = bool((channels == channels[0] + range(len(channels))).all())
        where = f"{channels[0]}..{channels[-1]}" if contiguous else f"map {channels.tolist()}"
        lines.append(
            f"{name}: {s.key} [{s.height} lines][{s.width} pixels][{s.pixel_bytes} bytes] "
            f"at line {view.y0}, pixel {view.x0}, bytes {where}"
        )
    return "\n".join(lines)


def parts_text(layout: Layout, parts: list[tuple[Part, ...]]) -> str:
    """Return every template."""
    lines = []
    for node, mine in zip(layout.nodes, parts, strict=True):
        lines.append(f"{node.name} {_shape(node.y.shape)}")
        for part in mine:
            fields = " ".join(f"{k}={v:g}" for k, v in sorted(part.template.items()))
            lines.append(f"  {part.engine.name} {part.height}x{part.width}: {fields}")
    return "\n".join(lines)


def jobs_text(jobs: list[Job], placed: Placed) -> str:
    """Return the program order with the buffers each job names."""
    lines = []
    for i, job in enumerate(jobs):
        refs = ", ".join(
            f"{r.field}={r.buffer}+{r.offset}"
            + (f" ({placed.address[r.buffer] + r.offset:#x})" if r.buffer in placed.address else "")
            for r in job.refs
        )
        lines.append(f"{i:5} {job.engine.name:6} layer {job.layer} {job.cycles} cycles: {refs}")
    return "\n".join(lines)


def program_text(compiled: Compiled) -> str:
    """Return every core's instructions in short."""
    lines = []
    for c, core in enumerate(compiled.segment.cores):
        for part, code in (("setup", core.setup), ("frame", core.frame)):
            lines.append(f"core {c} {part}: {len(code)} instructions")
            for i, ins in enumerate(code):
                waits = " ".join(f"{w}>={getattr(ins, w)}" for w in WAITS if getattr(ins, w))
                lines.append(f"  {i:5} {Opcode(ins.opcode).name:5} layer {ins.layer} {waits}")
    return "\n".join(lines)
