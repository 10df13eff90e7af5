"""Chip or host, node by node: every node of a quantized network is translated where the chip can run it.

The walk follows the network's order. A DequantizeLinear of bytes the chip holds, and everything that only moves or
renames values, is a view; what computes becomes operators of the graph when everything that reads its result quantizes
it alike; all else stays on the host, and the reason is kept for the report.
"""

from collections.abc import Collection

import numpy as np

from chanzi.frontend import qdq
from chanzi.frontend.context import MOVES, Context
from chanzi.frontend.cut import Cut, cut_pieces
from chanzi.frontend.layout import NCHW, NCW, NHWC, Form, Refused, View, default_form, form_of_shape
from chanzi.frontend.network import Network, Node, model_of
from chanzi.frontend.operators import TRANSLATORS
from chanzi.frontend.operators.functions import apply_table
from chanzi.frontend.work import node_macs
from chanzi.graph.ops import Lookup, Quant, Tensor, macs
from chanzi.graph.plan import ChipPiece, Partition, Placement
from chanzi.numerics import tables

_WINDOWED = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "Upsample"}
)
_DOMAINS = ("", "com.microsoft")
_FORMS: dict[int, tuple[Form, ...]] = {4: ((2, 3, 1), (1, 2, 3)), 3: ((0, 1, 2), (None, 2, 1))}
MAX_ROUNDS = 8


def partition(net: Network, *, qdq_model: bytes = b"", quantization: dict[str, str] | None = None) -> Partition:
    """Cut a quantized network into pieces for the chip and for the host.

    Parameters
    ----------
    net : Network
    qdq_model : bytes
        The same network as ONNX; serialized anew where it is not given.
    quantization : dict of str to str, optional
        How it was quantized, in words, for the report.
    """
    barred: dict[str, str] = {}
    ctx, reasons = translate(net, barred)
    cut = cut_pieces(ctx, reasons)
    for _ in range(MAX_ROUNDS - 1):
        trifles = _trifles(cut)
        if not trifles:
            break
        for name in trifles:
            barred[name] = "between pieces on the host, with nothing to multiply"
        ctx, reasons = translate(net, barred)
        cut = cut_pieces(ctx, reasons)
    return Partition(
        name=net.name,
        pieces=cut.pieces,
        inputs=net.declared_inputs,
        outputs=net.declared_outputs,
        report=_report(net, ctx, cut, reasons),
        qdq_model=qdq_model or model_of(net, infos=True).SerializeToString(),
        quantization=quantization or {},
    )


def _trifles(cut: Cut) -> set[str]:
    """Return the nodes of chip pieces not worth a trip to the chip: no products, while other pieces have some."""
    chips = [piece for piece in cut.pieces if isinstance(piece, ChipPiece)]
    work = [sum(macs(op) for op in piece.graph.ops) for piece in chips]
    if len(chips) < 2 or not any(work):
        return set()
    return {name for piece, n in zip(chips, work, strict=True) if not n for name in cut.nodes_of[piece.graph.name]}


def translate(net: Network, barred: Collection[str] = ()) -> tuple[Context, dict[str, str]]:
    """Translate every node that the chip can run; return the context and why the others stay on the host."""
    ctx = Context(net=net, consumers=net.consumers(), producers=net.producers())
    reasons: dict[str, str] = {}
    for node in net.nodes:
        if node.name in barred:
            reasons[node.name] = barred[node.name] if isinstance(barred, dict) else "kept on the host"
            continue
        ctx.node = node
        count = len(ctx.ops)
        try:
            _translate(ctx, node)
        except Refused as refusal:
            reasons[node.name] = str(refusal)
        except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError, OverflowError):
            reasons[node.name] = "attributes or parameters that make no sense"
        else:
            continue
        for op in ctx.ops[count:]:
            ctx.made_by.pop(op.name, None)
        del ctx.ops[count:]
        for name in node.outputs:
            ctx.views.pop(name, None)
    return ctx, reasons


def _translate(ctx: Context, node: Node) -> None:
    if qdq.is_quantize(node):
        _quantize(ctx, node)
    elif qdq.is_dequantize(node):
        _dequantize(ctx, node)
    elif node.op_type not in TRANSLATORS or node.domain not in _DOMAINS:
        raise Refused("an operator the chip has no instruction for")
    else:
        if not any(ctx.has(name) for name in node.inputs):
            if all(ctx.net.is_constant(name) or name in ctx.stored for name in node.reads):
                raise Refused("it only works on constants")
            ctx.view(next(name for name in node.reads if name not in ctx.stored and not ctx.net.is_constant(name)))
        TRANSLATORS[node.op_type](ctx, node)


def _quantize(ctx: Context, node: Node) -> None:
    name, out = node.input(0), node.outputs[0]
    if ctx.net.is_constant(name):
        return  # weights kept in float: their DequantizeLinear finds them
    quant = qdq.quant_of(ctx.net, node)
    if name in ctx.views:
        view = ctx.views[name]
        if view.tensor.quant == quant:
            ctx.views[out] = view
        else:
            apply_table(ctx, out, view, quant, tables.requantize_table(view.tensor.quant, quant), "requantize")
        return
    if ctx.net.info(name).dtype != 1:
        raise Refused("its input is not float32")
    _enter(ctx, name, out, quant)


def _enter(ctx: Context, value: str, out: str, quant: Quant) -> None:
    """Bring a value in from the host: `value` itself crosses, `out` is what the chip holds."""
    form, shape = _entry_form(ctx, value, out), ctx.shape(value)
    sizes = form_of_shape(form, shape)
    assert sizes is not None
    if min(sizes) < 1:
        raise Refused("it is empty")
    tensor = Tensor(name=ctx.unique(value), shape=sizes, quant=quant)
    ctx.entries[tensor.name] = value
    ctx.views[out] = View.of(tensor, shape, form)


def _entry_form(ctx: Context, value: str, out: str) -> Form:
    """Choose the layout of a value that comes from the host by what reads it."""
    shape = ctx.shape(value)
    forms = [form for form in _FORMS.get(len(shape), ()) if form_of_shape(form, shape)]
    if len(forms) < 2:
        form = default_form(shape)
        if form is None:
            raise Refused(f"its input {list(shape)} is no map of one frame")
        return form
    fake = Quant(scale=1.0, zero=0, dtype="int8")

    def score(form: Form) -> int:
        sizes = form_of_shape(form, shape)
        assert sizes is not None
        view = View.of(Tensor(name="", shape=sizes, quant=fake), shape, form)
        return _readers_that_fit(ctx, out, view, 0)

    return max(forms, key=score)


def _readers_that_fit(ctx: Context, name: str, view: View, depth: int) -> int:
    count = 0
    for reader in ctx.consumers.get(name, []) if depth < 12 else []:
        try:
            if reader.op_type in _WINDOWED:
                count += view.fits(NCHW if len(view.shape) == 4 else NCW)
            elif reader.op_type == "MatMul":
                count += len(view.shape) == 4 and (view.fits(NHWC) or view.fits((1, 3, 2)))
            elif reader.op_type == "Transpose":
                perm = reader.get("perm", range(len(view.shape))[::-1])
                count += _readers_that_fit(ctx, reader.outputs[0], view.transposed(perm), depth + 1)
            elif reader.op_type in MOVES:
                shape = ctx.shape(reader.outputs[0])
                if np.prod(shape) == np.prod(view.shape):
                    count += _readers_that_fit(ctx, reader.outputs[0], view.reshaped(shape), depth + 1)
            elif ctx.shape(reader.outputs[0]) == view.shape or reader.op_type == "Pad":
                count += _readers_that_fit(ctx, reader.outputs[0], view, depth + 1)
        except (Refused, IndexError, ValueError):
            continue
    return count


def _dequantize(ctx: Context, node: Node) -> None:
    name, out = node.input(0), node.outputs[0]
    if name in ctx.views:
        view = ctx.views[name]
        quant = qdq.quant_of(ctx.net, node)
        if quant != view.tensor.quant:  # the same bytes, meant otherwise
            if quant.dtype != view.tensor.quant.dtype:
                raise Refused("its input is of another type")
            y = ctx.tensor(out, view.tensor.shape, quant)
            table = np.arange(256, dtype=np.uint8)
            ctx.emit(Lookup(name=ctx.name(node), kind="rescale", x=view.tensor, y=y, table=table))
            view = view.on(y)
        ctx.views[out] = view
        return
    producer = ctx.producers.get(name)
    made = producer if producer is not None and qdq.is_quantize(producer) else None
    stored = qdq.stored_constant(ctx.net, node, made)
    if stored is not None:
        ctx.stored[out] = stored
        return
    if ctx.net.is_constant(name):
        raise Refused("weights of other than 8 bits")
    quant = qdq.quant_of(ctx.net, node)
    if ctx.net.info(name).dtype not in (2, 3):
        raise Refused("activations of other than 8 bits")
    _enter(ctx, name, name, quant)
    ctx.views[out] = ctx.views[name]


def _report(net: Network, ctx: Context, cut: Cut, reasons: dict[str, str]) -> tuple[Placement, ...]:
    busy = {ctx.made_by[op.name].name for op in ctx.ops if op.name in ctx.made_by}
    rows = []
    for node in net.nodes:
        work = node_macs(net, node)
        if node.name in cut.on_host:
            reason = reasons.get(node.name, "only the host's part reads its result")
            rows.append(Placement(node=node.name, op_type=node.op_type, where="host", reason=reason, macs=work))
        elif node.name in busy and node.name not in reasons:
            rows.append(Placement(node=node.name, op_type=node.op_type, where="chip", macs=work))
        else:
            reason = reasons.get(node.name, "constant or a view")
            rows.append(Placement(node=node.name, op_type=node.op_type, where="folded", reason=reason))
    return tuple(rows)
