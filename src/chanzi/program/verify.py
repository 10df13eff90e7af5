"""Whether a compiled network is legal for its chip: what a program from elsewhere must pass before it runs."""

from chanzi.isa.legality import illegal
from chanzi.isa.ordering import check_program
from chanzi.program.model import CompiledModel


def verify(model: CompiledModel) -> int:
    """Check all code of `model` and return the number of instructions checked.

    Raises
    ------
    ProgramError
        Names the first instruction that is illegal and the rule it breaks.
    """
    count = 0
    for step in model.chip_steps:
        segment = step.segment
        for codes in ([core.setup for core in segment.cores], [core.frame for core in segment.cores]):
            check_program(model.chip, codes, dram_bytes=segment.dram_bytes, image_bytes=len(segment.image))
            for core, code in enumerate(codes):
                for index, ins in enumerate(code):
                    if ins.layer >= max(len(segment.layers), 1):
                        raise illegal(core, index, ins, f"layer {ins.layer} of {len(segment.layers)}")
            count += sum(len(code) for code in codes)
    return count
