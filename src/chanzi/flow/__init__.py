"""Outside tools, one file each: Verilog from Amaranth, Verilator's models, synthesis, place and route."""
