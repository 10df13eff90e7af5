"""Random legal programs: every instruction, flag, mode, padding, stride, bank pattern and wait pattern.

The scratchpad is cut into regions of whole banks; every stream of an instruction gets a region of its own, so no
instruction meets itself. Waits come from comparing each instruction with all before it, and are then loosened or
tightened at random. Nothing here comes from the compiler.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.conform.shapes import Draw, Region, dot, vec
from chanzi.errors import ChipError
from chanzi.isa.fields import ENGINE_OF, WAITS, DotFlag, Engine, Opcode
from chanzi.isa.hazards import Stream, conflict, dram_span, streams
from chanzi.isa.instruction import Halt, Instruction, Load, Store
from chanzi.program.program import Compiled, CoreCode, Segment

_PARAMETER_BYTES = 4096
_PARAMETER_BLOCKS = 3


@dataclass(slots=True)
class _Stored:
    """Bytes of DRAM that a core has stored, in program `part`."""

    core: int
    number: int
    low: int
    high: int


@dataclass(slots=True)
class _Core:
    """The code of one core while it grows."""

    parameters: list[Region]
    regions: list[Region]
    code: list[Instruction] = field(default_factory=list)
    streams: list[tuple[Stream, ...]] = field(default_factory=list)
    count: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    number: list[int] = field(default_factory=list)
    held: Instruction | None = None


def random_program(
    chip: Chip, rng: np.random.Generator, *, instructions: int = 24, cores: int | None = None
) -> Compiled:
    """Return a legal program with random data; equal for equal states of `rng`.

    Parameters
    ----------
    chip : Chip
        Cores need 12 banks of 4 KiB, or more of smaller ones.
    rng : numpy.random.Generator
    instructions : int
        About how many instructions each core has in a frame.
    cores : int, optional
        How many cores have code; random where it is not given.

    Raises
    ------
    ChipError
        The scratchpad is too small for programs that are worth running.
    """
    return _Builder(chip, rng, cores).build(instructions)


class _Builder:
    def __init__(self, chip: Chip, rng: np.random.Generator, cores: int | None) -> None:
        self.chip = chip
        self.draw = Draw(rng)
        pad = chip.core.scratchpad
        block = -(-_PARAMETER_BYTES // pad.bank_bytes)
        if pad.banks < 12 or pad.banks - _PARAMETER_BLOCKS * block < 9:
            raise ChipError(
                f"random programs need more than {pad.banks} banks of {pad.bank_bytes} bytes",
                hint=f"{9 + _PARAMETER_BLOCKS * block} banks of that size are enough",
            )
        self.cores = [self._core(block) for _ in range(cores or self.draw.between(1, chip.cores))]
        self.image = self._image()
        self.dram_bytes = self.image.size
        self.stored: list[_Stored] = []

    def _core(self, block: int) -> _Core:
        """Cut a scratchpad into parameter blocks and regions, in random order."""
        pad = self.chip.core.scratchpad
        n = self.draw.between(6, min(14, pad.banks - _PARAMETER_BLOCKS * block))
        free = pad.banks - _PARAMETER_BLOCKS * block
        cuts = np.sort(self.draw.rng.choice(np.arange(1, free), n - 1, replace=False)).tolist()
        sizes = [b - a for a, b in zip([0, *cuts], [*cuts, free], strict=True)]
        pieces = [(block, True)] * _PARAMETER_BLOCKS + [(size, False) for size in sizes]
        regions: tuple[list[Region], list[Region]] = ([], [])
        at = 0
        for i in self.draw.rng.permutation(len(pieces)).tolist():
            banks, parameter = pieces[i]
            regions[not parameter].append(Region(at * pad.bank_bytes, (at + banks) * pad.bank_bytes))
            at += banks
        return _Core(*regions)

    def _image(self) -> npt.NDArray[np.uint8]:
        """Return DRAM: parameters that make sense, then noise."""
        rng = self.draw.rng
        image = rng.integers(0, 256, _PARAMETER_BYTES * _PARAMETER_BLOCKS + 16384, dtype=np.uint8)
        for i in range(_PARAMETER_BLOCKS):
            block = image[i * _PARAMETER_BYTES :][:_PARAMETER_BYTES]
            block[:1024].view("<i4")[:] = rng.integers(-3000, 3000, 256)
            block[1024:2048].view("<f4")[:] = np.exp2(rng.uniform(-12, -3, 256))
            block[2048:3072].view("<f4")[:] = np.exp(np.sort(rng.uniform(-20, 60, 256)))
            if self.draw.chance(0.2):  # extremes: sums that wrap, factors that overflow, are not numbers, or vanish
                block[:1024].view("<i4")[::3] = np.iinfo(np.int32).max
                block[1024:2048].view("<f4")[::5] = [
                    np.inf,
                    -np.inf,
                    np.nan,
                    1e-42,
                    3e38,
                    -0.0,
                    1e30,
                    0,
                    -1,
                    1,
                    2,
                    3,
                    4,
                ] * 4
        return image

    def build(self, instructions: int) -> Compiled:
        setup = self._part(self._fill, 1)
        frame = self._part(self._instruction, instructions)
        code = tuple(CoreCode(setup=tuple(s), frame=tuple(f)) for s, f in zip(setup, frame, strict=True))
        segment = Segment(
            name="random",
            cores=code,
            image=self.image,
            dram_bytes=self.dram_bytes,
            inputs=(),
            outputs=(),
            layers=(),
        )
        return Compiled(chip=self.chip, segment=segment)

    def _part(self, step: Callable[[int], None], rounds: int) -> list[list[Instruction]]:
        """Return one program a core: `rounds` random steps for each, taken in random order, then HALT."""
        self.stored = []
        for core in self.cores:
            core.code, core.streams, core.count, core.number, core.held = [], [], [0, 0, 0, 0], [], None
        turns = np.repeat(np.arange(len(self.cores)), rounds)
        self.draw.rng.shuffle(turns)
        for n in turns.tolist():
            step(n)
        for n, core in enumerate(self.cores):
            while core.held is not None:
                self._dot(n)
            core.code.append(Halt(**self._waits_at_random(core)))
        return [core.code for core in self.cores]

    def _fill(self, n: int) -> None:
        """Load every parameter block, and noise into some regions."""
        core = self.cores[n]
        for i, region in enumerate(core.parameters):
            self._emit(n, Load(dram=i * _PARAMETER_BYTES, base=region.low, run=_PARAMETER_BYTES, count1=1, count2=1))
        for region in core.regions:
            if self.draw.chance(0.8):
                run = min(region.size, self.draw.between(1, 4096))
                low = self.draw.between(0, self.image.size - run)
                self._emit(n, Load(dram=low, base=region.low, run=run, count1=1, count2=1))

    def _instruction(self, n: int) -> None:
        kind = self.draw.rng.choice(["dot", "vec", "load", "store"], p=[0.4, 0.35, 0.15, 0.1])
        match kind:
            case "dot":
                self._dot(n)
            case "vec":
                self._vec(n)
            case "load":
                self._load(n)
            case _:
                self._store(n)

    def _dot(self, n: int) -> None:
        core = self.cores[n]
        regions = [core.regions[i] for i in self.draw.rng.permutation(len(core.regions))[:4]]
        ins = dot(self.draw, self.chip.core, self.draw.choice(core.parameters), regions, core.held)
        core.held = ins if ins.flags & DotFlag.HOLD else None
        self._emit(n, ins)

    def _vec(self, n: int) -> None:
        core = self.cores[n]
        regions = [core.regions[i] for i in self.draw.rng.permutation(len(core.regions))[:3]]
        self._emit(n, vec(self.draw, self.chip.core, self.draw.choice(core.parameters), regions))

    def _copy(self, region: Region, room: int) -> dict[str, int]:
        """Return a strided copy with at most `room` bytes of reach on either side, DRAM addresses from 0."""
        draw, atom = self.draw, self.chip.core.atom_bytes
        count1, count2 = draw.between(1, 4), draw.between(1, 3)
        limit = min(room, region.size) // 2
        run = draw.between(1, max(1, limit // (count1 * count2 + 1) // 2))
        fields = {"run": run, "count1": count1, "count2": count2}
        for side, unit in (("dram", 1), ("base", atom)):
            inner = -(-run // unit) * unit + unit * draw.between(0, 2)
            outer = inner * count1 + unit * draw.between(0, 2)
            steps = [inner, outer]
            if draw.chance(0.3):  # the other way round: groups inside runs
                steps = [inner * count2, inner]
            fields[f"{side}_step1"], fields[f"{side}_step2"] = steps
        return fields

    def _load(self, n: int) -> None:
        core, draw = self.cores[n], self.draw
        region = draw.choice(core.regions)
        room = min(region.size, 2048)
        sources = [s for s in self.stored if s.high - s.low >= 16]
        if sources and draw.chance(0.6):
            stored = draw.choice(sources)
            run = draw.between(1, min(stored.high - stored.low, region.size))
            ins = Load(dram=draw.between(stored.low, stored.high - run), base=region.low, run=run, count1=1, count2=1)
            if stored.core != n:
                ins = dataclasses.replace(ins, peer_core=stored.core, wait_peer=stored.number)
            self._emit(n, ins)
            return
        ins = Load(base=region.low, **self._copy(region, room))
        while _reach(ins, "base") > region.size:
            ins = Load(base=region.low, **self._copy(region, room))
        if draw.chance(0.1):  # the same bytes for every run
            ins = dataclasses.replace(ins, dram_step1=0)
        low, high = dram_span(ins)
        self._emit(n, dataclasses.replace(ins, dram=draw.between(0, self.image.size - (high - low))))

    def _store(self, n: int) -> None:
        core, draw = self.cores[n], self.draw
        region = draw.choice(core.regions)
        ins = Store(base=region.low, **self._copy(region, 2048))
        while _reach(ins, "base") > region.size:
            ins = Store(base=region.low, **self._copy(region, 2048))
        at = self.dram_bytes + draw.between(0, 40)
        low, high = dram_span(ins)
        self.dram_bytes = at + high - low
        self._emit(n, dataclasses.replace(ins, dram=at))
        self.stored.append(_Stored(n, core.count[Engine.STORE], at, at + high - low))

    def _emit(self, n: int, ins: Instruction) -> None:
        """Append the instruction with waits that make it legal."""
        core = self.cores[n]
        mine, engine = streams(ins), ENGINE_OF[ins.opcode]
        need = [0, 0, 0, 0]
        for i, earlier in enumerate(core.code):
            other = ENGINE_OF[earlier.opcode]
            same = other == engine
            if conflict(core.streams[i], mine, self.chip.core.scratchpad.bank_bytes, same_engine=same) or (
                not same and _meet_in_dram(earlier, ins)
            ):
                need[other] = core.number[i]
        mood = self.draw.rng.random()
        for e in Engine:
            most = core.count[e]
            if mood < 0.2:
                need[e] = most
            elif mood < 0.5:
                need[e] = self.draw.between(need[e], most)
        ins = dataclasses.replace(ins, **dict(zip(WAITS, need, strict=True)))
        if not ins.wait_peer and len(self.cores) > 1 and self.draw.chance(0.1):
            peer = self.draw.between(0, len(self.cores) - 1)
            done = self.cores[peer].count[Engine.STORE]
            if peer != n and done:
                ins = dataclasses.replace(ins, peer_core=peer, wait_peer=self.draw.between(1, done))
        core.code.append(ins)
        core.streams.append(mine)
        core.count[engine] += 1
        core.number.append(core.count[engine])

    def _waits_at_random(self, core: _Core) -> dict[str, int]:
        return {name: self.draw.between(0, n) for name, n in zip(WAITS, core.count, strict=True)}


def _reach(ins: Instruction, side: str) -> int:
    steps = [(getattr(ins, f"{side}_step{i}"), getattr(ins, f"count{i}")) for i in (1, 2)]
    return ins.run + sum(step * (count - 1) for step, count in steps)


def _meet_in_dram(a: Instruction, b: Instruction) -> bool:
    """Return whether a LOAD and a STORE touch the same bytes (one engine keeps its own order)."""
    if {a.opcode, b.opcode} != {Opcode.LOAD, Opcode.STORE}:
        return False
    (low_a, high_a), (low_b, high_b) = dram_span(a), dram_span(b)
    return low_a < high_b and low_b < high_a
