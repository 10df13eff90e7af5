"""Every rule refuses the program that breaks it, by name; what the compiler makes breaks none."""

import dataclasses

import pytest

from chanzi.chip import Chip, Core, Dram, Scratchpad
from chanzi.errors import ProgramError
from chanzi.isa.fields import DotFlag, VecFlag, VecKind
from chanzi.isa.instruction import Dot, Halt, Load, Store, Vec
from chanzi.isa.ordering import check_program

BANK = 256
LIMIT = 4 * 64 * BANK
CHIP = Chip(
    name="small",
    clock_hz=10**9,
    cores=2,
    core=Core(dim=4, scratchpad=Scratchpad(bytes=64 * BANK, banks=64)),
    dram=Dram(bytes_per_s=10**9),
)
STREAM = {"count": 4, "row_width": 4, "line_stride": 16, "height": 1, "width_bytes": 16, "x_step": 4, "run": 4}
STREAM |= {"taps_y": 1, "taps_x": 1}
DOT = Dot(
    **{f"a_{k}": v for k, v in STREAM.items()},
    **{f"b_{k}": v for k, v in STREAM.items()},
    b_base=BANK,
    out_base=2 * BANK,
    out_x=4,
    out_y=16,
    high=255,
)
VEC = Vec(
    kind=int(VecKind.MAX), base=0, line_stride=16, height=4, width_bytes=16, x_step=4, tap_x_step=4, y_step=1,
    tap_y_step=1, taps_y=1, taps_x=1, rows=4, columns=4, channels=4, out_base=BANK, out_y=16, out_x=4, high=255,
)  # fmt: skip
LOAD = Load(dram=0, base=0, run=16, count1=4, count2=1, dram_step1=16, base_step1=16)
STORE = Store(dram=1024, base=0, run=16, count1=4, count2=1, dram_step1=16, base_step1=16)


def check(*code, other=None, image=512):
    codes = [[*code, Halt()]] + ([[*other, Halt()]] if other is not None else [])
    check_program(CHIP, codes, dram_bytes=4096, image_bytes=image)


def changed(ins, **fields):
    return dataclasses.replace(ins, **fields)


@pytest.mark.parametrize("ins", [DOT, VEC, LOAD, STORE], ids=lambda ins: ins.opcode.name)
def test_a_sound_instruction_is_legal(ins):
    check(ins)


@pytest.mark.parametrize(
    ("ins", "fields", "says"),
    [
        (DOT, {"flags": int(DotFlag.ADD | DotFlag.MUL)}, "both ADD and MUL"),
        (DOT, {"flags": int(DotFlag.RAW | DotFlag.TABLE)}, "RAW has no epilogue"),
        (DOT, {"flags": int(DotFlag.CONTINUE)}, "CONTINUE without a DOT"),
        (DOT, {"flags": int(DotFlag.HOLD | DotFlag.BIAS)}, "HOLD drains nothing"),
        (DOT, {"flags": int(DotFlag.ADD), "res_zero": -1}, "res_zero -1 is no value"),
        (DOT, {"a_base": 2}, "a_base 2 is no multiple of 4 bytes"),
        (DOT, {"b_pad_x": -3}, "b_pad_x -3 is no multiple"),
        (DOT, {"out_x": 5, "out_y": 20}, "out_x 5 is no multiple"),
        (DOT, {"flags": int(DotFlag.BIAS), "bias_base": 1026}, "bias_base 1026 is no multiple"),
        (VEC, {"line_stride": 17}, "line_stride 17 is no multiple"),
        (VEC, {"flags": int(VecFlag.CLAMP_EDGE), "width_bytes": 3}, "no edge pixel"),
        (VEC, {"flags": int(VecFlag.CLAMP_EDGE), "width_bytes": 14}, "the edge pixel at byte 10 is at no multiple"),
        (VEC, {"kind": int(VecKind.MAC), "taps_x": 2, "channels": 3, "weight_base": 512}, "no whole atoms"),
        (VEC, {"width_bytes": 14}, "1 pixels of a line's windows lie partly outside"),
        (VEC, {"kind": int(VecKind.SOFTMAX), "flags": int(VecFlag.TABLE)}, "flag TABLE does not go"),
        (LOAD, {"base": 6}, "base 6 is no multiple"),
        (DOT, {"flags": int(DotFlag.HOLD), "a_count": 5}, "one tile"),
        (DOT, {"a_count": 0}, "a_count is 0"),
        (DOT, {"carry_shift": 8}, "carry_shift without CONTINUE"),
        (DOT, {"carry_shift": 4, "flags": int(DotFlag.CONTINUE)}, "carry_shift is 4"),
        (DOT, {"a_first": 4}, "a_first 4 lies past the first line of 4 rows"),
        (DOT, {"b_first": 5}, "b_first 5 lies past the first line"),
        (DOT, {"a_line_stride": LIMIT}, f"a_line_stride is {LIMIT}"),
        (DOT, {"a_pad_x": LIMIT}, f"a_windows reach from byte -{LIMIT}"),
        (DOT, {"b_pad_y": -32768, "b_y_step": 65535, "b_row_width": 1}, "b_windows reach from line 32768"),
        (DOT, {"res_x": LIMIT}, f"res_x is {LIMIT}"),
        (VEC, {"x_step": LIMIT, "columns": 1}, f"x_step is {LIMIT}"),
        (VEC, {"tap_x_step": LIMIT - 4, "taps_x": 2}, "windows reach from byte 0"),
        (VEC, {"pad_x": -(LIMIT - 4)}, "windows reach from byte"),
        (VEC, {"second_y": LIMIT}, f"second_y is {LIMIT}"),
        (VEC, {"kind": int(VecKind.MAC), "taps_y": 43, "taps_x": 3, "weight_base": 512}, "weights of 129 taps"),
        (DOT, {"a_row_width": 0}, "a_row_width is 0"),
        (DOT, {"b_run": 3}, "rows of A have 4 bytes, rows of B 3"),
        (DOT, {"a_run": 1 << 24, "b_run": 1 << 24}, "sums of 16777216 products"),
        (DOT, {"a_base": 64 * BANK}, "outside the scratchpad|reaches"),
        (DOT, {"b_base": 0}, "share a bank"),
        (DOT, {"out_base": 64 * BANK - 4}, "output reaches"),
        (DOT, {"out_x": 0}, "writes a byte twice"),
        (DOT, {"a_signed": 2}, "a_signed is 2"),
        (DOT, {"a_zero": 256}, "a_zero 256"),
        (DOT, {"low": 10, "high": 5}, "no range of a byte"),
        (DOT, {"peer_core": 2}, "peer_core is 2"),
        (DOT, {"wait_load": 1}, "wait_load is 1, only 0"),
        (DOT, {"flags": int(DotFlag.BIAS), "bias_base": 64 * BANK - 8}, "parameters reaches"),
        (VEC, {"kind": 9}, "kind 9 is unknown"),
        (VEC, {"flags": 128}, "flags 0x80"),
        (VEC, {"taps_y": 0}, "0 taps"),
        (VEC, {"kind": int(VecKind.ADD), "taps_x": 2, "second_base": 512}, "2 taps where one is read"),
        (VEC, {"rows": 1 << 15}, "reaches"),
        (VEC, {"rows": 1 << 20}, "rows is 1048576"),
        (VEC, {"channels": 5}, "writes a byte twice"),
        (VEC, {"flags": int(VecFlag.SCALAR)}, "SCALAR does not go with kind 1"),
        (VEC, {"out_base": 16}, "share a bank"),
        (LOAD, {"run": 0}, "run is 0"),
        (LOAD, {"count1": 2**32 - 1, "count2": 2**32 - 1}, "moves|reaches"),
        (LOAD, {"base_step1": 8}, "writes a byte twice"),
        (LOAD, {"dram": 4090}, "of 4096 bytes in use"),
        (STORE, {"dram": 100}, "inside the image"),
        (STORE, {"dram": 2**63}, "bytes in use"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_name(ins, fields, says):
    with pytest.raises(ProgramError, match=says) as caught:
        check(changed(ins, **fields))
    assert "core 0, instruction 0" in str(caught.value)


@pytest.mark.parametrize(
    ("ins", "fields"),
    [
        (DOT, {"a_first": 3}),
        (DOT, {"a_pad_x": LIMIT - 4}),
        (DOT, {"a_pad_x": -(LIMIT - 16)}),
        (VEC, {"pad_x": LIMIT - 4}),
        (VEC, {"tap_x_step": LIMIT - 16, "taps_x": 2}),
        (VEC, {"kind": int(VecKind.MAC), "taps_y": 8, "taps_x": 16, "weight_base": 2 * BANK}),
    ],
)
def test_the_last_value_inside_a_limit_is_legal(ins, fields):
    check(changed(ins, **fields))


def test_two_engines_may_not_meet_in_a_bank_unless_one_waits():
    load = changed(LOAD, base=2 * BANK + 64)
    with pytest.raises(ProgramError, match="output may meet LOAD instruction 1 in a bank"):
        check(load, DOT)
    check(load, changed(DOT, wait_load=1))
    check(changed(LOAD, base=3 * BANK), DOT)


def test_a_draining_tile_may_not_meet_what_the_next_dot_reads():
    reads = changed(DOT, a_base=2 * BANK, out_base=3 * BANK)
    with pytest.raises(ProgramError, match="A may meet ARRAY instruction 1"):
        check(DOT, reads)
    check(DOT, changed(reads, wait_array=1))


def test_what_was_waited_for_by_a_predecessor_counts():
    vec = changed(VEC, wait_load=1)
    check(LOAD, vec, changed(STORE, base=BANK, wait_vector=1))
    check(LOAD, vec, changed(VEC, out_base=2 * BANK))  # its predecessor in the same engine had waited


def test_dram_between_cores_needs_a_wait_on_the_peer():
    load = changed(LOAD, dram=1024)
    with pytest.raises(ProgramError, match="may meet STORE 1 of core 0"):
        check(STORE, other=[load])
    check(STORE, other=[changed(load, wait_peer=1, peer_core=0)])
    check(STORE, other=[changed(load, dram=2048)])


def test_waiting_for_one_another_is_refused():
    with pytest.raises(ProgramError, match="never comes"):
        check(changed(LOAD, wait_peer=1, peer_core=1), STORE, other=[changed(LOAD, wait_peer=1, peer_core=0), STORE])


@pytest.mark.parametrize("code", [[], [LOAD], [Halt(), LOAD, Halt()]])
def test_code_ends_in_its_one_halt(code):
    with pytest.raises(ProgramError, match="HALT"):
        check_program(CHIP, [code], dram_bytes=4096)


def test_code_longer_than_the_instruction_memory_is_refused():
    small = changed(CHIP, core=changed(CHIP.core, code_instructions=3))
    check_program(small, [[LOAD, LOAD, Halt()]], dram_bytes=4096)
    with pytest.raises(ProgramError, match="core 0: 4 instructions, its instruction memory holds 3"):
        check_program(small, [[LOAD, LOAD, LOAD, Halt()]], dram_bytes=4096)


def test_more_code_than_cores_is_refused():
    with pytest.raises(ProgramError, match="3 cores"):
        check_program(CHIP, [[Halt()]] * 3, dram_bytes=0)
