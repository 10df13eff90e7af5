"""Whether a `CompiledModel` that came from a file makes sense: every size bounded, every name resolved.

What an instruction may do is `chanzi.isa.legality`'s business; here is what stands around the code.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from chanzi.errors import ProgramError
from chanzi.program.model import Binding, ChipStep, CompiledModel, HostStep, TensorInfo
from chanzi.program.program import MapLayout, Port, Segment, StemLayout

MAX_DRAM_BYTES = 1 << 36
MAX_ELEMENTS = 1 << 31
MAX_FRAMES = 64
_HINT = "the file was not written by Chanzi; compile the network again"


def _require(ok: bool, origin: str, what: str) -> None:
    if not ok:
        raise ProgramError(f"{origin}: {what}", hint=_HINT)


def shown(name: str) -> str:
    """Return `name` in quotes, short, on one printable line."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:80])
    return f"'{text}'" if len(name) <= 80 else f"'{text}...'"


def expand_runs(runs: tuple[tuple[int, int], ...], channels: int, origin: str) -> npt.NDArray[np.int64]:
    """Return the offset of each channel from (first offset, count) pairs. Raises `ProgramError`."""
    counts = [count for _, count in runs]
    ok = 0 < channels <= MAX_ELEMENTS and all(count > 0 for count in counts) and sum(counts) == channels
    _require(ok, origin, f"channel runs of {sum(counts)} channels for {channels}")
    _require(all(0 <= first <= MAX_DRAM_BYTES for first, _ in runs), origin, "a channel offset is out of range")
    _require(channels <= 1 << 24, origin, f"{channels} channels")
    return np.concatenate([np.arange(first, first + count, dtype=np.int64) for first, count in runs])


def check_model(model: CompiledModel, origin: str) -> None:
    """Raise `ProgramError` with the first thing in `model` that makes no sense."""
    _require(len(model.steps) > 0, origin, "there is nothing to run")
    for info in (*model.inputs, *model.outputs):
        _check_info(info, origin)
    known = {info.name for info in model.inputs}
    _require(len(known) == len(model.inputs), origin, "two inputs have the same name")
    for step in model.steps:
        if isinstance(step, HostStep):
            reads, writes = step.inputs, step.outputs
            _require(0 <= step.macs < 1 << 62, origin, f"step {shown(step.name)} has {step.macs} MACs")
        else:
            check_segment(step.segment, model, origin)
            _check_bindings(step, origin)
            reads = tuple(binding.tensor for binding in step.inputs)
            writes = tuple(binding.tensor for binding in step.outputs)
        for name in reads:
            _require(name in known, origin, f"step {shown(step.name)} reads {shown(name)}, which nothing wrote")
        known.update(writes)
    for row in model.placement:
        _require(0 <= row.macs < 1 << 62, origin, f"node {shown(row.node)} has {row.macs} MACs")
    for info in model.outputs:
        _require(info.name in known, origin, f"nothing writes the output {shown(info.name)}")


def _check_info(info: TensorInfo, origin: str) -> None:
    for shape in (info.shape, info.frame):
        ok = all(not isinstance(dim, int) or 0 <= dim <= MAX_ELEMENTS for dim in shape or ())
        _require(ok, origin, f"the shape of {shown(info.name)} is out of range")
    if info.frame is not None:
        ok = math.prod(info.frame) <= MAX_ELEMENTS and info.shape is not None and len(info.shape) == len(info.frame)
        _require(ok, origin, f"the shapes of {shown(info.name)} contradict each other")


def check_segment(segment: Segment, model: CompiledModel, origin: str) -> None:
    """Check memory sizes, ports, layers and buffers of `segment` against the chip. Raises `ProgramError`."""
    chip = model.chip
    where = f"{origin}: {shown(segment.name)}"
    _require(1 <= segment.frames <= MAX_FRAMES, where, f"{segment.frames} frames in a run")
    capacity = min(chip.dram.capacity_bytes, MAX_DRAM_BYTES)
    _require(
        len(segment.image) <= segment.dram_bytes <= capacity,
        where,
        f"{segment.dram_bytes} bytes of DRAM for an image of {len(segment.image)} on a chip with {capacity}",
    )
    names = [port.name for port in (*segment.inputs, *segment.outputs)]
    _require(bool(segment.inputs) and bool(segment.outputs), where, "no input or no output")
    _require(len(set(names)) == len(names), where, "two ports have the same name")
    for port in (*segment.inputs, *segment.outputs):
        _check_port(port, segment, where)
    for layer in segment.layers:
        ok = all(0 <= size <= MAX_ELEMENTS for size in layer.shape) and 0 <= layer.macs < 1 << 62
        _require(ok, where, f"layer {shown(layer.name)} is out of range")
    scratchpad = chip.core.scratchpad.bytes
    for buffer in segment.buffers:
        ok = (
            0 <= buffer.core < len(segment.cores)
            and 0 <= buffer.base <= scratchpad
            and 0 <= buffer.n_bytes <= scratchpad - buffer.base
            and 0 <= buffer.first <= buffer.last <= 1 << 32
        )
        _require(ok, where, f"buffer {shown(buffer.name)} lies outside the scratchpad or the code")


def _check_port(port: Port, segment: Segment, where: str) -> None:
    what = f"port {shown(port.name)}"
    _require(all(size > 0 for size in port.shape), where, f"{what} is empty")
    _require(math.prod(port.shape) <= MAX_ELEMENTS, where, f"{what} is too large")
    quant = port.quant
    ok = math.isfinite(quant.scale) and 0 < quant.scale < 3.5e38 and quant.qmin <= quant.zero <= quant.qmax
    _require(ok, where, f"{what} has scale {quant.scale}, zero point {quant.zero}")
    ok = len(port.addresses) == segment.frames and all(address >= 0 for address in port.addresses)
    _require(ok, where, f"{what} has {len(port.addresses)} addresses for {segment.frames} frames")
    # Packing writes through strides that NumPy does not check: this is what keeps them inside.
    _require(_reach(port, where) <= port.n_bytes, where, f"{what} has elements outside its lines")
    _require(max(port.addresses) + port.n_bytes <= segment.dram_bytes, where, f"{what} lies outside the DRAM in use")


def _reach(port: Port, where: str) -> int:
    """Return the bytes from a port's address to the end of its last element; refuse a layout that is out of range."""
    layout = port.layout
    height, width, channels = port.shape
    if isinstance(layout, MapLayout):
        steps = (layout.line_bytes, layout.pixel_bytes)
        _require(all(0 <= step <= MAX_DRAM_BYTES for step in steps), where, "a port's layout is out of range")
        last = int(layout.channel_offset.max())
        return (height - 1) * layout.line_bytes + (width - 1) * layout.pixel_bytes + last + 1
    assert isinstance(layout, StemLayout)
    positive = (layout.lines, layout.groups, layout.kernel_y, layout.stride_y, layout.stride_x)
    sizes = (*positive, layout.line_bytes, layout.pixel_bytes)
    ok = all(0 < size <= MAX_ELEMENTS for size in sizes)
    ok = ok and all(0 <= pad <= MAX_ELEMENTS for pad in (layout.pad_top, layout.pad_left))
    _require(ok, where, "a stem's layout is out of range")
    rows = max((layout.lines - 1) * layout.stride_y + layout.kernel_y, layout.pad_top + height)
    columns = max(layout.groups * layout.stride_x, layout.pad_left + width)
    _require(rows * columns * channels <= MAX_ELEMENTS, where, "a stem's map is too large")
    window = layout.kernel_y * layout.stride_x * channels
    ok = window <= layout.pixel_bytes and layout.groups * layout.pixel_bytes <= layout.line_bytes
    _require(ok, where, "a stem's windows do not fit their pixels")
    return layout.lines * layout.line_bytes


def _check_bindings(step: ChipStep, origin: str) -> None:
    where = f"{origin}: {shown(step.name)}"
    _check_side(step.inputs, step.segment.inputs, where)
    _check_side(step.outputs, step.segment.outputs, where)


def _check_side(bindings: tuple[Binding, ...], ports: Iterable[Port], where: str) -> None:
    by_name = {port.name: port for port in ports}
    _require(
        {binding.port for binding in bindings} == set(by_name),
        where,
        "its ports are not those that tensors are bound to",
    )
    for binding in bindings:
        what = f"the binding of {shown(binding.tensor)}"
        _require(sorted(binding.perm) == list(range(len(binding.shape))), where, f"{what} has no sound permutation")
        _require(all(0 < size <= MAX_ELEMENTS for size in binding.shape), where, f"{what} has a size out of range")
        ok = math.prod(binding.shape) == math.prod(by_name[binding.port].shape)
        _require(ok, where, f"{what} and its port differ in size")
