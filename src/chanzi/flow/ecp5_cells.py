"""Verilog models of the ECP5 cells in a netlist after synthesis, for simulation.

Look-up tables, carries, multiplexers, flip-flops and distributed RAM are yosys' own models, read from its installation.
It has none of block RAM and multipliers; those here follow Lattice's usage guides of ECP5 memory and sysDSP
(FPGA-TN-02204, FPGA-TN-02205), as far as yosys uses the cells: no output registers, chip selects at 0, multipliers
without registers.
"""

import re
from pathlib import Path

from chanzi.errors import FlowError

_FILES = ("common_sim.vh", "ccu2c_sim.vh")


def cell_models() -> str:
    """Return the models.

    Raises
    ------
    FlowError
        yosys is not installed, or not where its wheel has it.
    """
    try:
        import pyosys
    except ImportError:
        raise FlowError("yosys is not installed", hint="pip install 'chanzi[fpga]'") from None
    folder = Path(str(pyosys.__file__)).parent / "share" / "lattice"
    try:
        texts = [(folder / name).read_text() for name in _FILES]
    except OSError:
        raise FlowError(f"yosys has no ECP5 models in {folder}", hint="pip install --upgrade pyosys") from None
    plain = [re.sub(r"^\s*specify\b.*?^\s*endspecify\b", "", text, flags=re.MULTILINE | re.DOTALL) for text in texts]
    plain = [re.sub(r"^`include .*$", "", text, flags=re.MULTILINE) for text in plain]  # pads and old names of cells
    return "\n".join([*plain, _block_ram(), _multiplier()])


def _bits(name: str, count: int) -> str:
    """Return the single bits of a bus as they are named in the cells, highest first."""
    return ", ".join(f"{name}{i}" for i in reversed(range(count)))


_PORT = """
  // port @P@
  wire clk_@p@ = CLK@P@MUX == "INV" ? ~CLK@P@ : CLK@P@;
  wire [13:0] at_@p@ = {@ADDRESS@};
  wire [17:0] in_@p@ = {@INPUT@};
  wire [9:0] row_@p@ = at_@p@[13:4];
  wire [17:0] old_@p@ = mem[row_@p@];
  // bits of the row that a narrow word takes, and the data moved there
  wire [4:0] low_@p@ = DATA_WIDTH_@P@ == 18 ? 5'd0 : (at_@p@[3] ? 5'd9 : 5'd0) +
      (DATA_WIDTH_@P@ == 4 ? {at_@p@[2], 2'b0} : DATA_WIDTH_@P@ == 2 ? {at_@p@[2:1], 1'b0} :
       DATA_WIDTH_@P@ == 1 ? at_@p@[2:0] : 3'd0);
  wire [17:0] ones_@p@ = DATA_WIDTH_@P@ == 18 ? {{9{at_@p@[1]}}, {9{at_@p@[0]}}} : ((18'd1 << DATA_WIDTH_@P@) - 18'd1);
  wire [17:0] mask_@p@ = ones_@p@ << low_@p@;
  wire [17:0] new_@p@ = (old_@p@ & ~mask_@p@) | (in_@p@ << low_@p@ & mask_@p@);
  reg [17:0] out_@p@ = 0;
  always @(posedge clk_@p@) if (CE@P@ && DATA_WIDTH_@P@ != 36) begin
    if (WE@P@) mem[row_@p@] <= new_@p@;
    if (RST@P@) out_@p@ <= 0;
    else if (!WE@P@ || WRITEMODE_@P@ == "READBEFOREWRITE") out_@p@ <= old_@p@ >> low_@p@;
    else if (WRITEMODE_@P@ == "WRITETHROUGH") out_@p@ <= new_@p@ >> low_@p@;
  end
"""

_WIDE = """
  // port A writes 36 bits, port B reads them
  integer i;
  always @(posedge clk_a) if (CEA && WEA && DATA_WIDTH_A == 36) for (i = 0; i < 2; i = i + 1) begin
    if (at_a[i]) mem[{at_a[13:5], 1'b0}][9*i +: 9] <= in_a[9*i +: 9];
    if (at_a[i + 2]) mem[{at_a[13:5], 1'b1}][9*i +: 9] <= in_b[9*i +: 9];
  end
  reg [35:0] wide = 0;
  always @(posedge clk_b) if (CEB && DATA_WIDTH_B == 36)
    wide <= RSTB ? 36'd0 : {mem[{at_b[13:5], 1'b1}], mem[{at_b[13:5], 1'b0}]};
  assign {@OUTA@} = DATA_WIDTH_B == 36 ? wide[17:0] : out_a;
  assign {@OUTB@} = DATA_WIDTH_B == 36 ? wide[35:18] : out_b;
endmodule
"""


def _block_ram() -> str:
    """Return DP16KD: 1,024 rows of 18 bits, two halves of 9; a port's word is a row, two, or part of a half."""
    inits = [f"INITVAL_{i:02X}" for i in range(64)]
    ports: list[str] = []
    for p in "AB":
        ports += [f"input {_bits(f'DI{p}', 18)}, {_bits(f'AD{p}', 14)}, CE{p}, OCE{p}, CLK{p}, WE{p}, RST{p}"]
        ports += [f"input {_bits(f'CS{p}', 3)}", f"output {_bits(f'DO{p}', 18)}"]
    lines = ["module DP16KD (", "    " + ",\n    ".join(ports) + ");"]
    lines += ["  parameter [319:0] " + ", ".join(f"{name} = 320'd0" for name in inits) + ";"]
    lines += ['  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "ENABLED", INIT_DATA = "STATIC";']
    for p in "AB":
        lines += [f'  parameter DATA_WIDTH_{p} = 18, REGMODE_{p} = "NOREG", CSDECODE_{p} = "0b000";']
        lines += [f'  parameter WRITEMODE_{p} = "NORMAL", CLK{p}MUX = "CLK{p}";']
    lines += ["  localparam [20479:0] INIT = {" + ", ".join(reversed(inits)) + "};"]
    lines += ["  reg [17:0] mem [0:1023];", "  integer k;"]
    lines += ["  initial for (k = 0; k < 1024; k = k + 1) mem[k] = INIT[20*k +: 18];"]
    for p in "AB":
        text = _PORT.replace("@P@", p).replace("@p@", p.lower())
        lines += [text.replace("@ADDRESS@", _bits(f"AD{p}", 14)).replace("@INPUT@", _bits(f"DI{p}", 18))]
    return "\n".join(lines) + _WIDE.replace("@OUTA@", _bits("DOA", 18)).replace("@OUTB@", _bits("DOB", 18))


def _multiplier() -> str:
    """Return MULT18X18D without registers."""
    a, b, c, p = _bits("A", 18), _bits("B", 18), _bits("C", 18), _bits("P", 36)
    return f"""module MULT18X18D (input {a}, {b}, {c}, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, output {p});
  wire signed [18:0] x = {{SIGNEDA & A17, {a}}};
  wire signed [18:0] y = {{SIGNEDB & B17, {b}}};
  wire signed [37:0] product = x * y;
  assign {{{p}}} = product[35:0];
endmodule
"""
