"""Lower what the array computes: convolutions of every kind and matrix products, to templates of DOT.

A window's bytes of one line are contiguous in memory, so a tap is a run of kernel_width x pixel bytes wherever the
convolution reads whole pixels without dilation; else every horizontal tap is a run of its own. Weights are laid out in
the order in which the stream yields the window, with the weight zero point where the window holds a byte that belongs
to no input channel.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Core
from chanzi.compiler.ir import Constant, Fields, Layout, Node, Operand, Output, Part, Stem, Storage, View
from chanzi.graph.ops import ByteArray, Conv, MatMul, Quant
from chanzi.isa.fields import DotFlag, Engine
from chanzi.numerics.requantize import conv_multiplier

Bytes = npt.NDArray[np.uint8]


def _signed(quant: Quant) -> int:
    return int(quant.dtype == "int8")


def _as_bytes(values: npt.NDArray[np.generic]) -> Bytes:
    return np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)


def _second_stage(node: Node) -> tuple[Fields, int]:
    """Return the fields of the residual stage and its flag."""
    join, residual = node.join, node.residual
    if join is None or residual is None:
        return {}, 0
    mine, theirs, out = node.op.y.quant, residual.quant, join.y.quant
    fields: Fields = {
        "mid_zero": mine.zero,
        "mid_signed": _signed(mine),
        "res_zero": theirs.zero,
        "res_signed": _signed(theirs),
        "out_zero": out.zero,
        "out_low": out.qmin,
        "out_high": out.qmax,
    }
    if join.kind == "add":
        fields["mid_scale"] = float(np.float32(mine.scale) / np.float32(out.scale))
        fields["res_scale"] = float(np.float32(theirs.scale) / np.float32(out.scale))
        fields["res_first"] = int(join.a.name == residual.name)  # the sum's order decides how it is rounded
        return fields, int(DotFlag.ADD)
    fields["mid_scale"] = float(conv_multiplier(mine.scale, np.float32(theirs.scale), out.scale))
    return fields, int(DotFlag.MUL)


def _epilogue(node: Node, op: Conv) -> tuple[Fields, int]:
    mid = op.mid or op.y.quant
    fields: Fields = {"zero": mid.zero, "low": mid.qmin, "high": mid.qmax}
    flags = int(DotFlag.COLUMN_SCALE)
    if op.bias is not None:
        flags |= DotFlag.BIAS
    if op.table is not None:
        flags |= DotFlag.TABLE
    second, flag = _second_stage(node)
    return fields | second, flags | flag


def _constants(op: Conv, rows: slice, weight: Bytes, per_row: int, packed: int = 1) -> tuple[Constant, ...]:
    scale = np.tile(conv_multiplier(op.x.quant.scale, op.weight_scale[rows], (op.mid or op.y.quant).scale), packed)
    parts = [
        Constant(address_field="b_base", data=weight, bank="weights", per_column=per_row),
        Constant(address_field="scale_base", data=_as_bytes(scale), bank="dot-parameters", per_column=4),
    ]
    if op.bias is not None:
        bias = _as_bytes(np.tile(op.bias[rows].astype("<i4"), packed))
        parts.append(Constant(address_field="bias_base", data=bias, bank="dot-parameters", per_column=4))
    if op.table is not None:
        parts.append(Constant(address_field="table_base", data=op.table.view(np.uint8), bank="dot-parameters"))
    return tuple(parts)


def _b_rows(count: int, k: int) -> Fields:
    """Return the B stream of `count` rows of k contiguous bytes."""
    return {
        "b_first": 0,
        "b_count": count,
        "b_row_width": count,
        "b_line_stride": count * k,
        "b_height": 1,
        "b_width_bytes": count * k,
        "b_x_step": k,
        "b_tap_x_step": k,
        "b_run": k,
        "b_pad_x": 0,
        "b_y_step": 1,
        "b_tap_y_step": 1,
        "b_taps_y": 1,
        "b_taps_x": 1,
        "b_pad_y": 0,
    }


def _hollow(weight: ByteArray, zero: int) -> bool:
    """Return whether weights are all `zero`, held as one number: what is made of them needs no memory either.

    So a network is laid out without its weights, whose values decide nothing (`chanzi.explore.sketch`).
    """
    return not any(weight.strides) and weight.size > 0 and int(weight.flat[0]) == zero


def _zeros(shape: tuple[int, ...], like: ByteArray) -> ByteArray:
    return np.broadcast_to(like.flat[0], shape)


def _spread(weight: ByteArray, offsets: npt.NDArray[np.int64], width: int, zero: int) -> Bytes:
    """Return weights [o][ky][kx][i] as rows [o][ky][kx][width] with input channel i at offsets[i]."""
    o, kh, kw, _ = weight.shape
    if _hollow(weight, zero):
        return np.broadcast_to(weight.flat[0].view(np.uint8), (o, kh * kw * width))
    rows = np.full((o, kh, kw, width), zero, weight.dtype)
    rows[..., offsets] = weight
    return rows.reshape(o, -1).view(np.uint8)


def _residual_operand(
    node: Node, layout: Layout, first_channel: int, packed: int = 1
) -> tuple[tuple[Operand, ...], Fields]:
    if node.residual is None:
        return (), {}
    view = layout.views[node.residual.name]
    storage = view.storage
    operand = Operand(
        tensor=node.residual.name,
        storage=storage,
        line0=view.y0,
        offset=view.x0 * storage.pixel_bytes + int(view.channels[0]) + first_channel,
        height=node.residual.shape[0],
        y_step=1,
        reach=0,
        pad_y=0,
        address_field="res_base",
    )
    return (operand,), {"res_y": storage.line_bytes, "res_x": packed * storage.pixel_bytes}


def _adjacent(node: Node, layout: Layout) -> bool:
    """Tell whether neighbouring output pixels (and residuals) lie next to one another, without a gap."""
    tensors = [node.y, *([node.residual] if node.residual is not None else [])]
    return all(
        layout.views[t.name].storage.pixel_bytes == t.shape[2] and int(layout.views[t.name].channels[0]) == 0
        for t in tensors
    )


def _pixels_packed(op: Conv, shape: tuple[int, int, int], core: Core, window: Callable[[int], tuple[int, int]]) -> int:
    """Return how many neighbouring pixels one row of the array computes.

    A narrow layer leaves columns idle and drains rows of few bytes. A row that computes g pixels reads the window of
    all of them and has g times the filters, each shifted by a pixel and zero elsewhere: K grows by the g - 1 columns
    that are new, drains and empty columns shrink g times. `window` gives (runs, bytes of a run) for a kernel width.
    """
    out, _, kw, _ = op.weight.shape
    height, width, _ = shape
    D, W = core.dim, core.port_bytes

    def cost(g: int) -> int:
        runs, run = window(kw + (g - 1) * op.strides[1])
        k, words = runs * run, runs * -(-run // W)
        n = g * out
        columns = min(n, D)
        tile = max(k, words * D, -(-k // W) * columns, D)
        return -(-height * width // (g * D)) * -(-n // D) * tile

    return min((g for g in range(1, 9) if width % g == 0), key=lambda g: (cost(g), g))


def _shifted(weight: ByteArray, packed: int, stride_x: int, zero: int) -> ByteArray:
    """Return the filters of `packed` neighbouring pixels over their common window."""
    if packed == 1:
        return weight
    out, kh, kw, inside = weight.shape
    shape = (packed * out, kh, kw + (packed - 1) * stride_x, inside)
    if _hollow(weight, zero):
        return _zeros(shape, weight)
    wide = np.full(shape, zero, weight.dtype)
    for j in range(packed):
        wide[j * out : (j + 1) * out, :, j * stride_x : j * stride_x + kw] = weight
    return wide


def _output(view: View, tensor: str, first_channel: int, *, line: int = 0, pixel: int = 0, scale: int = 1) -> Output:
    storage = view.storage
    offset = (view.x0 + pixel) * storage.pixel_bytes + int(view.channels[0]) + first_channel
    return Output(tensor=tensor, storage=storage, line0=view.y0 + line, offset=offset, y_scale=scale)


def _window(
    view: View, shape: tuple[int, int, int], channels: npt.NDArray[np.int64], atom: int, taps_x: int, dilation_x: int
) -> tuple[Fields, int, npt.NDArray[np.int64], int]:
    """Return (fields of the A stream's line, byte offset of the window, channel offsets in it, its width in bytes)."""
    storage = view.storage
    pixel = storage.pixel_bytes
    low = int(channels.min()) // atom * atom
    high = min(-(-(int(channels.max()) + 1) // atom) * atom, pixel)
    whole = low == 0 and high == pixel and dilation_x == 1
    run = high - low
    fields: Fields = {
        "a_line_stride": storage.line_bytes,
        "a_width_bytes": (shape[1] - 1) * pixel + run,
        "a_tap_x_step": dilation_x * pixel,
        "a_run": run * taps_x if whole else run,
        "a_taps_x": 1 if whole else taps_x,
    }
    return fields, view.x0 * pixel + low, channels - low, run


def _group_blocks(op: Conv, core: Core) -> int:
    """Return how many groups to compute in one product: more fill the columns, but lengthen K with zeros."""
    g = op.groups
    if g == 1:
        return 1
    out, kh, kw, inside = op.weight.shape
    atom = core.atom_bytes

    def cost(m: int) -> int:
        k = -(-m * inside // atom) * atom
        words = kh * (-(-kw * k // core.port_bytes) if m == g else kw * -(-k // core.port_bytes))
        n = m * out // g
        tile = max(kh * kw * k, words * core.dim, core.dim)
        return (g // m) * -(-n // core.dim) * tile

    merges = [m for m in range(1, g + 1) if g % m == 0 and (m == g or m * inside % atom == m * (out // g) % atom == 0)]
    return min(merges, key=cost)


def lower_conv(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return the parts of a dense, grouped or transposed convolution."""
    op = node.op
    assert isinstance(op, Conv)
    if op.x.name in layout.stem:
        return (_stem_part(node, op, layout, layout.stem[op.x.name], core),)
    if op.transposed:
        return _transposed_parts(node, op, layout, core)
    merged = _group_blocks(op, core)
    blocks = op.groups // merged
    out, _, _, inside = op.weight.shape
    parts: list[Part] = []
    for block in range(blocks):
        rows = slice(block * out // blocks, (block + 1) * out // blocks)
        weight = op.weight[rows]
        if merged > 1:
            weight = _block_diagonal(weight, merged, op.weight_zero)
        ins = slice(block * merged * inside, (block + 1) * merged * inside)
        channels = layout.views[op.x.name].channels[ins]
        parts.append(_conv_part(node, op, layout, core, weight, channels, rows))
    return tuple(parts)


def _block_diagonal(weight: ByteArray, groups: int, zero: int) -> ByteArray:
    out, kh, kw, inside = weight.shape
    if _hollow(weight, zero):
        return _zeros((out, kh, kw, groups * inside), weight)
    dense = np.full((out, kh, kw, groups * inside), zero, weight.dtype)
    per = out // groups
    for g in range(groups):
        dense[g * per : (g + 1) * per, :, :, g * inside : (g + 1) * inside] = weight[g * per : (g + 1) * per]
    return dense


def _common(op: Conv, count: int, k: int) -> Fields:
    return _b_rows(count, k) | {
        "a_zero": op.x.quant.zero,
        "a_signed": _signed(op.x.quant),
        "b_zero": op.weight_zero,
        "b_signed": int(op.weight.dtype == np.int8),
    }


def _conv_part(
    node: Node,
    op: Conv,
    layout: Layout,
    core: Core,
    weight: ByteArray,
    channels: npt.NDArray[np.int64],
    rows: slice,
) -> Part:
    view, out_view = layout.views[op.x.name], layout.views[node.y.name]
    kh, kw = weight.shape[1:3]
    top, left, _, _ = op.pads
    first_column = node.columns[0] if node.columns else 0
    packed = 1
    if op.groups == 1 and op.dilations == (1, 1) and _adjacent(node, layout):
        in_pixel = view.storage.pixel_bytes
        packed = _pixels_packed(op, node.y.shape, core, lambda kw: (kh, kw * in_pixel))
    weight = _shifted(weight, packed, op.strides[1], op.weight_zero)
    kw = weight.shape[2]
    window, offset, offsets, width = _window(view, op.x.shape, channels, core.atom_bytes, kw, op.dilations[1])
    data = _spread(weight, offsets, width, op.weight_zero)
    k = data.shape[1]
    pixel = view.storage.pixel_bytes
    epilogue, flags = _epilogue(node, op)
    height, out_width, _ = node.y.shape
    residual, residual_fields = _residual_operand(node, layout, rows.start, packed)
    template = _common(op, len(weight), k) | window | epilogue | residual_fields
    template |= {
        "flags": flags,
        "a_row_width": out_width // packed,
        "a_x_step": packed * op.strides[1] * pixel,
        "a_pad_x": (left - first_column * op.strides[1]) * pixel,
        "a_y_step": op.strides[0],
        "a_tap_y_step": op.dilations[0],
        "a_taps_y": kh,
        "out_y": out_view.storage.line_bytes,
        "out_x": packed * out_view.storage.pixel_bytes,
    }
    operand = Operand(
        tensor=op.x.name,
        storage=view.storage,
        line0=view.y0,
        offset=offset,
        height=op.x.shape[0],
        y_step=op.strides[0],
        reach=(kh - 1) * op.dilations[0],
        pad_y=top,
        address_field="a_base",
        pad_field="a_pad_y",
        height_field="a_height",
    )
    return Part(
        engine=Engine.ARRAY,
        template=template,
        height=height,
        width=out_width // packed,
        operands=(operand, *residual),
        output=_output(out_view, node.y.name, rows.start),
        constants=_constants(op, rows, data.reshape(-1), k, packed),
    )


def _stem_part(node: Node, op: Conv, layout: Layout, stem: Stem, core: Core) -> Part:
    """Return the convolution over a packed input: its window is one run (see `Stem`)."""
    storage: Storage = layout.views[op.x.name].storage
    out_view = layout.views[node.y.name]
    sx = stem.strides[1]
    packed = 1
    if _adjacent(node, layout):
        packed = _pixels_packed(op, node.y.shape, core, lambda kw: (1, -(-kw // sx) * stem.pixel_bytes))
    weight = _shifted(op.weight, packed, sx, op.weight_zero)
    out, kh, kw, c = weight.shape
    groups = -(-kw // sx)
    padded = np.full((out, kh, groups * sx, c), op.weight_zero, op.weight.dtype)
    padded[:, :, :kw] = weight
    # [o][ky][g][j][c] -> [o][g][ky][j][c]
    order = padded.reshape(out, kh, groups, sx, c).transpose(0, 2, 1, 3, 4).reshape(out, groups, kh * sx * c)
    data = np.full((out, groups, stem.pixel_bytes), op.weight_zero, op.weight.dtype)
    data[:, :, : kh * sx * c] = order
    k = groups * stem.pixel_bytes
    epilogue, flags = _epilogue(node, op)
    height, width, _ = node.y.shape
    residual, residual_fields = _residual_operand(node, layout, 0, packed)
    template = _common(op, out, k) | epilogue | residual_fields
    template |= {
        "flags": flags,
        "a_row_width": width // packed,
        "a_line_stride": storage.line_bytes,
        "a_width_bytes": storage.line_bytes,
        "a_x_step": packed * stem.pixel_bytes,
        "a_tap_x_step": k,
        "a_run": k,
        "a_pad_x": -(node.columns[0] if node.columns else 0) * stem.pixel_bytes,
        "a_y_step": 1,
        "a_tap_y_step": 1,
        "a_taps_y": 1,
        "a_taps_x": 1,
        "out_y": out_view.storage.line_bytes,
        "out_x": packed * out_view.storage.pixel_bytes,
    }
    operand = Operand(
        tensor=op.x.name,
        storage=storage,
        line0=0,
        offset=0,
        height=storage.height,
        y_step=1,
        reach=0,
        pad_y=0,
        address_field="a_base",
        pad_field="a_pad_y",
        height_field="a_height",
    )
    return Part(
        engine=Engine.ARRAY,
        template=template,
        height=height,
        width=width // packed,
        operands=(operand, *residual),
        output=_output(out_view, node.y.name, 0),
        constants=_constants(op, slice(0, len(op.weight)), data.view(np.uint8).reshape(-1), k, packed),
    )


def _phase_taps(phase: int, stride: int, dilation: int, pad: int, kernel: int) -> list[tuple[int, int]]:
    """Return [(input offset, kernel index)] of one phase of a transposed convolution, by rising input offset.

    Output o = stride * q + phase takes input q + offset times kernel k where o + pad - k * dilation = stride * input.
    """
    taps = [
        ((phase + pad - k * dilation) // stride, k) for k in range(kernel) if (phase + pad - k * dilation) % stride == 0
    ]
    return sorted(taps)


def _regular(taps: list[tuple[int, int]]) -> tuple[int, int]:
    """Return (first offset, step) of equally spaced taps."""
    step = taps[1][0] - taps[0][0] if len(taps) > 1 else 1
    return taps[0][0], step


def _transposed_parts(node: Node, op: Conv, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return one dense convolution for each output phase; its taps are the kernel's that meet that phase."""
    view, out_view = layout.views[op.x.name], layout.views[node.y.name]
    out, kh, kw, _ = op.weight.shape
    weight = op.weight if op.groups == 1 else _block_diagonal(op.weight, op.groups, op.weight_zero)
    (sy, sx), (dy, dx) = op.strides, op.dilations
    height, width, _ = node.y.shape
    pixel = view.storage.pixel_bytes
    epilogue, flags = _epilogue(node, op)
    parts: list[Part] = []
    for py in range(min(sy, height)):
        for px in range(min(sx, width)):
            ys = _phase_taps(py, sy, dy, op.pads[0], kh)
            xs = _phase_taps(px, sx, dx, op.pads[1], kw)
            if ys and xs:
                kernel = weight[:, [k for _, k in ys]][:, :, [k for _, k in xs]]
            else:  # only the bias reaches this phase
                ys, xs = [(0, 0)], [(0, 0)]
                kernel = np.full((out, 1, 1, weight.shape[3]), op.weight_zero, weight.dtype)
            (y_first, y_step), (x_first, x_step) = _regular(ys), _regular(xs)
            window, offset, offsets, run = _window(view, op.x.shape, view.channels, core.atom_bytes, len(xs), x_step)
            data = _spread(kernel, offsets, run, op.weight_zero)
            lines, columns = -(-(height - py) // sy), -(-(width - px) // sx)
            template = _common(op, out, data.shape[1]) | window | epilogue
            template |= {
                "flags": flags,
                "a_row_width": columns,
                "a_x_step": pixel,
                "a_pad_x": -x_first * pixel,
                "a_y_step": 1,
                "a_tap_y_step": y_step,
                "a_taps_y": len(ys),
                "out_y": sy * out_view.storage.line_bytes,
                "out_x": sx * out_view.storage.pixel_bytes,
            }
            operand = Operand(
                tensor=op.x.name,
                storage=view.storage,
                line0=view.y0,
                offset=offset,
                height=op.x.shape[0],
                y_step=1,
                reach=(len(ys) - 1) * y_step,
                pad_y=-y_first,
                address_field="a_base",
                pad_field="a_pad_y",
                height_field="a_height",
            )
            parts.append(
                Part(
                    engine=Engine.ARRAY,
                    template=template,
                    height=lines,
                    width=columns,
                    operands=(operand,),
                    output=_output(out_view, node.y.name, 0, line=py, pixel=px, scale=sy),
                    constants=_constants(op, slice(0, out), data.reshape(-1), data.shape[1]),
                )
            )
    return tuple(parts)


def _rows_of(view: View, prefix: str, line: int, count: int, run: int, channel: int = 0) -> tuple[Fields, Operand, str]:
    """Return the stream that reads `count` pixels of one line as rows of `run` bytes."""
    storage = view.storage
    fields: Fields = {
        f"{prefix}_row_width": count,
        f"{prefix}_line_stride": storage.line_bytes,
        f"{prefix}_width_bytes": (count - 1) * storage.pixel_bytes + run,
        f"{prefix}_x_step": storage.pixel_bytes,
        f"{prefix}_tap_x_step": storage.pixel_bytes,
        f"{prefix}_run": run,
        f"{prefix}_pad_x": 0,
        f"{prefix}_y_step": 1,
        f"{prefix}_tap_y_step": 1,
        f"{prefix}_taps_y": 1,
        f"{prefix}_taps_x": 1,
    }
    operand = Operand(
        tensor="",
        storage=storage,
        line0=view.y0 + line,
        offset=view.x0 * storage.pixel_bytes + int(view.channels[0]) + channel,
        height=1,
        y_step=1,
        reach=0,
        pad_y=0,
        address_field=f"{prefix}_base",
        pad_field=f"{prefix}_pad_y",
        height_field=f"{prefix}_height",
    )
    return fields, operand, prefix


def lower_matmul(node: Node, layout: Layout) -> tuple[Part, ...]:
    """Return a product of two activations, one part a batch; a B that runs along n is first turned by the array."""
    op = node.op
    assert isinstance(op, MatMul)
    batch, m, k = op.a.shape
    n = op.y.shape[2]
    out_view = layout.views[node.y.name]
    parts: list[Part] = []
    for i in range(batch):
        a_fields, a_operand, _ = _rows_of(layout.views[op.a.name], "a", i, m, k)
        b_view, b_line, b_tensor = layout.views[op.b.name], i, op.b.name
        if not op.b_transposed:
            turned = Storage(key=f"{node.name}#turned{i}", height=1, width=n, pixel_bytes=-(-k // 16) * 16)
            parts.append(_turn(op, layout, i, turned))
            b_view = View(storage=turned, channels=np.arange(k, dtype=np.int64))
            b_line, b_tensor = 0, ""
        b_fields, b_operand, _ = _rows_of(b_view, "b", b_line, n, k)
        quant = op.y.quant
        template = a_fields | b_fields
        template |= {
            "flags": 0,
            "scale": float(conv_multiplier(op.a.quant.scale, np.float32(op.b.quant.scale), quant.scale)),
            "zero": quant.zero,
            "low": quant.qmin,
            "high": quant.qmax,
            "a_zero": op.a.quant.zero,
            "a_signed": _signed(op.a.quant),
            "b_zero": op.b.quant.zero,
            "b_signed": _signed(op.b.quant),
            "b_first": 0,
            "b_count": n,
            "out_y": out_view.storage.line_bytes,
            "out_x": out_view.storage.pixel_bytes,
        }
        parts.append(
            Part(
                engine=Engine.ARRAY,
                template=template,
                height=1,
                width=m,
                operands=(_of(a_operand, op.a.name), _of(b_operand, b_tensor)),
                output=_output(out_view, node.y.name, 0, line=i),
            )
        )
    return tuple(parts)


def _of(operand: Operand, tensor: str) -> Operand:
    return dataclasses.replace(operand, tensor=tensor)


def _turn(op: MatMul, layout: Layout, line: int, turned: Storage) -> Part:
    """Return the part that writes b's transpose: out[n][k] = sum_j identity[n][j] * b[k][j]."""
    k, n = op.b.shape[1:]
    b_fields, b_operand, _ = _rows_of(layout.views[op.b.name], "b", line, k, n)
    width = -(-n // 16) * 16
    identity = np.zeros((n, width), np.uint8)
    identity[np.arange(n), np.arange(n)] = 1
    quant = op.b.quant
    template = b_fields | {
        "flags": 0,
        "scale": 1.0,
        "zero": quant.zero,
        "low": quant.qmin,
        "high": quant.qmax,
        "a_row_width": n,
        "a_line_stride": n * width,
        "a_width_bytes": n * width,
        "a_height": 1,
        "a_x_step": width,
        "a_tap_x_step": width,
        "a_run": n,
        "a_y_step": 1,
        "a_tap_y_step": 1,
        "a_taps_y": 1,
        "a_taps_x": 1,
        "b_zero": quant.zero,
        "b_signed": _signed(quant),
        "b_first": 0,
        "b_count": k,
        "out_y": turned.line_bytes,
        "out_x": turned.pixel_bytes,
    }
    return Part(
        engine=Engine.ARRAY,
        template=template,
        height=1,
        width=n,
        operands=(_of(b_operand, op.b.name),),
        output=Output(tensor="", storage=turned, line0=0, offset=0),
        constants=(Constant(address_field="a_base", data=identity.reshape(-1), bank="weights"),),
    )
