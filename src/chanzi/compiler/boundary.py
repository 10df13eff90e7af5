"""Graph inputs, outputs and constants: their DRAM layout, and the units that bring them in and out."""

from dataclasses import dataclass

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.compiler.image import Image
from chanzi.compiler.ir import Job, Layout, Ref, Storage, Unit, View
from chanzi.compiler.tile import IMAGE, dram_key
from chanzi.graph.ops import Const, Tensor
from chanzi.isa.cycles import busy_cycles
from chanzi.isa.fields import Engine
from chanzi.isa.instruction import Load, Store
from chanzi.program.program import MapLayout, Port, StemLayout

INPUT_STRIPES = 28


@dataclass(frozen=True, slots=True)
class Boundary:
    """A tensor's place in DRAM: `key` names the block of `n_bytes`, `layout` says how its elements lie there."""

    tensor: Tensor
    key: str
    n_bytes: int
    layout: MapLayout | StemLayout
    offset: int = 0

    def port(self, addresses: tuple[int, ...]) -> Port:
        """Return the port at these addresses of the block."""
        shifted = tuple(a + self.offset for a in addresses)
        t = self.tensor
        return Port(name=t.name, shape=t.shape, quant=t.quant, addresses=shifted, layout=self.layout)


def _map_layout(view: View, storage: Storage) -> tuple[MapLayout, int]:
    offset = view.y0 * storage.line_bytes + view.x0 * storage.pixel_bytes
    layout = MapLayout(
        line_bytes=storage.line_bytes, pixel_bytes=storage.pixel_bytes, channel_offset=view.channels.astype(np.int64)
    )
    return layout, offset


def input_boundary(tensor: Tensor, layout: Layout) -> Boundary:
    """Return where the host puts a graph input: the same bytes as its storage."""
    view = layout.views[tensor.name]
    storage = view.storage
    key = dram_key(storage.key)
    if tensor.name in layout.stem:
        stem = layout.stem[tensor.name]
        packed = StemLayout(
            lines=stem.lines,
            groups=stem.groups,
            line_bytes=storage.line_bytes,
            pixel_bytes=stem.pixel_bytes,
            kernel_y=stem.kernel[0],
            stride_y=stem.strides[0],
            stride_x=stem.strides[1],
            pad_top=stem.pads[0],
            pad_left=stem.pads[1],
        )
        return Boundary(tensor, key, storage.n_bytes, packed)
    plain, offset = _map_layout(view, storage)
    return Boundary(tensor, key, storage.n_bytes, plain, offset)


def constant_bytes(op: Const, view: View) -> np.ndarray:
    """Return the storage's bytes for a constant tensor."""
    storage = view.storage
    out = np.zeros((storage.height, storage.width, storage.pixel_bytes), np.uint8)
    h, w, _ = op.y.shape
    out[view.y0 : view.y0 + h, view.x0 : view.x0 + w, view.channels] = op.value.view(np.uint8)
    return out.reshape(-1)


def load_units(
    node: int, tensor: Tensor, storage: Storage, source: str, offset: int, chip: Chip, stripes: int = INPUT_STRIPES
) -> list[Unit]:
    """Return the units that bring a whole storage in, stripe by stripe."""
    step = -(-storage.height // stripes)
    units = []
    for y in range(0, storage.height, step):
        lines = min(step, storage.height - y)
        ins = Load(layer=node, run=lines * storage.line_bytes, count1=1, count2=1)
        at = y * storage.line_bytes
        refs = (Ref("base", storage.key, at), Ref("dram", source, offset + at))
        job = Job(engine=Engine.LOAD, layer=node, ins=ins, refs=refs, cycles=busy_cycles(chip, ins))
        units.append(Unit(node=node, leaf=tensor.name, done_lines=y + lines, needs=(), jobs=[job]))
    return units


def store_units(node: int, tensor: Tensor, layout: Layout, chip: Chip) -> tuple[list[Unit], Boundary]:
    """Return the units that take a tensor out of the scratchpad, packed, and where they put it."""
    view = layout.views[tensor.name]
    storage = view.storage
    atom = chip.core.atom_bytes
    low, high = view.covering(atom)
    height, width, _ = tensor.shape
    pixel = high - low
    line = width * pixel
    key = f"dram:>{tensor.name}"
    plain = MapLayout(line_bytes=line, pixel_bytes=pixel, channel_offset=(view.channels - low).astype(np.int64))
    whole_pixels = pixel == storage.pixel_bytes
    step = -(-height // INPUT_STRIPES)
    units = []
    for y in range(0, height, step):
        lines = min(step, height - y)
        start = (view.y0 + y) * storage.line_bytes + view.x0 * storage.pixel_bytes + low
        if whole_pixels and (width == storage.width or lines == 1):
            shape = {"run": lines * line, "count1": 1, "count2": 1}
        elif whole_pixels:
            shape = {"run": line, "count1": lines, "count2": 1, "dram_step1": line, "base_step1": storage.line_bytes}
        else:
            shape = {
                "run": pixel,
                "count1": width,
                "count2": lines,
                "dram_step1": pixel,
                "dram_step2": line,
                "base_step1": storage.pixel_bytes,
                "base_step2": storage.line_bytes,
            }
        ins = Store(layer=node, **shape)
        refs = (Ref("base", storage.key, start), Ref("dram", key, y * line))
        job = Job(engine=Engine.STORE, layer=node, ins=ins, refs=refs, cycles=busy_cycles(chip, ins))
        needs: dict[str, int] = {}
        for source in layout.sources[tensor.name]:
            needs[source.leaf] = max(needs.get(source.leaf, 0), source.lines(y + lines))
        leaf = f">{tensor.name}"
        units.append(Unit(node=node, leaf=leaf, done_lines=0, needs=tuple(needs.items()), jobs=[job]))
    return units, Boundary(tensor, key, height * line, plain)


def spilled_boundary(tensor: Tensor, layout: Layout) -> Boundary:
    """Return where an output lies whose storage is in DRAM anyway."""
    view = layout.views[tensor.name]
    plain, offset = _map_layout(view, view.storage)
    return Boundary(tensor, dram_key(view.storage.key), view.storage.n_bytes, plain, offset)


def constant_source(op: Const, layout: Layout, image: Image) -> int:
    """Put a constant tensor into the image and return its offset."""
    return image.add(constant_bytes(op, layout.views[op.y.name]))


__all__ = ["IMAGE", "Boundary", "constant_source", "input_boundary", "load_units", "spilled_boundary", "store_units"]
