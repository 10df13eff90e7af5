"""``chanzi fpga``: a chip placed and routed on a board; ``chanzi fpga run``: a network on a board that is there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from chanzi.cli.console import note, say, say_json, stages
from chanzi.cli.network import described

if TYPE_CHECKING:
    from chanzi.flow.fpga import Placed

app = App(name="fpga", help="Place and route a chip on an FPGA board; run networks on it.")
DEFAULT_BOARD = "ulx3s-85f"


@app.default
def build(
    *,
    chip: Annotated[str, Parameter(name=["--chip", "-c"])] = "chanzi-8",
    board: Annotated[str, Parameter(name=["--board", "-b"])] = DEFAULT_BOARD,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    seed: int = 1,
    program: bool = False,
    json: bool = False,
) -> int:
    """Place and route a chip on an FPGA board: a bitstream, what it uses, and how fast it may run.

    Takes minutes the first time; what was made is kept. The exit code is 1 where the routed design does not bear the
    chip's clock: another seed may.

    Parameters
    ----------
    chip
        A preset's name or a .toml file.
    board
        A board's name or a .toml file.
    output
        A folder for the bitstream, the report and the pins.
    seed
        Of the placement.
    program
        Write the bitstream to the board with openFPGALoader.
    json
        Write JSON.
    """
    from chanzi.flow.boards import load_board
    from chanzi.flow.fpga import place, synthesize
    from chanzi.report import fpga as report

    described_chip, described_board = described(chip), load_board(board)
    with stages(f"{described_chip.name} on {described_board.name}") as tell:
        netlist = synthesize(described_chip, described_board, tell=tell)
        placed = place(netlist, described_chip, described_board, seed=seed, tell=tell)
    if output is not None:
        for path in report.write(placed, described_board, output):
            note(f"wrote {path}")
    if json:
        say_json(report.to_dict(placed))
    else:
        from chanzi.cli.tables import show

        show(report.used_table(placed))
        for line in report.lines(placed):
            say(line)
    if program:
        _program(placed, described_board.loader)
    return 0 if placed.holds else 1


def _program(placed: "Placed", loader: str) -> None:
    """Write the bitstream to the board."""
    import shutil
    import subprocess

    from chanzi.errors import FlowError

    tool = shutil.which("openFPGALoader")
    if tool is None:
        raise FlowError(
            "openFPGALoader is not on the PATH", hint="install it (Debian: openfpgaloader), or use -o DIR and your own"
        )
    if not loader:
        raise FlowError(f"{placed.board} has no openFPGALoader name", hint="give its file a `loader`")
    ran = subprocess.run([tool, "--board", loader, str(placed.bitstream)], check=False)
    if ran.returncode:
        raise FlowError(
            f"openFPGALoader ended with {ran.returncode}", hint="is the board plugged in, and yours to use?"
        )
