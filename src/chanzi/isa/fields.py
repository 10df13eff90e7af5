"""The encodings, once. Encoder, decoder, disassembler, legality checks, C header and manual derive from these tables.

An instruction is 256 bytes, little-endian: a header common to all, then the fields of its opcode in the order of its
table, each at its natural alignment. So an instruction is a plain C struct, and a program section can be mapped into
memory and read as an array of them.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np

INSTRUCTION_BYTES = 256


class Opcode(IntEnum):
    """What an instruction does, and which engine does it."""

    HALT = 0
    LOAD = 1
    STORE = 2
    DOT = 3
    VEC = 4


class Engine(IntEnum):
    """The four engines of a core; each runs its instructions in program order."""

    LOAD = 0
    STORE = 1
    ARRAY = 2
    VECTOR = 3


ENGINE_OF = {
    Opcode.LOAD: Engine.LOAD,
    Opcode.STORE: Engine.STORE,
    Opcode.DOT: Engine.ARRAY,
    Opcode.VEC: Engine.VECTOR,
}


class DotFlag(IntFlag):
    """Bits of DOT's `flags`."""

    NONE = 0
    BIAS = 1  # add the int32 at bias_base + 4 n to the accumulator
    COLUMN_SCALE = 2  # multiplier is the float32 at scale_base + 4 n, not the field `scale`
    TABLE = 4  # look the requantized byte up in the 256 bytes at table_base
    ADD = 8  # second stage: add the residual
    MUL = 16  # second stage: multiply by the residual
    CONTINUE = 32  # accumulators keep what the previous DOT left (that one had HOLD)
    HOLD = 64  # leave the sums in the accumulators, drain nothing
    RAW = 128  # drain int32 accumulators (after bias), no epilogue


class VecFlag(IntFlag):
    """Bits of VEC's `flags`."""

    NONE = 0
    BIAS = 1  # add the int32 at bias_base + 4 c (SUM, MAC)
    CHANNEL_SCALE = 2  # multiplier is the float32 at scale_base + 4 c, not the field `scale`
    TABLE = 4  # look the result byte up in the 256 bytes at table_base
    CLAMP_EDGE = 8  # taps outside the map read the nearest pixel instead of nothing
    SCALAR = 16  # the second operand is one byte a pixel, the same for all channels


class VecKind(IntEnum):
    """What VEC computes for each output byte."""

    COPY = 0  # y = x (one tap), then the table
    MAX = 1  # largest tap inside the map
    SUM = 2  # sum of taps - zero, requantized: average pooling
    MAC = 3  # sum of (tap - zero) * weight, requantized: depthwise convolution, linear resize
    ADD = 4  # float32 sum of two scaled operands, requantized
    MUL = 5  # float32 product of two operands, requantized
    SOFTMAX = 6  # over the channels of each pixel


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `kind` is a NumPy type code ('u1', 'i2', 'u4', 'f4', ...)."""

    name: str
    kind: str
    doc: str

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.kind[1:])


HEADER = (
    Field("opcode", "u1", "which instruction: HALT 0, LOAD 1, STORE 2, DOT 3, VEC 4"),
    Field("flags", "u1", "bits that switch parts of the instruction on; see the instruction"),
    Field("peer_core", "u1", "the core whose STORE counter `wait_peer` names"),
    Field("note", "u1", "ignored by the machine: bit e is set where the wait on engine e is for banks only, not data"),
    Field("layer", "u4", "ignored by the machine: index into the program's layer table, for reports"),
    Field("wait_load", "u4", "start when this many LOADs of the core have completed"),
    Field("wait_store", "u4", "start when this many STOREs of the core have completed"),
    Field("wait_array", "u4", "start when this many DOTs of the core have completed"),
    Field("wait_vector", "u4", "start when this many VECs of the core have completed"),
    Field("wait_peer", "u4", "start when this many STOREs of core `peer_core` have completed (0: no wait)"),
)

WAITS = ("wait_load", "wait_store", "wait_array", "wait_vector")


def _stream(prefix: str, what: str) -> tuple[Field, ...]:
    """Return the fields of one operand stream: a window that slides over a map of bytes.

    Row r of the stream (r = first .. first + count - 1) is pixel y = r // row_width, x = r % row_width. It yields, for
    each tap (ty, tx) and each byte j < run, the element at line ``y*y_step + ty*tap_y_step - pad_y``, byte
    ``x*x_step + tx*tap_x_step + j - pad_x`` of that line; outside ``0 <= line < height``, ``0 <= byte < width_bytes``
    it yields 0, inside ``mem[base + line*line_stride + byte] - zero``.
    """
    rows = (
        ("base", "u4", f"{what}: address of line 0, byte 0"),
        ("first", "u4", f"{what}: first row, less than row_width"),
        ("count", "u4", f"{what}: rows"),
        ("row_width", "u4", f"{what}: rows in one line of pixels"),
        ("line_stride", "u4", f"{what}: bytes from a line to the next"),
        ("height", "u4", f"{what}: lines that exist"),
        ("width_bytes", "u4", f"{what}: bytes of a line that exist"),
        ("x_step", "u4", f"{what}: bytes from a pixel's window to the next pixel's"),
        ("tap_x_step", "u4", f"{what}: bytes from a horizontal tap to the next"),
        ("run", "u4", f"{what}: bytes of each tap"),
        ("pad_x", "i4", f"{what}: bytes the first window lies left of byte 0"),
        ("y_step", "u2", f"{what}: lines from a pixel's window to the window of the pixel below"),
        ("tap_y_step", "u2", f"{what}: lines from a vertical tap to the next"),
        ("taps_y", "u2", f"{what}: vertical taps"),
        ("taps_x", "u2", f"{what}: horizontal taps"),
        ("pad_y", "i2", f"{what}: lines the first window lies above line 0"),
        ("zero", "i2", f"{what}: zero point, subtracted from bytes that exist"),
        ("signed", "u1", f"{what}: 1 where bytes are int8, 0 where uint8"),
    )
    return tuple(Field(f"{prefix}_{name}", kind, doc) for name, kind, doc in rows)


STREAM_NAMES = tuple(f.name.removeprefix("a_") for f in _stream("a", ""))

_REQUANTIZE = (
    Field("bias_base", "u4", "int32 biases, four bytes a column or channel"),
    Field("scale_base", "u4", "float32 multipliers, four bytes a column or channel"),
    Field("table_base", "u4", "256 bytes, indexed by the result byte"),
    Field("scale", "f4", "multiplier where the flag for per-column scales is off"),
    Field("zero", "i2", "added after rounding; by VEC's ADD and MUL before"),
    Field("low", "i2", "smallest result"),
    Field("high", "i2", "largest result"),
)

DMA = (
    Field("dram", "u8", "address in DRAM"),
    Field("base", "u4", "address in the scratchpad"),
    Field("run", "u4", "contiguous bytes"),
    Field("count1", "u4", "runs"),
    Field("count2", "u4", "groups of runs"),
    Field("dram_step1", "u4", "bytes from a run to the next, in DRAM"),
    Field("dram_step2", "u4", "bytes from a group to the next, in DRAM"),
    Field("base_step1", "u4", "bytes from a run to the next, in the scratchpad"),
    Field("base_step2", "u4", "bytes from a group to the next, in the scratchpad"),
)

DOT = (
    *_stream("a", "rows of A"),
    *_stream("b", "rows of B"),
    *_REQUANTIZE,
    Field("out_base", "u4", "address of the output of pixel (0, 0), column 0"),
    Field("out_y", "u4", "bytes from an output line to the next"),
    Field("out_x", "u4", "bytes from an output pixel to the next"),
    Field("res_base", "u4", "residual of pixel (0, 0), column 0"),
    Field("res_y", "u4", "bytes from a residual line to the next"),
    Field("res_x", "u4", "bytes from a residual pixel to the next"),
    Field("mid_scale", "f4", "second stage: factor of the requantized value"),
    Field("res_scale", "f4", "second stage: factor of the residual"),
    Field("mid_zero", "i2", "second stage: zero point of the requantized value"),
    Field("res_zero", "i2", "second stage: zero point of the residual"),
    Field("out_zero", "i2", "second stage: zero point of the result, added before rounding"),
    Field("out_low", "i2", "second stage: smallest result"),
    Field("out_high", "i2", "second stage: largest result"),
    Field("mid_signed", "u1", "second stage: 1 where the requantized byte (after the table) is int8"),
    Field("res_signed", "u1", "second stage: 1 where residual bytes are int8"),
    Field("res_first", "u1", "second stage, ADD: 1 where the residual is the first operand of the sum"),
    Field(
        "carry_shift",
        "u1",
        "CONTINUE: kept sums are shifted left by it before adding, 0 or 8 (int16: high bytes first)",
    ),
)

VEC = (
    Field("kind", "u1", "COPY 0, MAX 1, SUM 2, MAC 3, ADD 4, MUL 5, SOFTMAX 6"),
    Field("signed", "u1", "1 where the operand's bytes are int8"),
    Field("zero_in", "i2", "zero point of the operand"),
    Field("base", "u4", "operand: address of line 0, byte 0"),
    Field("line_stride", "u4", "operand: bytes from a line to the next"),
    Field("height", "u4", "operand: lines that exist"),
    Field(
        "width_bytes",
        "u4",
        "operand: bytes of a line that exist; with CLAMP_EDGE whole atoms more than `channels`, "
        "else no pixel of a window may lie partly outside them",
    ),
    Field("x_step", "u4", "operand: bytes from an output pixel's window to the next"),
    Field("tap_x_step", "u4", "operand: bytes from a horizontal tap to the next"),
    Field("pad_x", "i4", "operand: bytes the first window lies left of byte 0"),
    Field("pad_y", "i2", "operand: lines the first window lies above line 0"),
    Field("y_step", "u2", "operand: lines from an output line's window to the next"),
    Field("tap_y_step", "u2", "operand: lines from a vertical tap to the next"),
    Field("taps_y", "u2", "vertical taps"),
    Field("taps_x", "u2", "horizontal taps"),
    Field("rows", "u4", "output lines"),
    Field("columns", "u4", "output pixels in a line"),
    Field("channels", "u4", "bytes of each output pixel"),
    Field("out_base", "u4", "address of output line 0, pixel 0"),
    Field("out_y", "u4", "bytes from an output line to the next"),
    Field("out_x", "u4", "bytes from an output pixel to the next"),
    Field("second_base", "u4", "second operand of ADD and MUL: address of line 0, pixel 0"),
    Field("second_y", "u4", "second operand: bytes from a line to the next (0: the same line for all)"),
    Field("second_x", "u4", "second operand: bytes from a pixel to the next (0: the same pixel for all)"),
    Field("second_zero", "i2", "second operand: zero point"),
    Field("second_signed", "u1", "second operand: 1 where bytes are int8"),
    Field("weight_signed", "u1", "MAC: 1 where weights are int8"),
    Field("weight_zero", "i2", "MAC: zero point of the weights"),
    *_REQUANTIZE,
    Field(
        "weight_base",
        "u4",
        "MAC: weights, [tap y][tap x][channel], one byte each, at most 128 taps; channels are whole atoms if taps > 1",
    ),
    Field("scale_a", "f4", "ADD: factor of the operand"),
    Field("scale_b", "f4", "ADD: factor of the second operand"),
)

BODY = {Opcode.HALT: (), Opcode.LOAD: DMA, Opcode.STORE: DMA, Opcode.DOT: DOT, Opcode.VEC: VEC}


def _layout(fields: tuple[Field, ...]) -> np.dtype:
    names: list[str] = []
    kinds: list[str] = []
    offsets: list[int] = []
    at = 0
    for f in fields:
        at = -(-at // f.size) * f.size
        names.append(f.name)
        kinds.append("<" + f.kind)
        offsets.append(at)
        at += f.size
    if at > INSTRUCTION_BYTES:
        raise ValueError(f"fields take {at} bytes")
    return np.dtype({"names": names, "formats": kinds, "offsets": offsets, "itemsize": INSTRUCTION_BYTES})


LAYOUT = {opcode: _layout(HEADER + body) for opcode, body in BODY.items()}
"""opcode -> NumPy structured dtype of 256 bytes."""
