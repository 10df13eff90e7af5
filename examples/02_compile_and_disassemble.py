"""Compile a network into a program file, read it back, and print its instructions layer by layer.

python examples/02_compile_and_disassemble.py digits.chz
"""

import sys
from pathlib import Path

import chanzi
from chanzi import zoo
from chanzi.isa.disasm import disassemble
from chanzi.program import container


def main() -> None:
    """Compile, write, read, disassemble."""
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "digits.chz")
    model = chanzi.compile(zoo.fetch("digits"), chip="chanzi-16", calibration=zoo.calibration("digits"))
    print(f"{container.write(file, model):,} bytes in {file}\n")

    again = container.read(file)  # memory-mapped, every section's hash checked, every instruction legal for the chip
    for step in again.chip_steps:
        segment = step.segment
        print(f"{segment.name}: {segment.image.nbytes:,} bytes of weights, {segment.dram_bytes:,} of DRAM")
        for index, core in enumerate(segment.cores):
            print(f"\ncore {index}, for every frame:")
            for line in disassemble(core.frame, [layer.name for layer in segment.layers]):
                print(line)


if __name__ == "__main__":
    main()
