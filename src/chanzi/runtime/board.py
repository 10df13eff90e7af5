"""A network on a board, frame by frame, beside the fast simulator."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chanzi.flow.board import Board, Stream
from chanzi.flow.board_run import Simulator
from chanzi.program.model import CompiledModel
from chanzi.program.program import Compiled
from chanzi.runtime.execute import Executor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoardFrame:
    """What a board made of a frame.

    Attributes
    ----------
    outputs : dict
    different : int
        Output elements that the simulator has otherwise.
    cycles : int
        The chip's, for its pieces of the network, without setup.
    seconds : float
        With the serial line and the host's part.
    """

    outputs: Mapping[str, Any]
    different: int
    cycles: int
    seconds: float


def compare_on_board(
    model: CompiledModel,
    feeds: Sequence[Mapping[str, Any]],
    stream: Stream,
    memory_bytes: int,
    done: Callable[[], None] = lambda: None,
) -> list[BoardFrame]:
    """Run each feed on the board behind `stream` and on the fast simulator.

    Raises
    ------
    FlowError
        The board does not answer, holds another chip, or has too little memory.
    """
    board, machines = Board(stream), []

    def machine(compiled: Compiled) -> Simulator:
        machines.append(Simulator(compiled, board, memory_bytes=memory_bytes))
        return machines[-1]

    names = [info.name for info in model.outputs]
    wanted = Executor(model).run(feeds, names)
    found = []
    for mine, seconds, theirs in _timed(Executor(model, machine=machine).run(feeds, names), wanted):
        different = sum(int((np.asarray(mine[name]) != np.asarray(theirs[name])).sum()) for name in names)
        cycles = sum(each.frame_cycles for each in machines)
        found.append(BoardFrame(outputs=mine, different=different, cycles=cycles, seconds=seconds))
        done()
    return found


def _timed(slow: Iterator[Any], other: Iterator[Any]) -> Iterator[tuple[Any, float, Any]]:
    while True:
        start = time.perf_counter()
        try:
            mine = next(slow)
        except StopIteration:
            return
        yield mine, time.perf_counter() - start, next(other)
