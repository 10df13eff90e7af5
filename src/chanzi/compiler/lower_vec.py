"""Lower what the vector unit computes, to templates of VEC.

Each works byte by byte over the covering range of the channels, gaps included: what lies in a gap is never read as a
channel.
"""

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Core
from chanzi.compiler.ir import Constant, Fields, Layout, Node, Operand, Output, Part, View
from chanzi.errors import CompileError
from chanzi.graph.ops import Binary, Conv, Lookup, Pad, Pool, Quant, Resize, Softmax, Tensor
from chanzi.isa.fields import Engine, VecFlag, VecKind
from chanzi.numerics.requantize import conv_multiplier
from chanzi.numerics.softmax import exp_table, output_factor

Bytes = npt.NDArray[np.uint8]
IDENTITY = np.arange(256, dtype=np.uint8)


def _signed(quant: Quant) -> int:
    return int(quant.dtype == "int8")


def _as_bytes(values: npt.NDArray[np.generic]) -> Bytes:
    return np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)


def _parameter(address_field: str, data: Bytes) -> Constant:
    return Constant(address_field=address_field, data=data, bank="vec-parameters")


def _table(table: Bytes | None) -> tuple[int, tuple[Constant, ...]]:
    if table is None or np.array_equal(table, IDENTITY):
        return 0, ()
    return int(VecFlag.TABLE), (_parameter("table_base", table.view(np.uint8)),)


def _result(quant: Quant) -> Fields:
    return {"zero": quant.zero, "low": quant.qmin, "high": quant.qmax}


class _Window:
    """The operand's fields for a window sliding over `x`, restricted to output columns from `column` on."""

    def __init__(
        self,
        view: View,
        x: Tensor,
        atom: int,
        *,
        taps: tuple[int, int] = (1, 1),
        steps: tuple[int, int] = (1, 1),
        dilations: tuple[int, int] = (1, 1),
        pads: tuple[int, int] = (0, 0),
        row: int = 0,
        column: int = 0,
    ) -> None:
        storage = view.storage
        pixel = storage.pixel_bytes
        low, high = view.covering(atom)
        self.low, self.channels = low, high - low
        self.fields: Fields = {
            "signed": _signed(x.quant),
            "zero_in": x.quant.zero,
            "line_stride": storage.line_bytes,
            "width_bytes": (x.shape[1] - 1) * pixel + self.channels,
            "x_step": steps[1] * pixel,
            "tap_x_step": dilations[1] * pixel,
            "pad_x": (pads[1] - column * steps[1]) * pixel,
            "y_step": steps[0],
            "tap_y_step": dilations[0],
            "taps_y": taps[0],
            "taps_x": taps[1],
            "channels": self.channels,
        }
        self.operand = Operand(
            tensor=x.name,
            storage=storage,
            line0=view.y0,
            offset=view.x0 * pixel + low,
            height=x.shape[0],
            y_step=steps[0],
            reach=(taps[0] - 1) * dilations[0],
            pad_y=pads[0] - row * steps[0],
            address_field="base",
            pad_field="pad_y",
            height_field="height",
        )


def _output(view: View, tensor: str, atom: int, *, line: int = 0, pixel: int = 0, scale: int = 1) -> Output:
    storage = view.storage
    offset = (view.x0 + pixel) * storage.pixel_bytes + view.covering(atom)[0]
    return Output(tensor=tensor, storage=storage, line0=view.y0 + line, offset=offset, y_scale=scale)


def _part(
    window: _Window,
    view: View,
    node: Node,
    core: Core,
    fields: Fields,
    size: tuple[int, int],
    constants: tuple[Constant, ...] = (),
    others: tuple[Operand, ...] = (),
    *,
    at: tuple[int, int] = (0, 0),
    scale: tuple[int, int] = (1, 1),
) -> Part:
    storage = view.storage
    template = window.fields | fields
    template |= {
        "columns": size[1],
        "out_y": scale[0] * storage.line_bytes,
        "out_x": scale[1] * storage.pixel_bytes,
    }
    return Part(
        engine=Engine.VECTOR,
        template=template,
        height=size[0],
        width=size[1],
        operands=(window.operand, *others),
        output=_output(view, node.y.name, core.atom_bytes, line=at[0], pixel=at[1], scale=scale[0]),
        constants=constants,
    )


def lower_depthwise(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return a depthwise convolution: MAC, one weight a channel and tap."""
    op = node.op
    assert isinstance(op, Conv)
    view = layout.views[op.x.name]
    _, kh, kw, _ = op.weight.shape
    window = _Window(
        view,
        op.x,
        core.atom_bytes,
        taps=(kh, kw),
        steps=op.strides,
        dilations=op.dilations,
        pads=op.pads[:2],
    )
    at = view.channels - window.low
    weight = np.full((kh, kw, window.channels), op.weight_zero, op.weight.dtype)
    weight[:, :, at] = op.weight[..., 0].transpose(1, 2, 0)
    mid = op.mid or op.y.quant
    scale = np.zeros(window.channels, np.float32)
    scale[at] = conv_multiplier(op.x.quant.scale, op.weight_scale, mid.scale)
    flags = int(VecFlag.CHANNEL_SCALE)
    constants = [_parameter("weight_base", _as_bytes(weight)), _parameter("scale_base", _as_bytes(scale))]
    if op.bias is not None:
        bias = np.zeros(window.channels, "<i4")
        bias[at] = op.bias
        constants.append(_parameter("bias_base", _as_bytes(bias)))
        flags |= VecFlag.BIAS
    table_flag, table = _table(op.table)
    fields: Fields = {
        "kind": int(VecKind.MAC),
        "flags": flags | table_flag,
        "weight_signed": int(op.weight.dtype == np.int8),
        "weight_zero": op.weight_zero,
    } | _result(mid)
    size = node.y.shape[:2]
    return (_part(window, layout.views[node.y.name], node, core, fields, size, (*constants, *table)),)


def _spans(size: int, out: int, kernel: int, step: int, dilation: int, before: int) -> list[tuple[int, int, int]]:
    """Return [(first output, one past last, taps inside the map)]: runs of outputs with equally many taps inside."""
    counts = [sum(0 <= o * step - before + k * dilation < size for k in range(kernel)) for o in range(out)]
    spans: list[tuple[int, int, int]] = []
    for o, n in enumerate(counts):
        if spans and spans[-1][2] == n:
            spans[-1] = (spans[-1][0], o + 1, n)
        else:
            spans.append((o, o + 1, n))
    return spans


def lower_pool(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return max pooling, or average pooling with one part for each count of elements inside the map."""
    op = node.op
    assert isinstance(op, Pool)
    view, out = layout.views[op.x.name], layout.views[node.y.name]
    window_of = {
        "taps": op.kernel,
        "steps": op.strides,
        "dilations": op.dilations,
        "pads": op.pads[:2],
    }
    height, width, _ = op.y.shape
    if op.kind == "max":
        fields: Fields = {"kind": int(VecKind.MAX), "flags": 0} | _result(op.y.quant)
        window = _Window(view, op.x, core.atom_bytes, **window_of)
        return (_part(window, out, node, core, fields, (height, width)),)
    parts = []
    rows = _spans(op.x.shape[0], height, op.kernel[0], op.strides[0], op.dilations[0], op.pads[0])
    columns = _spans(op.x.shape[1], width, op.kernel[1], op.strides[1], op.dilations[1], op.pads[1])
    if op.count_include_pad:
        rows, columns = [(0, height, op.kernel[0])], [(0, width, op.kernel[1])]
    for y0, y1, ny in rows:
        for x0, x1, nx in columns:
            if ny * nx == 0:
                raise CompileError(f"{op.name}: a pooling window lies wholly outside the map", hint="reduce its pads")
            fields = {
                "kind": int(VecKind.SUM),
                "flags": 0,
                "scale": float(pool_multiplier(op.x.quant, op.y.quant, ny * nx)),
            } | _result(op.y.quant)
            window = _Window(view, op.x, core.atom_bytes, **window_of, row=y0, column=x0)
            parts.append(_part(window, out, node, core, fields, (y1 - y0, x1 - x0), at=(y0, x0)))
    return tuple(parts)


def pool_multiplier(x: Quant, y: Quant, count: int) -> np.float32:
    """Return the float32 factor of an average over `count` elements."""
    return np.float32(np.float32(x.scale) / np.float32(np.float32(y.scale) * np.float32(count)))


def lower_binary(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return an addition or multiplication of two maps, the second possibly broadcast."""
    op = node.op
    assert isinstance(op, Binary)
    view, second = layout.views[op.a.name], layout.views[op.b.name]
    window = _Window(view, op.a, core.atom_bytes)
    mid = op.mid or op.y.quant
    table_flag, table = _table(op.table)
    (bh, bw, bc), (height, width, channels) = op.b.shape, op.y.shape
    scalar = bc == 1 and channels > 1
    low = int(second.channels[0]) if scalar else second.covering(core.atom_bytes)[0]
    storage = second.storage
    operand = Operand(
        tensor=op.b.name,
        storage=storage,
        line0=second.y0,
        offset=second.x0 * storage.pixel_bytes + low,
        height=bh,
        y_step=1 if bh > 1 else 0,
        reach=0,
        pad_y=0,
        address_field="second_base",
    )
    fields: Fields = {
        "flags": table_flag | (int(VecFlag.SCALAR) if scalar else 0),
        "second_y": storage.line_bytes if bh > 1 else 0,
        "second_x": storage.pixel_bytes if bw > 1 else 0,
        "second_zero": op.b.quant.zero,
        "second_signed": _signed(op.b.quant),
    } | _result(mid)
    a, b = np.float32(op.a.quant.scale), np.float32(op.b.quant.scale)
    if op.kind == "add":
        fields |= {
            "kind": int(VecKind.ADD),
            "scale_a": float(a / np.float32(mid.scale)),
            "scale_b": float(b / np.float32(mid.scale)),
        }
    else:
        fields |= {"kind": int(VecKind.MUL), "scale": float(conv_multiplier(float(a), b, mid.scale))}
    out = layout.views[node.y.name]
    return (_part(window, out, node, core, fields, (height, width), table, (operand,)),)


def lower_lookup(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return a byte-to-byte function, or a plain copy."""
    op = node.op
    assert isinstance(op, Lookup)
    window = _Window(layout.views[op.x.name], op.x, core.atom_bytes)
    flag, table = _table(op.table)
    fields: Fields = {"kind": int(VecKind.COPY), "flags": flag} | _result(op.y.quant)
    return (_part(window, layout.views[node.y.name], node, core, fields, node.y.shape[:2], table),)


def lower_pad(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return constant padding: a sum of one tap that is zero outside the map, with the pad value as zero point."""
    op = node.op
    assert isinstance(op, Pad)
    window = _Window(layout.views[op.x.name], op.x, core.atom_bytes, pads=op.pads[:2])
    value = op.value - 256 if op.value > op.y.quant.qmax else op.value
    window.fields["zero_in"] = value
    fields: Fields = {
        "kind": int(VecKind.SUM),
        "flags": 0,
        "scale": 1.0,
        "zero": value,
        "low": op.y.quant.qmin,
        "high": op.y.quant.qmax,
    }
    return (_part(window, layout.views[node.y.name], node, core, fields, node.y.shape[:2]),)


def linear_phase(phase: int, factor: int, half_pixel: bool) -> tuple[int, int, int]:
    """Return (input offset, weight of that input, weight of the next) of output ``factor * q + phase``.

    Weights are integers over ``2 * factor`` (half-pixel) or `factor` (asymmetric).
    """
    if not half_pixel:
        return 0, factor - phase, phase
    position = 2 * phase + 1 - factor  # in units of 1 / (2 factor)
    offset = position // (2 * factor)
    right = position - offset * 2 * factor
    return offset, 2 * factor - right, right


def lower_resize(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return one part for each output phase: a copy (nearest) or a small convolution (linear)."""
    op = node.op
    assert isinstance(op, Resize)
    view, out = layout.views[op.x.name], layout.views[node.y.name]
    height, width, _ = op.x.shape
    fy, fx = op.factors
    parts = []
    for py in range(fy):
        for px in range(fx):
            if op.kind == "nearest":
                window = _Window(view, op.x, core.atom_bytes)
                flag, constants = _table(op.table)
                fields: Fields = {"kind": int(VecKind.COPY), "flags": flag} | _result(op.y.quant)
            else:
                window, fields, constants = _linear(op, view, core, py, px)
            parts.append(
                _part(window, out, node, core, fields, (height, width), constants, at=(py, px), scale=(fy, fx))
            )
    return tuple(parts)


def _linear(op: Resize, view: View, core: Core, py: int, px: int) -> tuple[_Window, Fields, tuple[Constant, ...]]:
    oy, *wy = linear_phase(py, op.factors[0], op.half_pixel)
    ox, *wx = linear_phase(px, op.factors[1], op.half_pixel)
    whole = sum(wy) * sum(wx)
    if whole > 255:
        raise CompileError(f"{op.name}: linear resize by {op.factors} is too large a factor", hint="use two steps")
    window = _Window(view, op.x, core.atom_bytes, taps=(2, 2), pads=(-oy, -ox))
    weight = np.broadcast_to(np.outer(wy, wx).astype(np.uint8)[:, :, None], (2, 2, window.channels))
    multiplier = np.float32(np.float32(op.x.quant.scale) / np.float32(np.float32(op.y.quant.scale) * np.float32(whole)))
    fields: Fields = {
        "kind": int(VecKind.MAC),
        "flags": int(VecFlag.CLAMP_EDGE),
        "scale": float(multiplier),
        "weight_signed": 0,
        "weight_zero": 0,
    } | _result(op.y.quant)
    return window, fields, (_parameter("weight_base", _as_bytes(weight)),)


def lower_softmax(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return softmax over each pixel's channels."""
    op = node.op
    assert isinstance(op, Softmax)
    window = _Window(layout.views[op.x.name], op.x, core.atom_bytes)
    window.fields["channels"] = op.x.shape[2]
    fields: Fields = {
        "kind": int(VecKind.SOFTMAX),
        "flags": 0,
        "scale": float(output_factor(op.y.quant)),
    } | _result(op.y.quant)
    constants = (_parameter("table_base", _as_bytes(exp_table(op.x.quant, op.x.shape[2]))),)
    return (_part(window, layout.views[node.y.name], node, core, fields, node.y.shape[:2], constants),)
