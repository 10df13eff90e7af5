"""The top on an ECP5: oscillator, PLL, reset, and `chanzi.rtl.host.BoardTop` behind them."""

from dataclasses import dataclass

from amaranth import ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Chip
from chanzi.errors import FlowError
from chanzi.rtl.host import BoardTop

VCO_HZ = (400_000_000, 800_000_000)
"""Limits of the PLL's oscillator; this and the next from Lattice's ECP5 family data sheet FPGA-DS-02012, sysCLOCK."""
PHASE_HZ = 3_125_000
"""The least that the PLL compares."""
RESET_CYCLES = 32
LEAST_DIVISOR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pll:
    """Dividers of an EHXPLLL whose feedback is its main output: ``hz = oscillator * multiply / divide``."""

    divide: int
    multiply: int
    out: int
    hz: float


def pll_for(oscillator_hz: int, clock_hz: int) -> Pll:
    """Return the dividers for the fastest clock that is not above `clock_hz`.

    Raises
    ------
    FlowError
        No dividers come within a tenth of it.
    """
    best: Pll | None = None
    for divide in range(1, 129):
        if oscillator_hz / divide < PHASE_HZ:
            break
        multiply = min(80, clock_hz * divide // oscillator_hz)
        hz = oscillator_hz * multiply / divide
        fits = [out for out in range(1, 129) if hz and VCO_HZ[0] <= hz * out <= VCO_HZ[1]]
        if fits and (best is None or hz > best.hz):
            middle = sum(VCO_HZ) / 2
            best = Pll(divide=divide, multiply=multiply, out=min(fits, key=lambda o: abs(hz * o - middle)), hz=hz)
    if best is None or best.hz < 0.9 * clock_hz:
        raise FlowError(
            f"the PLL cannot make {clock_hz / 1e6:g} MHz of {oscillator_hz / 1e6:g} MHz",
            hint="choose clock_hz between 4 and 400 MHz",
        )
    return best


def divisor_for(clock_hz: float, baud: int) -> int:
    """Return the clock cycles of a bit at the fastest speed, up to `baud`, that host and board agree on."""
    return max(LEAST_DIVISOR, -int(-clock_hz // baud))


class Ecp5Top(Component):
    """Ports: `clk`, the oscillator; `rx`, `tx`; `led`; `high`, which is 1.

    LED 0 is lit while the chip's cores run, LED 1 once the PLL has locked.

    Parameters
    ----------
    chip : Chip
    oscillator_hz : int
    memory_bytes, baud : int
        As a board has them.
    leds, highs : int
        Pins.
    """

    def __init__(
        self, chip: Chip, *, oscillator_hz: int, memory_bytes: int, baud: int, leds: int = 0, highs: int = 0
    ) -> None:
        self.pll = pll_for(oscillator_hz, chip.clock_hz)
        self.divisor = divisor_for(self.pll.hz, baud)
        self.board = BoardTop(chip, memory_bytes=memory_bytes, divisor=self.divisor, model=False)
        ports = {"clk": In(1), "rx": In(1), "tx": Out(1)}
        super().__init__(ports | ({"led": Out(leds)} if leds else {}) | ({"high": Out(highs)} if highs else {}))
        self.leds, self.highs = leds, highs

    def elaborate(self, platform: object) -> Module:
        """Return PLL, reset and chip."""
        del platform
        m, pll = Module(), self.pll
        m.domains.sync = ClockDomain()
        locked, steady = Signal(), Signal(2, reset_less=True)
        waited = Signal(range(RESET_CYCLES), reset_less=True)
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKOP=f"{pll.hz / 1e6:.6f}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKI_DIV=pll.divide,
            p_CLKFB_DIV=pll.multiply,
            p_CLKOP_DIV=pll.out,
            p_CLKOP_CPHASE=pll.out - 1,
            p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=self.clk,
            i_CLKFB=ClockSignal(),
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(0),
            i_PHASESTEP=Const(0),
            i_PHASELOADREG=Const(0),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=ClockSignal(),
            o_LOCK=locked,
        )
        m.d.sync += steady.eq(steady << 1 | locked)
        with m.If(~steady[1]):
            m.d.sync += waited.eq(0)
        with m.Elif(waited != RESET_CYCLES - 1):
            m.d.sync += waited.eq(waited + 1)
        reset = Signal(init=1, reset_less=True)
        m.d.sync += reset.eq(waited != RESET_CYCLES - 1)
        m.d.comb += ResetSignal().eq(reset)
        board = m.submodules.board = self.board
        m.d.comb += [board.rx.eq(self.rx), self.tx.eq(board.tx)]
        if self.leds:
            m.d.comb += self.led.eq(board.busy | steady[1] << 1)
        if self.highs:
            m.d.comb += self.high.eq(-1)
        return m
