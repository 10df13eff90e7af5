"""Run single instructions on a scratchpad filled by hand."""

import numpy as np

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.isa.instruction import Halt
from chanzi.program.program import Compiled, CoreCode, Segment

PAD_BYTES = 1 << 18


def chip(dim: int = 16) -> Chip:
    return Chip(
        name="one",
        clock_hz=100_000_000,
        core=Core(dim=dim, scratchpad=Scratchpad(bytes=PAD_BYTES, banks=64)),
        dram=Dram(bytes_per_s=1_000_000_000),
    )


def compiled(*frame, image=(), setup=(), dim: int = 16, dram_bytes: int = 0) -> Compiled:
    image = np.array(image, np.uint8)
    code = CoreCode(setup=(*setup, Halt()), frame=(*frame, Halt()))
    segment = Segment(
        name="one",
        cores=(code,),
        image=image,
        dram_bytes=max(dram_bytes, image.size),
        inputs=(),
        outputs=(),
        layers=(),
    )
    return Compiled(chip=chip(dim), segment=segment)


class Pad:
    """A scratchpad under construction: `put` returns where an array went."""

    def __init__(self):
        self.bytes = np.zeros(PAD_BYTES, np.uint8)
        self.at = 0

    def put(self, array) -> int:
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        at = self.at
        self.bytes[at : at + data.size] = data
        self.at = -(-(at + data.size) // 64) * 64
        return at

    def room(self, n: int) -> int:
        return self.put(np.zeros(n, np.uint8))

    def run(self, simulator, *instructions, dim: int = 16) -> np.ndarray:
        machine = simulator(compiled(*instructions, dim=dim))
        machine.scratchpads[0][:] = self.bytes
        machine.step()
        return machine.scratchpads[0]


def plain(side: str, rows: int, run: int) -> dict[str, int]:
    """Fields of a stream of contiguous rows."""
    fields = {
        "count": rows,
        "row_width": rows,
        "line_stride": rows * run,
        "height": 1,
        "width_bytes": rows * run,
        "x_step": run,
        "tap_x_step": run,
        "run": run,
        "y_step": 1,
        "tap_y_step": 1,
        "taps_y": 1,
        "taps_x": 1,
    }
    return {f"{side}_{name}": value for name, value in fields.items()}
