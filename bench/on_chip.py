"""A network of the zoo on a chip: quantized, compiled, ready to run, with the QDQ network that judges it."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measures import Arrays

import chanzi
from chanzi.runtime.build import JUDGE
from chanzi.runtime.execute import Executor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnChip:
    """One compiled network; `edges` are the values that leave the chip, the network's own outputs among them or not."""

    executor: Executor
    outputs: tuple[str, ...]
    edges: tuple[str, ...]
    macs_share: float
    host_ops: dict[str, int]
    cycles: int
    latency_ms: float
    compile_seconds: float

    @property
    def qdq(self) -> bytes:
        """The QDQ network, for ONNX Runtime."""
        return bytes(self.executor.model.attachments[JUDGE])

    def run(self, feed: Arrays) -> Arrays:
        """Return one frame's outputs and edges by name."""
        return next(iter(self.executor.run([feed], list(dict.fromkeys((*self.outputs, *self.edges))))))


def build(path: Path, chip: str, calibration: Sequence[Arrays], method: str) -> OnChip:
    """Quantize and compile the float ONNX file at `path` for `chip`."""
    start = time.perf_counter()
    model = chanzi.compile(path, chip=chip, calibration=calibration, method=method)
    seconds = time.perf_counter() - start
    timing = chanzi.Session(model).timing()
    macs = {where: sum(row.macs for row in model.placement if row.where == where) for where in ("chip", "host")}
    return OnChip(
        executor=Executor(model),
        outputs=tuple(output.name for output in model.outputs),
        edges=tuple(binding.tensor for step in model.chip_steps for binding in step.outputs),
        macs_share=macs["chip"] / max(sum(macs.values()), 1),
        host_ops=dict(sorted(Counter(op for step in model.host_steps for op in step.ops).items())),
        cycles=timing.cycles,
        latency_ms=1e3 * timing.latency_s,
        compile_seconds=seconds,
    )
