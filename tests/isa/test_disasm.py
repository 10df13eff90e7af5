"""Disassembly: every instruction in one line, waits and flags named, all fields on request."""

import dataclasses

from chanzi.isa.disasm import disassemble, line, values
from chanzi.isa.fields import BODY, HEADER, DotFlag, VecFlag, VecKind
from chanzi.isa.instruction import CLASS_OF, Dot, Halt, Load, Store, Vec


def test_one_line_an_instruction_and_a_headline_a_layer():
    code = [Load(layer=0, run=64, count1=2, dram_step1=128), Vec(layer=1), Vec(layer=1), Store(layer=0), Halt()]
    lines = list(disassemble(code, ["conv 1", "pool"]))
    assert [text for text in lines if text.startswith(";")] == ["; conv 1", "; pool", "; conv 1"]
    assert len(lines) == len(code) + 3
    assert lines[-1].split() == ["4", "HALT"]


def test_waits_name_engines_counts_banks_and_peers():
    text = line(Dot(wait_load=3, wait_vector=12, note=1 << 3, wait_peer=4, peer_core=2, a_count=7))
    assert text.endswith("after L3 V12b P2:4")
    assert "7 rows" in text


def test_every_flag_and_kind_is_named():
    for flag in DotFlag:
        assert (flag.name or "").lower() in line(Dot(flags=int(flag)))
    for flag in VecFlag:
        assert (flag.name or "").lower() in line(Vec(flags=int(flag), kind=int(VecKind.ADD)))
    for kind in VecKind:
        assert kind.name.lower() in line(Vec(kind=int(kind)))
    assert "kind 99" in line(Vec(kind=99))


def test_full_listing_holds_every_field():
    for opcode, cls in CLASS_OF.items():
        fields = list(HEADER[1:] + BODY[opcode])
        ins = dataclasses.replace(cls(), **{f.name: 1.0 if f.kind.startswith("f") else 1 for f in fields})
        assert [name for name, _ in values(ins)] == [f.name for f in fields]
        assert len(list(disassemble([ins], full=True))) == len(fields) + 1


def test_a_layer_without_a_name_is_shown_by_number():
    assert next(iter(disassemble([Vec(layer=9)], ["only"]))) == "; layer 9"
