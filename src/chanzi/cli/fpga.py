"""``chanzi fpga``: a chip placed and routed on a board; ``chanzi fpga run``: a network on a board that is there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from chanzi.cli.console import note, say, say_json, stages, working
from chanzi.cli.network import DEFAULT_MODEL, Choices, described, feeds, find, opened
from chanzi.cli.tables import output_lines

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

    Takes minutes for a small chip and hours for one that fills the part; what was made is kept. The exit code is 1
    where the routed design does not bear the chip's clock: another seed may.

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


@app.command
def run(
    *inputs: Path,
    port: str,
    model: Annotated[str, Parameter(name=["--model", "-m"])] = DEFAULT_MODEL,
    chip: Annotated[str, Parameter(name=["--chip", "-c"])] = "chanzi-8",
    board: Annotated[str, Parameter(name=["--board", "-b"])] = DEFAULT_BOARD,
    calibrate: Path | None = None,
    json: bool = False,
) -> int:
    """Run a network on a board over its serial line, and hold every output to the simulator.

    The exit code is 1 where a byte differs.

    Parameters
    ----------
    inputs
        Photos, .npy or .npz files, or folders of them. Without any: an example, or noise.
    port
        The serial line: /dev/ttyUSB0, COM3.
    model
        An .onnx or .chz file, or the name of a network of the zoo.
    chip
        The chip that the board's bitstream was made of.
    board
        The board's name or .toml file.
    calibrate
        A folder of photos, or an .npz, to quantize a float network with.
    json
        Write JSON.
    """
    from chanzi.flow.board import open_serial
    from chanzi.flow.boards import load_board
    from chanzi.runtime.board import compare_on_board

    described_chip, described_board = described(chip), load_board(board)
    named = find(model)
    choices = Choices(calibrate=calibrate)
    with opened(named, chip, choices, inputs, "fast") as session:
        frames = feeds(named, session, inputs, choices.pre)
        with (
            open_serial(port, described_chip, described_board) as line,
            working(f"running on {described_board.name}", len(frames)) as advance,
        ):
            found = compare_on_board(
                session.model, [feed for _, feed in frames], line, described_board.memory_bytes, lambda: advance(1)
            )
    equal = all(frame.different == 0 for frame in found)
    if json:
        say_json(
            {
                "model": named.name,
                "board": described_board.name,
                "equal": equal,
                "frames": [
                    {"input": what, "different": frame.different, "cycles": frame.cycles, "seconds": frame.seconds}
                    for (what, _), frame in zip(frames, found, strict=True)
                ],
            }
        )
        return 0 if equal else 1
    for (what, _), frame in zip(frames, found, strict=True):
        say(f"input: {what}")
        for name, value in frame.outputs.items():
            for text in output_lines(name, value):
                say(f"  {text}")
        verdict = "every output equals the simulator's" if not frame.different else f"{frame.different} outputs differ"
        ms = 1e3 * frame.cycles / described_chip.clock_hz
        say(f"  {frame.cycles:,} cycles ({ms:.3g} ms on the chip, {frame.seconds:.3g} s with the line); {verdict}")
    return 0 if equal else 1


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
