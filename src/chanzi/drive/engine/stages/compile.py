"""Stage `compile`: the candidate as a program of the chip, timed, and held against ONNX Runtime on real frames."""

from chanzi.drive.engine.interface import PROGRAM, Compiled
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Integer, Programmed
from chanzi.drive.engine.stages.train import lesson


def compile_network(loop: Loop, turn: int) -> Programmed:
    """Compile this turn's candidate."""
    int8 = loop.outcome(turn, "quantize", Integer).int8
    (done,) = loop.run([loop.make.compile(int8, lesson(loop, turn))], turn, "compile")
    return Programmed(program=done.files[PROGRAM], compiled=done.as_(Compiled))
