"""A self-checking test bench in SystemVerilog: a memory behind the AXI4 port, a program, what it must leave there."""

from collections.abc import Sequence

from chanzi.chip.chip import Chip
from chanzi.rtl.axi import ADDRESS_BITS
from chanzi.rtl.control import CODE_BASE, CODE_STEP

TEMPLATE = """\
// Runs one program on chanzi_top and compares DRAM and cycles with what the simulators say.
// With Verilator: verilator --binary --timing -Wno-fatal -Wno-lint -f chanzi.f --top-module chanzi_bench
// and then obj_dir/Vchanzi_bench
module chanzi_bench;
  localparam BEAT = {beat};
  localparam SIZE = {size};
  localparam LATENCY = {latency};
  reg clk = 0, rst = 1;
  always #1 clk = ~clk;

  wire arvalid, rready, awvalid, wvalid, wlast, bready, halted;
  wire [{addr_bits}-1:0] araddr, awaddr;
  wire [7:0] arlen, awlen;
  wire [8*BEAT-1:0] wdata;
  wire [BEAT-1:0] wstrb;
  reg [31:0] ctl_addr = 0, ctl_wdata = 0;
  reg ctl_write = 0;
  wire [31:0] ctl_rdata;
  reg [8*BEAT-1:0] rdata;
  wire rvalid, rlast, bvalid;

  chanzi_top chip (.clk(clk), .rst(rst), .halted(halted),
    .ctl_addr(ctl_addr), .ctl_write(ctl_write), .ctl_wdata(ctl_wdata), .ctl_rdata(ctl_rdata),
    .axi_arvalid(arvalid), .axi_arready(1'b1), .axi_araddr(araddr), .axi_arlen(arlen),
    .axi_rvalid(rvalid), .axi_rready(rready), .axi_rdata(rdata), .axi_rresp(2'b00), .axi_rlast(rlast),
    .axi_awvalid(awvalid), .axi_awready(1'b1), .axi_awaddr(awaddr), .axi_awlen(awlen),
    .axi_wvalid(wvalid), .axi_wready(1'b1), .axi_wdata(wdata), .axi_wstrb(wstrb), .axi_wlast(wlast),
    .axi_bvalid(bvalid), .axi_bready(bready), .axi_bresp(2'b00));

  // memory: in order, LATENCY cycles from a request to its first beat, from the last beat to the response
  reg [7:0] mem [0:SIZE-1];
  reg [7:0] want [0:SIZE-1];
  longint now = 0;
  longint r_at [$], r_addr [$], r_left [$], w_addr [$], b_at [$];
  longint at_w = 0;
  reg writing = 0;
  integer i;
  reg r_have = 0, b_have = 0, r_end = 0;
  assign rvalid = r_have;
  assign rlast = r_end;
  assign bvalid = b_have;
  always @(posedge clk) begin
    now <= now + 1;
    if (arvalid) begin
      r_at.push_back(now + 1 + LATENCY); r_addr.push_back(araddr / BEAT * BEAT); r_left.push_back(arlen);
    end
    if (awvalid) w_addr.push_back(awaddr / BEAT * BEAT);
    if (wvalid) begin
      if (!writing) at_w = w_addr.pop_front();
      for (i = 0; i < BEAT; i = i + 1) if (wstrb[i]) mem[at_w + i] = wdata[8*i +: 8];
      at_w = at_w + BEAT;
      writing = !wlast;
      if (wlast) b_at.push_back(now + 1 + LATENCY);
    end
    if (r_have && rready) begin
      if (r_left[0] == 0) begin void'(r_at.pop_front()); void'(r_addr.pop_front()); void'(r_left.pop_front()); end
      else begin r_left[0] = r_left[0] - 1; r_addr[0] = r_addr[0] + BEAT; end
    end
    if (r_at.size() > 0 && r_at[0] <= now + 1) begin
      r_have <= 1;
      r_end <= r_left[0] == 0;
      for (i = 0; i < BEAT; i = i + 1) rdata[8*i +: 8] <= mem[r_addr[0] + i];
    end else r_have <= 0;
    if (b_have && bready) void'(b_at.pop_front());
    b_have <= b_at.size() > 0 && b_at[0] <= now + 1;
  end

{code_arrays}
  integer wrong = 0, n;
  task write_control(input [31:0] address, input [31:0] value);
    begin
      ctl_addr <= address; ctl_wdata <= value; ctl_write <= 1;
      @(posedge clk);
      ctl_write <= 0;
    end
  endtask
  task read_control(input [31:0] address, output [31:0] value);
    begin
      ctl_addr <= address;
      @(posedge clk); @(posedge clk); #0 value = ctl_rdata;
      @(posedge clk); value = ctl_rdata;
    end
  endtask
  task run_part(input longint cycles);
    reg [31:0] got;
    begin
      write_control(32'h0, 32'h1);
      @(posedge clk); @(posedge clk);
      while (!halted) @(posedge clk);
      read_control(32'h8, got);
      if (got != cycles) begin $display("cycles %0d, not %0d", got, cycles); wrong = wrong + 1; end
      read_control(32'h4, got);
      if (got[2]) begin $display("a core stopped with an error"); wrong = wrong + 1; end
    end
  endtask

  initial begin
    for (i = 0; i < SIZE; i = i + 1) begin mem[i] = 0; want[i] = 0; end
    $readmemh("image.hex", mem);
    $readmemh("expected.hex", want);
{read_code}
    repeat (4) @(posedge clk);
    rst <= 0;
    @(posedge clk);
{run_code}
    for (i = 0; i < SIZE; i = i + 1) if (mem[i] !== want[i]) begin
      if (wrong < 10) $display("DRAM %0d is %02x, not %02x", i, mem[i], want[i]);
      wrong = wrong + 1;
    end
    if (wrong == 0) $display("PASS");
    else begin $display("FAIL: %0d differences", wrong); $fatal(1); end
    $finish;
  end
endmodule
"""


def test_bench(chip: Chip, *, memory_bytes: int, lengths: Sequence[tuple[int, int]], cycles: tuple[int, int]) -> str:
    """Return the bench.

    Parameters
    ----------
    memory_bytes : int
        DRAM to simulate, a whole number of beats.
    lengths : sequence of (int, int)
        32-bit words of setup and frame code of each core.
    cycles : (int, int)
        That setup and frame must take.
    """
    arrays, read, run = [], [], []
    for part, what in enumerate(("setup", "frame")):
        for core, words in enumerate(lengths):
            name = f"{what}{core}"
            arrays.append(f"  reg [31:0] {name} [0:{words[part] - 1}];")
            read.append(f'    $readmemh("{name}.hex", {name});')
            base = CODE_BASE + core * CODE_STEP
            loop = f"for (n = 0; n < {words[part]}; n = n + 1)"
            run.append(f"    {loop} write_control(32'h{base:08x} + 4 * n, {name}[n]);")
        run.append(f"    run_part({cycles[part]});")
    return TEMPLATE.format(
        beat=chip.dram.beat_bytes,
        size=memory_bytes,
        latency=chip.dram_latency_cycles,
        addr_bits=ADDRESS_BITS,
        code_arrays="\n".join(arrays),
        read_code="\n".join(read),
        run_code="\n".join(run),
    )
