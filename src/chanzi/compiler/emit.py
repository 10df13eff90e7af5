"""Emission: from a plan to the segment: addresses filled in, waits derived, ports and layers described."""

import dataclasses

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.compiler import boundary
from chanzi.compiler.ir import Job, Layout
from chanzi.compiler.lower import kind_of
from chanzi.compiler.place import Placed
from chanzi.compiler.split import SplitJob
from chanzi.compiler.sync import synchronise
from chanzi.compiler.tile import BANKS, IMAGE, Tiled
from chanzi.errors import CompileError
from chanzi.graph.ops import Graph, macs
from chanzi.isa.fields import Engine, Opcode
from chanzi.isa.instruction import Halt, Instruction, Load
from chanzi.isa.legality import coordinate_rules
from chanzi.program.program import Buffer, Compiled, CoreCode, Layer, Options, Port, Segment

PAGE = 4096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """One way to run the network that fits; `split` is not empty where its cores share each frame."""

    tiled: Tiled
    jobs: list[Job]
    placed: Placed
    inputs: tuple[boundary.Boundary, ...]
    outputs: tuple[boundary.Boundary, ...]
    blocks: dict[str, int]
    resident: bool
    cycles: int = 0
    split: tuple[SplitJob, ...] = ()


def _dram_map(plan: Plan, frames: int) -> tuple[list[dict[str, int]], np.ndarray, dict[str, int], int]:
    """Return (addresses of each frame's blocks, the image, offsets of resident banks, bytes in all)."""
    image = plan.tiled.image
    banks = {
        bank: image.add(np.concatenate(plan.tiled.resident[bank])) for bank in BANKS if plan.tiled.resident_bytes[bank]
    }
    at = -(-max(image.n_bytes, 1) // PAGE) * PAGE
    addresses: list[dict[str, int]] = []
    for _ in range(frames):
        mine = {IMAGE: 0}
        for key, n_bytes in plan.blocks.items():
            if n_bytes < 0:  # a constant: lies in the image
                mine[key] = -1 - n_bytes
                continue
            mine[key] = at
            at += -(-n_bytes // PAGE) * PAGE
        addresses.append(mine)
    return addresses, image.array(), banks, at


def _instructions(jobs: list[Job], placed: Placed, dram: dict[str, int]) -> list[Instruction]:
    out = []
    for job in jobs:
        address = {
            ref.field: ref.offset + (dram[ref.buffer] if ref.buffer in dram else placed.address[ref.buffer])
            for ref in job.refs
        }
        out.append(dataclasses.replace(job.ins, **address))
    return out


def _split_code(plan: Plan, dram: dict[str, int], chip: Chip) -> list[list[Instruction]]:
    """Return each core's code, its loads waiting for the peers' stores."""
    codes: list[list[Instruction]] = []
    number: dict[int, int] = {}
    for core in range(chip.cores):
        stores = 0
        for item in plan.split:
            if item.core == core and item.job.engine == Engine.STORE:
                stores += 1
                number[id(item)] = stores
    for core in range(chip.cores):
        mine = [item for item in plan.split if item.core == core]
        code = synchronise(_instructions([item.job for item in mine], plan.placed, dram), chip.core)
        codes.append(
            [
                ins
                if item.after is None
                else dataclasses.replace(ins, peer_core=item.after.core, wait_peer=number[id(item.after)])
                for item, ins in zip(mine, code, strict=True)
            ]
        )
    return codes


def _setup(plan: Plan, banks: dict[str, int]) -> list[Instruction]:
    if not plan.resident:
        return []
    return [
        Load(
            base=plan.placed.address[bank],
            dram=offset,
            run=plan.tiled.resident_bytes[bank],
            count1=1,
            count2=1,
        )
        for bank, offset in banks.items()
        if bank in plan.placed.address
    ]


def emit(graph: Graph, layout: Layout, plan: Plan, chip: Chip, options: Options) -> Compiled:
    """Return the segment of a plan: code of every core, the image, ports, layers and buffers."""
    frames = chip.cores if options.mode == "throughput" else 1
    addresses, image, banks, dram_bytes = _dram_map(plan, frames)
    if dram_bytes > chip.dram.capacity_bytes:
        raise CompileError(
            f"'{graph.name}' needs {dram_bytes} bytes of DRAM, {chip.name} has {chip.dram.capacity_bytes}",
            hint="raise dram.capacity_bytes",
        )
    setup = tuple(synchronise(_setup(plan, banks), chip.core))
    if plan.split:
        frames_of_cores = _split_code(plan, addresses[0], chip)
    else:
        frames_of_cores = [synchronise(_instructions(plan.jobs, plan.placed, mine), chip.core) for mine in addresses]
    cores = [CoreCode(setup=(*setup, Halt()), frame=(*code, Halt())) for code in frames_of_cores]
    layers = _layers(layout, graph)
    _check_coordinates(cores, layers, chip)
    longest, held = max(max(len(core.setup), len(core.frame)) for core in cores), chip.core.code_instructions
    if longest > held:
        raise CompileError(
            f"'{graph.name}' takes {longest} instructions, the instruction memory of {chip.name}'s cores holds {held}",
            hint="raise core.code_instructions, or use a larger scratchpad: little memory makes many small steps",
        )
    while len(cores) < chip.cores:
        cores.append(CoreCode(setup=(Halt(),), frame=(Halt(),)))

    def port(b: boundary.Boundary) -> Port:
        return b.port(tuple(mine[b.key] for mine in addresses))

    segment = Segment(
        name=graph.name,
        cores=tuple(cores),
        image=image,
        dram_bytes=dram_bytes,
        inputs=tuple(port(b) for b in plan.inputs),
        outputs=tuple(port(b) for b in plan.outputs),
        layers=layers,
        buffers=_buffers(plan, chip.cores if plan.split else frames),
        frames=frames,
    )
    return Compiled(chip=chip, segment=segment, options=options)


def _check_coordinates(cores: list[CoreCode], layers: tuple[Layer, ...], chip: Chip) -> None:
    """Refuse windows that step or reach further than the engines count: only absurd strides and pads do."""
    for core in cores:
        for ins in core.frame:
            if ins.opcode in (Opcode.DOT, Opcode.VEC):
                broken = [what for ok, what in coordinate_rules(chip.core, ins) if not ok]
                if broken:
                    raise CompileError(
                        f"layer '{layers[ins.layer].name}' is out of reach of {chip.name}'s engines: {broken[0]}",
                        hint="use a chip with a larger scratchpad, or smaller strides, dilations and pads",
                    )


def layer_of(layout: Layout) -> list[int]:
    """Return the layer of each node: the bands of one operator are one layer."""
    index: dict[str, int] = {}
    return [index.setdefault(node.part_of or node.name, len(index)) for node in layout.nodes]


def _layers(layout: Layout, graph: Graph) -> tuple[Layer, ...]:
    made = {op.name: op for op in graph.ops}
    seen: dict[str, Layer] = {}
    for node in layout.nodes:
        name = node.part_of or node.name
        whole = next((made[n] for n in reversed(node.ops) if n in made), node.op)
        work = sum(macs(made[n]) for n in node.ops if n in made) if node.part_of else macs(node.op)
        layer = Layer(name=name, kind=kind_of(node), shape=whole.y.shape, macs=work, ops=node.ops)
        seen.setdefault(name, layer)
    layers = [*seen.values(), Layer(name="(input)", kind="load", shape=(0, 0, 0), macs=0)]
    return (*layers, Layer(name="(output)", kind="store", shape=(0, 0, 0), macs=0))


def _buffers(plan: Plan, frames: int) -> tuple[Buffer, ...]:
    return tuple(
        Buffer(
            name=name,
            core=core,
            kind=plan.tiled.kinds[name],  # type: ignore[arg-type]
            base=plan.placed.address[name],
            n_bytes=plan.tiled.sizes[name],
            first=first,
            last=last,
        )
        for core in range(frames)
        for name, (first, last) in plan.placed.lifetime.items()
    )
