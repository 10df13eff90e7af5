"""What the sequencer hands to the engines: an instruction's fields, as wide as the core needs them, and a few products.

Fields come from `chanzi.isa.fields`. Addresses and counts are cut to the scratchpad's size (the legality rules say that
nothing larger occurs), so that queues and adders stay narrow. The engines add only; what must be multiplied once for
each instruction is multiplied while the sequencer decodes it, and travels as the fields named in `DOT_PRODUCTS` and
`VEC_PRODUCTS`.
"""

from amaranth import signed, unsigned
from amaranth.lib import data

from chanzi.chip.chip import Chip, Core
from chanzi.isa.fields import BODY, Field, Opcode

DOT_PRODUCTS = {
    **{f"{p}_line_step": (f"{p}_y_step", f"{p}_line_stride", "", +1) for p in "ab"},
    **{f"{p}_tap_line": (f"{p}_tap_y_step", f"{p}_line_stride", "", +1) for p in "ab"},
    **{f"{p}_start": (f"{p}_pad_y", f"{p}_line_stride", f"{p}_base", -1) for p in "ab"},
    **{f"{p}_first_byte": (f"{p}_first", f"{p}_x_step", f"{p}_pad_x", -1) for p in "ab"},
    "out_start": ("a_first", "out_x", "out_base", +1),
    "res_start": ("a_first", "res_x", "res_base", +1),
}
"""name -> (x, y, z, sign). `_first_byte` is x * y - z (bytes from the line's start, signed); all others z + sign x * y.

``a_line_step``: address step from a line of pixels to the next. ``a_tap_line``: from a vertical tap to the next.
``a_start``: address of byte 0 of the first pixel's line at vertical tap 0. ``a_first_byte``: the byte of the first
pixel's window. ``out_start``, ``res_start``: addresses of the first pixel's output and residual, column 0.
"""

VEC_PRODUCTS = {
    "line_step": ("y_step", "line_stride", "", +1),
    "tap_line": ("tap_y_step", "line_stride", "", +1),
    "start": ("pad_y", "line_stride", "base", -1),
    "bottom": ("height", "line_stride", "base", +1),
}


def address_bits(core: Core) -> int:
    """Return the bits of a scratchpad byte address."""
    return (core.scratchpad.bytes - 1).bit_length()


def coordinate_bits(core: Core) -> int:
    """Return the bits of a signed line or byte coordinate of a map, windows outside the map included."""
    return address_bits(core) + 3


def _shape(core: Core, field: Field) -> object:
    if field.kind == "i4":
        return signed(coordinate_bits(core))
    if field.kind == "u4" and not field.name.startswith("dram"):
        return unsigned(min(32, coordinate_bits(core) - 1))
    if field.kind == "f4":
        return unsigned(32)
    bits = 8 * field.size
    return signed(bits) if field.kind[0] == "i" else unsigned(bits)


def _layout(core: Core, opcode: Opcode, products: dict[str, tuple[str, str, str, int]]) -> data.StructLayout:
    members: dict[str, object] = {"flags": unsigned(8)}
    members |= {f.name: _shape(core, f) for f in BODY[opcode]}
    for name in products:
        wide = name.endswith("_first_byte")
        members[name] = signed(coordinate_bits(core)) if wide else unsigned(address_bits(core))
    return data.StructLayout(members)


def dot_layout(core: Core) -> data.StructLayout:
    """Return the DOT descriptor: flags, every field of DOT, and `DOT_PRODUCTS`."""
    return _layout(core, Opcode.DOT, DOT_PRODUCTS)


def vec_layout(core: Core) -> data.StructLayout:
    """Return the VEC descriptor: flags, every field of VEC, and `VEC_PRODUCTS`."""
    return _layout(core, Opcode.VEC, VEC_PRODUCTS)


def dma_layout(chip: Chip) -> data.StructLayout:
    """Return the LOAD and STORE descriptor: flags and every field."""
    return _layout(chip.core, Opcode.LOAD, {})
