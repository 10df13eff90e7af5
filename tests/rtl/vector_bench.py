"""The vector engine beside a scratchpad that is an array of bytes, and random cores for it; shared by its tests."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chanzi.chip import load_chip
from chanzi.chip.chip import Core
from chanzi.flow.verilator import Model
from chanzi.isa.hazards import streams
from chanzi.isa.instruction import Instruction
from chanzi.rtl.descriptor import VEC_PRODUCTS, vec_layout
from chanzi.rtl.ports import READ_LATENCY

READS = ("operand", "second", "params")


def small_core(dim: int, port: int, lanes: int = 0) -> Core:
    """Return a core with `lanes` (`dim` if 0), words of `port` bytes and 128 KiB."""
    core = load_chip("chanzi-8").core
    pad = dataclasses.replace(core.scratchpad, bytes=1 << 17, banks=32)
    return dataclasses.replace(core, dim=dim, port_bytes=port, lanes=lanes or dim, scratchpad=pad)


def descriptor(core: Core, ins: Instruction) -> int:
    """Return the bits that the sequencer would hand over."""
    bits = 0
    for name, field in vec_layout(core):
        value = getattr(ins, name, None)
        if name in VEC_PRODUCTS:
            x, y, z, sign = VEC_PRODUCTS[name]
            value = (getattr(ins, z) if z else 0) + sign * getattr(ins, x) * getattr(ins, y)
        elif isinstance(value, float):
            value = int(np.float32(value).view(np.uint32))
        bits |= (int(value) & ((1 << field.width) - 1)) << field.offset
    return bits


def run(
    core: Core, dut: Model, memory: npt.NDArray[np.uint8], code: Sequence[Instruction], pause: int = 0
) -> list[tuple[int, int]]:
    """Run VECs on `memory`, offering each one `pause` cycles after the one before was taken; return (begin, complete).

    Banks know multiples of the atom only, so every access that is no such multiple fails; and what is read beyond the
    instruction's streams, or beyond what the engine says it needs of a word.
    """
    W, size, atom = core.port_bytes, memory.size, core.atom_bytes
    pipes = {name: [0] * READ_LATENCY for name in READS}
    rng = np.random.default_rng(0)
    spans: list[tuple[int, int]] = []
    begun: list[int] = []
    complete: list[int] = []
    offered, valid = 0, 0
    for cycle in range(1_000_000):
        if len(begun) < len(code) and cycle >= offered and not valid:
            dut.set("engine__desc", descriptor(core, code[len(begun)]))
            valid = 1
        dut.set("engine__valid", valid)
        for name in READS:
            dut.set(f"{name}__data", pipes[name][0])
        dut.eval()
        if valid and dut.get("engine__ready"):
            spans = [span for stream in streams(code[len(begun)]) if not stream.writes for span in stream.spans]
            begun.append(cycle)
            valid, offered = 0, cycle + 1 + pause
        for name in READS:
            word = 0
            if dut.get(f"{name}__en"):
                at = dut.get(f"{name}__addr")
                assert at % atom == 0, f"{name} is read at {at}, no multiple of {atom}"
                need = dut.get(f"{name}__need") or W
                last = (at + need) % size
                # a word of several atoms may begin left of the map
                inside = any(low - low % atom - (W - atom) <= at and low < last <= high for low, high in spans)
                assert inside, f"{name} needs {need} bytes at {at}, beyond {spans}"
                noise = rng.bytes(W - need)  # what lies behind may be another engine's
                word = int.from_bytes(memory[(at + np.arange(need)) % size].tobytes() + noise, "little")
            pipes[name] = [*pipes[name][1:], word]
        if dut.get("result__en"):
            at, mask = dut.get("result__addr"), dut.get("result__mask")
            assert at % atom == 0, f"written at {at}, no multiple of {atom}"
            data = dut.get("result__data").to_bytes(W, "little")
            for j in range(W):
                if mask >> j & 1:
                    memory[at + j] = data[j]
        if dut.get("engine__done"):
            complete.append(cycle + 1)
        dut.step()
        if len(complete) == len(code):
            return list(zip(begun, complete, strict=True))
    raise AssertionError(f"the engine hangs in instruction {len(complete)} of {len(code)}")
