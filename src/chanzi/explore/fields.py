"""Where the figures of a sketch, of a core, of units and jobs lie in their arrays; shared with the compiled loops."""

# A node: LOAD of a constant or input, what an engine computes, STORE of an output.
(N_ENGINE, N_PART, N_PARTS, N_LINES, N_LAYER, N_UNIFORM, N_SCALE) = range(7)
(N_BUFFER, N_START, N_LINE, N_STRIPES, N_RUN, N_RUNS, N_WHOLE, N_OPERAND, N_OPERANDS) = range(7, 16)
NODE_FIELDS = 16

# A part: fields of both engines, then what only DOT has, what only VEC has.
(P_ENGINE, P_HEIGHT, P_WIDTH, P_COUNT, P_FLAGS, P_TAPS_Y, P_TAPS_X, P_OPERAND, P_OPERANDS) = range(9)
(P_OUT, P_OUT_LINE, P_OUT_OFFSET, P_OUT_LINE_BYTES, P_OUT_Y, P_OUT_X, P_SCALE) = range(9, 16)
(P_WEIGHT_BYTES, P_PARAMETER_BYTES, P_COLUMN_BYTES, P_COLUMN_PARAMETER_BYTES) = range(16, 20)
(P_A_RUN, P_B_RUN, P_B_TAPS, P_RES_X) = range(20, 24)
(P_KIND, P_X_STEP, P_TAP_X, P_Y_STEP, P_TAP_Y, P_PAD_X, P_WIDTH_BYTES, P_SECOND_Y, P_SECOND_X, P_SCALAR) = range(24, 34)
PART_FIELDS = 34

# An operand: lines of a buffer that lines of the output read, and who writes them.
(O_ROLE, O_BUFFER, O_LINE0, O_OFFSET, O_LINE_BYTES, O_HEIGHT, O_Y_STEP, O_REACH, O_PAD_Y, O_WIDTH_BYTES) = range(10)
(O_X_STEP, O_PAD_X, O_X_REACH, O_NEEDED, O_BASE, O_STEM, O_PRODUCER, O_SOURCE, O_SOURCES) = range(10, 19)
OPERAND_FIELDS = 19
WINDOW, RESIDUAL, SECOND, COLUMNS = range(4)

# A source: the node that writes lines of an operand.
(S_NODE, S_HEIGHT, S_SHIFT) = range(3)
SOURCE_FIELDS = 3

# A core and its share of the bus.
(C_DIM, C_PORT, C_LANES, C_TAPS, C_BANK, C_BANKS, C_BEAT, C_PACE, C_LATENCY, C_SHARERS, C_QUEUE, C_ISSUE, C_ROW) = (
    range(13)
)
(C_EPILOGUE, C_VECTOR, C_ADD, C_SOFTMAX) = range(13, 17)
CORE_FIELDS = 17

# A unit: one stripe of a node (of one block of its columns); first pixel -1 where the node is not cut.
(U_NODE, U_FIRST, U_END, U_DONE, U_BLOCK, U_JOB, U_WORK, U_NEED) = range(8)
UNIT_FIELDS = 8

# A job: an instruction; a transfer has its span in J_DRAIN. Its spans are banks [first, end) of a buffer, and whether
# they outlive the next start.
(J_ENGINE, J_CYCLES, J_REST, J_DRAIN, J_SPACING, J_SPANS) = range(6)
SPAN_FIELDS = 4
JOB_FIELDS = 6 + 5 * SPAN_FIELDS

# Events, in the order of `chanzi.cost.events.EVENTS`.
(E_MACS, E_ZERO_MACS, E_OPERAND_BYTES, E_SUMS, E_EPILOGUE_FLOPS, E_VECTOR_MACS, E_VECTOR_FLOPS) = range(7)
(E_READS, E_WRITES, E_DRAM_BYTES, E_INSTRUCTIONS, E_ARRAY_CYCLES) = range(7, 12)
EVENT_COUNT = 12

LOAD, STORE, ARRAY, VECTOR = range(4)
BIAS, COLUMN_SCALE, TABLE, ADD, MUL, HOLD, RAW = 1, 2, 4, 8, 16, 64, 128
CLAMP_EDGE = 8
V_COPY, V_MAX, V_SUM, V_MAC, V_ADD, V_MUL, V_SOFTMAX = range(7)
MAX_SHARE, ARRAY_PIPELINE_CYCLES = 8, 10
START_CYCLES, REQUEST_CYCLES, FETCH_CYCLES, TURN_CYCLES, ARRIVAL_CYCLES, RESPONSE_CYCLES = 16, 7, 4, 4, 1, 3
SOFTMAX_FLOPS = 24
MIN_STRIPE_CYCLES = 300
OVERLAP_WINDOW, SLACK_NODES, PIPELINE_WINDOW = 16, 6, 12
"""As in `chanzi.isa`, `chanzi.cost.events` and `chanzi.compiler`: a compiled loop cannot read an enumeration's flags or
a private name. A test compares each with its original."""
