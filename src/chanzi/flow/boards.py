"""FPGA boards as data: part, pins, oscillator, serial line. A board is a file `boards/NAME.toml`."""

import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import msgspec

from chanzi.errors import FlowError, did_you_mean

PARTS = {"LFE5U-25F": "25k", "LFE5U-45F": "45k", "LFE5U-85F": "85k"}
"""Device -> nextpnr's name of it."""
_PINS = {"clk": 1, "rx": 1, "tx": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaBoard:
    """A board with an ECP5.

    Parameters
    ----------
    name, description : str
    device, package : str
        The part, as its maker writes it.
    speed : int
        Its speed grade, 6 to 8.
    oscillator_hz : int
        The clock on pin `clk`.
    memory_bytes : int
        Block RAM in the place of the chip's DRAM, a power of two.
    baud : int
        Bits a second of the serial line, at most.
    pins : dict
        `clk`, `rx` (into the FPGA), `tx`: one site each; `led`: some; `high`: those that the board wants at 1.
    loader : str
        openFPGALoader's name of the board.
    sources : dict
        Where the figures come from.
    """

    name: str
    description: str
    device: str
    package: str
    speed: int
    oscillator_hz: int
    memory_bytes: int
    baud: int
    pins: dict[str, tuple[str, ...]]
    loader: str = ""
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.device not in PARTS:
            raise FlowError(f"{self.name}: no device '{self.device}'", hint=did_you_mean(self.device, PARTS))
        if self.speed not in (6, 7, 8):
            raise FlowError(f"{self.name}: speed grade {self.speed}", hint="6, 7 or 8")
        if not 8_000_000 <= self.oscillator_hz <= 400_000_000:
            raise FlowError(f"{self.name}: oscillator of {self.oscillator_hz} Hz", hint="the PLL takes 8 to 400 MHz")
        if self.memory_bytes < 1024 or self.memory_bytes & (self.memory_bytes - 1):
            raise FlowError(f"{self.name}: memory of {self.memory_bytes} bytes", hint="a power of two from 1024 on")
        unknown = set(self.pins) - {*_PINS, "led", "high"}
        if unknown or any(len(self.pins.get(name, ())) != n for name, n in _PINS.items()):
            raise FlowError(f"{self.name}: pins are not those of a board", hint="clk, rx, tx, and led, high if any")

    @property
    def leds(self) -> int:
        """How many LEDs there are."""
        return len(self.pins.get("led", ()))

    @property
    def highs(self) -> int:
        """How many pins rest at 1."""
        return len(self.pins.get("high", ()))


def boards() -> dict[str, str]:
    """Return the boards that are known: name -> TOML text."""
    folder = resources.files("chanzi.flow") / "boards"
    files = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {f.name.removesuffix(".toml"): f.read_text("utf-8") for f in files if f.name.endswith(".toml")}


def load_board(name: str) -> FpgaBoard:
    """Return the board of that name, or of that .toml file.

    Raises
    ------
    FlowError
        There is no such board, or its file describes none.
    """
    known = boards()
    path = Path(name)
    if name in known:
        text, origin = known[name], f"board {name}"
    elif path.suffix == ".toml":
        origin = str(path)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise FlowError(f"cannot read {path}", hint="a board is a TOML file") from None
    else:
        raise FlowError(f"no board '{name}'", hint=did_you_mean(name, known) + "; or give a .toml file")
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FlowError(f"{origin} is not valid TOML: {error}", hint="see the boards in chanzi/flow/boards") from None
    keys = FpgaBoard.__dataclass_fields__
    for key in given:
        if key not in keys:
            raise FlowError(f"{origin}: unknown key '{key}'", hint=did_you_mean(key, keys))
    try:
        return msgspec.convert(given, FpgaBoard)
    except msgspec.ValidationError as error:
        raise FlowError(f"{origin}: {error}", hint="see the boards in chanzi/flow/boards") from None


def constraints(board: FpgaBoard) -> str:
    """Return the board's pins as an LPF file, for the ports of `chanzi.rtl.ecp5.Ecp5Top`."""
    lines = [f'FREQUENCY PORT "clk" {board.oscillator_hz / 1e6:g} MHZ;']
    for name, sites in board.pins.items():
        for i, site in enumerate(sites):
            port = name if name in _PINS or len(sites) == 1 else f"{name}[{i}]"
            lines += [f'LOCATE COMP "{port}" SITE "{site}";', f'IOBUF PORT "{port}" IO_TYPE=LVCMOS33;']
    return "\n".join(lines) + "\n"
