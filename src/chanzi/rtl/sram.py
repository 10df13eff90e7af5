"""Memories as macros: instances that a flow replaces by the foundry's, with the Verilog models that simulate them.

A synthesizer treats them as black boxes; the models are plain Verilog that every simulator reads. Contents start at 0.
"""

SRAM_MODEL = """\
// Single-ported SRAM: one read or one masked write a cycle; rdata holds the word read in the cycle before.
module chanzi_sram #(parameter DEPTH = 256, parameter WORD = 8, parameter ADDR = 8) (
    input wire clk, input wire en, input wire we, input wire [ADDR-1:0] addr,
    input wire [WORD-1:0] mask, input wire [8*WORD-1:0] wdata, output reg [8*WORD-1:0] rdata);
  reg [8*WORD-1:0] mem [0:DEPTH-1];
  integer i;
  initial for (i = 0; i < DEPTH; i = i + 1) mem[i] = {8*WORD{1'b0}};
  always @(posedge clk) begin
    if (en && !we) rdata <= mem[addr];
    if (en && we) for (i = 0; i < WORD; i = i + 1) if (mask[i]) mem[addr][8*i +: 8] <= wdata[8*i +: 8];
  end
endmodule
"""

CODE_MODEL = """\
// Instruction memory: written in 32-bit words by the host, read a whole instruction a cycle.
module chanzi_code #(parameter DEPTH = 256, parameter ADDR = 8) (
    input wire clk, input wire we, input wire [ADDR+5:0] waddr, input wire [31:0] wdata,
    input wire [ADDR-1:0] raddr, output reg [2047:0] rdata);
  reg [2047:0] mem [0:DEPTH-1];
  integer i;
  initial for (i = 0; i < DEPTH; i = i + 1) mem[i] = 2048'd0;
  always @(posedge clk) begin
    if (we) mem[waddr[ADDR+5:6]][32*waddr[5:0] +: 32] <= wdata;
    rdata <= mem[raddr];
  end
endmodule
"""

CODE_BLOCKS = """\
// Instruction memory as block RAMs of 32 bits, side by side.
(* keep_hierarchy *) module chanzi_code_word #(parameter DEPTH = 256, parameter ADDR = 8) (
    input wire clk, input wire we, input wire [ADDR-1:0] waddr, input wire [31:0] wdata,
    input wire [ADDR-1:0] raddr, output reg [31:0] rdata);
  reg [31:0] mem [0:DEPTH-1];
  always @(posedge clk) begin
    if (we) mem[waddr] <= wdata;
    rdata <= mem[raddr];
  end
endmodule
module chanzi_code #(parameter DEPTH = 256, parameter ADDR = 8) (
    input wire clk, input wire we, input wire [ADDR+5:0] waddr, input wire [31:0] wdata,
    input wire [ADDR-1:0] raddr, output wire [2047:0] rdata);
  genvar i;
  for (i = 0; i < 64; i = i + 1) begin : word
    chanzi_code_word #(.DEPTH(DEPTH), .ADDR(ADDR)) memory (.clk(clk), .we(we && waddr[5:0] == i),
        .waddr(waddr[ADDR+5:6]), .wdata(wdata), .raddr(raddr), .rdata(rdata[32*i +: 32]));
  end
endmodule
"""


def scratchpad_model(reads: int, writes: int) -> str:
    """Return a behavioural scratchpad of so many ports, for simulation of cores with thousands of banks.

    It has what the banked one promises to legal programs: every port a window of W bytes each cycle. Words are split
    into even and odd ones, as in the banks.
    """
    lines = [
        "// Behavioural scratchpad: the banked one as legal programs see it. Simulation only.",
        "module chanzi_scratchpad_model #(parameter BYTES = 1024, parameter W = 8, parameter LOGW = 3,",
        "                                 parameter ADDR = 10) (",
        "    input wire clk,",
    ]
    for i in range(reads):
        lines.append(f"    input wire r{i}_en, input wire [ADDR-1:0] r{i}_addr, output reg [8*W-1:0] r{i}_data,")
    for i in range(writes):
        ports = f"input wire w{i}_en, input wire [ADDR-1:0] w{i}_addr, input wire [W-1:0] w{i}_mask"
        lines.append(f"    {ports}, input wire [8*W-1:0] w{i}_data{',' if i < writes - 1 else ');'}")
    lines += [
        "  localparam HALF = (BYTES / W + 1) / 2;",
        "  reg [8*W-1:0] even [0:HALF-1];",
        "  reg [8*W-1:0] odd [0:HALF-1];",
        "  integer i;",
        "  initial for (i = 0; i < HALF; i = i + 1) begin even[i] = {8*W{1'b0}}; odd[i] = {8*W{1'b0}}; end",
    ]
    for i in range(reads):
        lines += [
            f"  reg r{i}_go, r{i}_then; reg [ADDR-1:0] r{i}_at; reg [LOGW:0] r{i}_skip; reg [8*W-1:0] r{i}_e, r{i}_o;",
            f"  wire [ADDR-LOGW-1:0] r{i}_word = r{i}_at[ADDR-1:LOGW];",
            f"  wire [16*W-1:0] r{i}_pair = r{i}_skip[LOGW] ? {{r{i}_e, r{i}_o}} : {{r{i}_o, r{i}_e}};",
            "  always @(posedge clk) begin",
            f"    r{i}_go <= r{i}_en;",
            f"    if (r{i}_en) r{i}_at <= r{i}_addr;",
            f"    r{i}_then <= r{i}_go;",
            f"    if (r{i}_go) begin",
            f"      r{i}_e <= even[(r{i}_word + 1'b1) >> 1];",
            f"      r{i}_o <= odd[r{i}_word >> 1];",
            f"      r{i}_skip <= r{i}_at[LOGW:0];",
            "    end",
            f"    if (r{i}_then) r{i}_data <= r{i}_pair >> {{r{i}_skip[LOGW-1:0], 3'b000}};",
            "  end",
        ]
    for i in range(writes):
        lines += [
            f"  reg w{i}_go; reg [ADDR-1:0] w{i}_at; reg [W-1:0] w{i}_m; reg [8*W-1:0] w{i}_d;",
            f"  wire [ADDR-LOGW-1:0] w{i}_word = w{i}_at[ADDR-1:LOGW];",
            f"  wire [2*W-1:0] w{i}_mm = {{{{W{{1'b0}}}}, w{i}_m}} << w{i}_at[LOGW-1:0];",
            f"  wire [16*W-1:0] w{i}_dd = {{{{8*W{{1'b0}}}}, w{i}_d}} << {{w{i}_at[LOGW-1:0], 3'b000}};",
            f"  wire w{i}_swap = w{i}_word[0];",
            f"  wire [W-1:0] w{i}_me = w{i}_swap ? w{i}_mm[2*W-1:W] : w{i}_mm[W-1:0];",
            f"  wire [W-1:0] w{i}_mo = w{i}_swap ? w{i}_mm[W-1:0] : w{i}_mm[2*W-1:W];",
            f"  wire [8*W-1:0] w{i}_de = w{i}_swap ? w{i}_dd[16*W-1:8*W] : w{i}_dd[8*W-1:0];",
            f"  wire [8*W-1:0] w{i}_do = w{i}_swap ? w{i}_dd[8*W-1:0] : w{i}_dd[16*W-1:8*W];",
            f"  integer w{i}_j;",
            "  always @(posedge clk) begin",
            f"    w{i}_go <= w{i}_en;",
            f"    if (w{i}_en) begin w{i}_at <= w{i}_addr; w{i}_m <= w{i}_mask; w{i}_d <= w{i}_data; end",
            f"    if (w{i}_go) for (w{i}_j = 0; w{i}_j < W; w{i}_j = w{i}_j + 1) begin",
            f"      if (w{i}_me[w{i}_j]) even[(w{i}_word + 1'b1) >> 1][8*w{i}_j +: 8] <= w{i}_de[8*w{i}_j +: 8];",
            f"      if (w{i}_mo[w{i}_j]) odd[w{i}_word >> 1][8*w{i}_j +: 8] <= w{i}_do[8*w{i}_j +: 8];",
            "    end",
            "  end",
        ]
    lines.append("endmodule")
    return "\n".join(lines) + "\n"
