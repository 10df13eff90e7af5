"""The timing rules' closed forms against loops that take one tile, one word, one beat at a time."""

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.isa.cycles import dma_cycles, dma_span, dot_timing, vec_cycles
from chanzi.isa.fields import DotFlag, VecFlag, VecKind
from chanzi.isa.instruction import Dot, Load, Store, Vec
from chanzi.isa.vector_cycles import cut_pixels


def make_core(dim, port, taps_per_lane=3, **more):
    pad = Scratchpad(bytes=1 << 20, banks=64)
    return Core(dim=dim, port_bytes=port, scratchpad=pad, taps_per_lane=taps_per_lane, **more)


cores = st.sampled_from(
    [
        make_core(4, 4),
        make_core(8, 16),
        make_core(8, 8, lanes=4, epilogue_lanes=2),
        make_core(16, 16, 2, lanes=4, epilogue_lanes=4),
        make_core(48, 64, epilogue_lanes=16),
        make_core(96, 128),
    ]
)
counts = st.integers(1, 260)


@st.composite
def dots(draw):
    fields = {}
    for p in "ab":
        fields |= {
            f"{p}_count": draw(counts),
            f"{p}_taps_y": draw(st.integers(1, 3)),
            f"{p}_taps_x": draw(st.integers(1, 3)),
            f"{p}_run": draw(st.integers(1, 200)),
        }
    bits = [DotFlag.BIAS, DotFlag.COLUMN_SCALE, DotFlag.TABLE, DotFlag.RAW, DotFlag.HOLD]
    flags = 0
    for bit in bits:
        flags |= bit * draw(st.booleans())
    return Dot(flags=int(flags), **fields)


def tiles_one_by_one(core, ins):
    """Return (feed end of the first tile, feed end of the last, last drain, last spacing) with the array to itself."""
    D, W = core.dim, core.port_bytes
    k = ins.a_run * ins.a_taps_y * ins.a_taps_x
    words = {
        p: getattr(ins, f"{p}_taps_y") * getattr(ins, f"{p}_taps_x") * math.ceil(getattr(ins, f"{p}_run") / W)
        for p in "ab"
    }
    sets = (ins.flags & DotFlag.BIAS != 0) + (ins.flags & DotFlag.COLUMN_SCALE != 0)
    now = 0
    gate = 0
    first_end = None
    last_drain = 0
    for n0 in range(0, ins.b_count, D):
        n = min(D, ins.b_count - n0)
        for m0 in range(0, ins.a_count, D):
            m = min(D, ins.a_count - m0)
            parameters = sets * math.ceil(4 * n / W)
            feed = max(k, m * words["a"], n * words["b"], parameters)
            if first_end is None and ins.flags & DotFlag.TABLE:
                feed = max(feed, parameters + math.ceil(256 / W))
            # the sums move to the shadow registers only when the row there before has left them
            now = max(now + feed, gate)
            if first_end is None:
                first_end = now
            if ins.flags & DotFlag.HOLD:
                last_drain = 0
            else:
                turns = math.ceil(4 * n / W) if ins.flags & DotFlag.RAW else math.ceil(n / (core.epilogue_lanes or D))
                last_drain = m * turns
                # rows leave every `turns` cycles, all columns together: the first, D cycles after its first sum
                gate = now + max(m * turns, *(D + r * turns - r for r in range(m)))
    return first_end, now, last_drain, max(gate - now, 0)


@given(cores, dots())
def test_dot_timing_is_the_tile_loop(core, ins):
    t = dot_timing(core, ins)
    assert (t.first, t.first + t.rest, t.last_drain, t.last_spacing) == tiles_one_by_one(core, ins)


@given(cores, dots())
def test_dot_timing_splits_exactly(core, ins):
    t = dot_timing(core, ins)
    assert math.isclose(t.first + t.rest, t.ideal + t.edge + t.feed + t.drain, rel_tol=1e-12)
    assert min(t.ideal, t.edge, t.feed, t.drain) >= -1e-9
    assert t.ideal == ins.a_count * ins.b_count * ins.a_run * ins.a_taps_y * ins.a_taps_x / core.dim**2


@st.composite
def vecs(draw):
    kind = draw(st.sampled_from([VecKind.COPY, VecKind.MAX, VecKind.SUM, VecKind.MAC, VecKind.ADD, VecKind.MUL]))
    windowed = kind in (VecKind.MAX, VecKind.SUM, VecKind.MAC)
    channels = draw(st.integers(1, 200))
    dilation, stride = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    flags = draw(st.sampled_from([VecFlag.NONE, VecFlag.TABLE]))
    if windowed:
        flags |= draw(st.sampled_from([VecFlag.NONE, VecFlag.BIAS, VecFlag.BIAS | VecFlag.CHANNEL_SCALE]))
        flags |= draw(st.sampled_from([VecFlag.NONE, VecFlag.CLAMP_EDGE]))
    return Vec(
        kind=int(kind),
        flags=int(flags),
        channels=channels,
        rows=draw(st.integers(1, 9)),
        columns=draw(st.integers(1, 40)),
        taps_y=draw(st.integers(1, 4)) if windowed else 1,
        taps_x=draw(st.integers(1, 7)) if windowed else 1,
        tap_x_step=dilation * channels,
        x_step=stride * channels,
        tap_y_step=draw(st.integers(1, 3)),
        y_step=draw(st.integers(1, 3)),
        pad_y=draw(st.integers(-1, 3)),
        pad_x=draw(st.integers(-1, 3)) * channels,
        height=draw(st.integers(1, 24)),
        width_bytes=draw(st.integers(1, 60)) * channels,
    )


def _clamps(ins):
    return bool(ins.flags & VecFlag.CLAMP_EDGE)


def _exists(ins, at):
    return _clamps(ins) or any(0 <= at - ins.pad_x + c < ins.width_bytes for c in range(ins.channels))


def positions_one_by_one(core, ins):
    """Return the cycles of a walk over the positions of each line, one after the other."""
    lanes, W = core.lanes, core.port_bytes
    total = math.ceil(256 / W) if ins.flags & VecFlag.TABLE else 0
    step, remainder = divmod(ins.x_step, ins.tap_x_step)
    share = len([t for t in range(ins.taps_x) if step and t % step == 0])  # outputs that want the word most wanted
    slides = remainder == 0 and 0 < step < ins.taps_x and ins.columns > 1 and share <= 8
    turns = math.ceil(share / core.taps_per_lane) if slides else 1
    if slides:
        walk = list(range(0, (ins.columns - 1) * ins.x_step + ins.taps_x * ins.tap_x_step, ins.tap_x_step))
    else:
        walk = [x * ins.x_step + t * ins.tap_x_step for x in range(ins.columns) for t in range(ins.taps_x)]
    for _ in range(0, ins.channels, lanes):
        sets = (ins.flags & VecFlag.BIAS != 0) + (ins.flags & VecFlag.CHANNEL_SCALE != 0)
        parameters = sets * math.ceil(4 * lanes / W) if ins.kind in (VecKind.SUM, VecKind.MAC) else 0
        parameters += ins.taps_y * ins.taps_x if ins.kind == VecKind.MAC else 0
        total += max(parameters, ins.taps_y, ins.taps_x + 2 if ins.taps_x > 1 else 1)
        for row in range(ins.rows):
            lines = [row * ins.y_step + t * ins.tap_y_step - ins.pad_y for t in range(ins.taps_y)]
            inside = sum(_clamps(ins) or 0 <= at < ins.height for at in lines)
            total += max(sum(max(1, inside * turns) if _exists(ins, at) else 1 for at in walk), ins.taps_y)
    return total


@given(vecs())
def test_cut_pixels_counts_each_position(ins):
    cut = 0
    for x in range(ins.columns):
        for tap in range(ins.taps_x):
            at = x * ins.x_step + tap * ins.tap_x_step - ins.pad_x
            exist = [0 <= at + c < ins.width_bytes for c in range(ins.channels)]
            cut += any(exist) and not all(exist) and not _clamps(ins)
    assert cut_pixels(ins) == cut


@given(cores, vecs())
def test_vec_cycles_is_the_walk(core, ins):
    assert vec_cycles(core, ins) == positions_one_by_one(core, ins)


@given(cores, vecs())
def test_vec_cycles_reads_what_it_must(core, ins):
    """No fewer cycles than the words written, and where nothing lies outside, than words read and products made."""
    blocks = math.ceil(ins.channels / core.lanes)
    least = ins.columns
    if ins.flags & VecFlag.CLAMP_EDGE:
        distinct = len({x * ins.x_step + t * ins.tap_x_step for x in range(ins.columns) for t in range(ins.taps_x)})
        products = ins.columns * ins.taps_x * ins.taps_y / core.taps_per_lane
        least = max(distinct * ins.taps_y, products, ins.columns)
    assert vec_cycles(core, ins) >= blocks * ins.rows * least - 1e-9


@st.composite
def loads(draw):
    return Load(
        dram=draw(st.integers(0, 10_000)),
        run=draw(st.integers(1, 400)),
        count1=draw(st.integers(1, 12)),
        count2=draw(st.integers(1, 6)),
        dram_step1=draw(st.integers(0, 600) | st.sampled_from([64, 128, 512])),
        dram_step2=draw(st.integers(0, 5000) | st.sampled_from([1024, 4096])),
    )


@given(loads(), st.booleans(), st.sampled_from([8, 64, 128]), st.sampled_from([10**9, 68 * 10**9, 3 * 10**12]))
def test_dma_cycles_walks_every_slot(ins, stores, beat, rate):
    """Beats one by one, each at the pace; a LOAD's run may need a slot more, for bytes that its beats leave over."""
    if stores:
        names = ("dram", "run", "count1", "count2", "dram_step1", "dram_step2")
        ins = Store(**{name: getattr(ins, name) for name in names})
    core = make_core(96, 128)
    chip = Chip(name="t", clock_hz=2_000_000_000, core=core, dram=Dram(bytes_per_s=rate, beat_bytes=beat))
    slots = 0
    for two in range(ins.count2):
        for one in range(ins.count1):
            at = ins.dram + one * ins.dram_step1 + two * ins.dram_step2
            beats = len({byte // beat for byte in range(at, at + ins.run)})
            written, held = 0, -(at % beat)  # bytes of the run that whole words have taken; bytes at hand
            for _ in range(beats):
                held += beat
                if held >= beat or held + written >= ins.run:
                    written, held = written + beat, held - beat
            slots += beats + (written < ins.run and not stores)
    pace = max(Fraction(1), Fraction(beat * chip.clock_hz, rate))
    exact = Fraction(math.ceil(pace * 65536), 65536)
    assert dma_span(chip, ins) == math.floor((slots - 1) * exact) + 1
    assert dma_cycles(chip, ins) == max(dma_span(chip, ins) + 1, math.floor(slots * exact))
