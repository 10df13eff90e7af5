"""Stage `quantize`: the candidate in 8 bits, calibrated on frames that were kept."""

from chanzi.drive.engine.interface import INT8, Quantized
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Candidate, Integer
from chanzi.drive.engine.stages.train import lesson


def quantize(loop: Loop, turn: int) -> Integer:
    """Quantize this turn's candidate."""
    network = loop.outcome(turn, "train", Candidate).network
    (done,) = loop.run([loop.make.quantize(network, lesson(loop, turn))], turn, "quantize")
    return Integer(int8=done.files[INT8], path_change_m=done.as_(Quantized).path_change_m)
