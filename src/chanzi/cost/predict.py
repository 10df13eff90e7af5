"""What the models say to a question of `chanzi.cost.cases`: one small function for each kind of question.

A predictor sees the question only, never the answer. Predictions of speed carry what two plain baselines would say:
peak (to be multiplied by a constant utilization) and roofline.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from chanzi.chip import load_chip
from chanzi.cost import dla, row_stationary, weight_stationary
from chanzi.cost.area import Range, area_of, level_mm2, logic, placed_mm2
from chanzi.cost.cases import Question
from chanzi.cost.detectors import retinanet_resnet34, retinanet_resnext50, ssd_mobilenet_v1
from chanzi.cost.dla import Dla, model_constant
from chanzi.cost.dollars import economics, gross_dies, harvested_yield, yield_of
from chanzi.cost.energy import array_mac_pj, leakage_w
from chanzi.cost.foreign import foreign_chip, work_macs
from chanzi.cost.general import GENERAL, MIB, Prediction, Predictor, node_of, only
from chanzi.cost.output_stationary import utilization
from chanzi.cost.shapes import Shapes, resnet34, resnet50, shapes_of, total_macs
from chanzi.cost.tech import (
    constant,
    from_45,
    known_node,
    wide_pj_per_bit,
    wire_pj_per_bit_mm,
)
from chanzi.cost.weight_stationary import WeightStationary
from chanzi.errors import CostError

RESNET50_OPS = 8.2e9
"""Operations of a ResNet-50 frame as MLPerf counts them."""


def _identity_peak(q: Question) -> Prediction:
    """Return cells x clock x 2, or operations a cycle x clock, in the unit's prefix."""
    x = q.inputs
    if "peak_TFLOPS" in x:
        return only(q.number("d1") * q.number("peak_TFLOPS") * 1e12 / _prefix(q.unit), "definition")
    cells = 1.0
    for name in (
        "units",
        "chiplets",
        "dla",
        "mxu",
        "pe",
        "tensor_cores",
        "nodes",
        "rows",
        "cols",
        "macs",
        "fma",
        "flop_per_cycle",
    ):
        if name in x:
            cells *= q.number(name)
    if "n" in x:
        cells *= q.number("n") ** 2
    per = 1.0 if "flop_per_cycle" in x else 2.0
    return only(per * cells * q.number("clock_Hz") / _prefix(q.unit), "definition")


def _prefix(unit: str) -> float:
    for letter, scale in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18)):
        if unit.startswith(letter):
            return scale
    return 1.0


def _ridge(q: Question) -> Prediction:
    return only(q.number("peak_TOPS") * 1e12 / 2 / (q.first("weight_bw_GBps", "dram_GBps") * 1e9), "definition")


def _dram_bandwidth(q: Question) -> Prediction:
    return only(q.number("bus_bit") / 8 * q.number("rate_MTps") * 1e6 / _prefix(q.unit), "definition")


def _sram_bandwidth(q: Question) -> Prediction:
    return only(q.number("read_B_per_cycle") * q.number("clock_Hz") / _prefix(q.unit), "definition")


def _tpu1(q: Question) -> WeightStationary:
    side = int(q.number("array")) if "array" in q.inputs else 256
    bus = q.number("weight_bw_GBps") * 1e9 if "weight_bw_GBps" in q.inputs else 34e9
    return WeightStationary(rows=side, cols=side, weight_bytes_per_s=bus)


def _delivered(q: Question) -> Prediction:
    array = _tpu1(q)
    numbers = {k: q.number(k) for k in ("weights", "ops_per_weight_byte", "batch")}
    roof = 2e-12 * numbers["ops_per_weight_byte"] * array.weight_bytes_per_s
    return Prediction(
        value=weight_stationary.delivered_tops(array, weight_stationary.work_of(numbers)),
        model="weight stationary",
        peak=array.peak_tops,
        roofline=min(array.peak_tops, roof),
    )


def _load_time(q: Question) -> Prediction:
    rows, cols = (int(n) for n in q.numbers("matrix"))
    array = _tpu1(q)
    value = 1e6 * weight_stationary.load_seconds(array, rows, cols)
    return Prediction(value=value, model="weight stationary", roofline=1e6 * rows * cols / array.weight_bytes_per_s)


_TPU1_CELL_BITS = 24.0
"""Registers of a cell beside its sum: two weights and an activation."""
_TPU1_DIE = 331.0
"""mm2, an upper bound: at most half of a Haswell."""


def _tpu1_power(q: Question, share: float) -> float:
    return weight_stationary.power_w(_tpu1(q), share, node_nm=node_of(q), die_mm2=_TPU1_DIE)


def _busy_power(q: Question) -> Prediction:
    array = _tpu1(q)
    app = weight_stationary.published().get(q.text("app"), weight_stationary.published()["CNN0"])
    numbers = {k: float(v) for k, v in app.items() if not isinstance(v, list)}
    share = weight_stationary.delivered_tops(array, weight_stationary.work_of(numbers)) / array.peak_tops
    return only(_tpu1_power(q, share), "power, ungated clock")


def _idle_share(q: Question) -> Prediction:
    return only(_tpu1_power(q, 0.0) / _tpu1_power(q, model_constant("tpu1_array").value), "power, ungated clock")


def _buffers_to_compute(q: Question) -> Prediction:
    nm = node_of(q)
    buffers = level_mm2(28.25 * MIB, nm).value
    gates = logic("gates")
    cell = Range.of(gates["mac"]) + Range.of(gates["register_bit"]) * _TPU1_CELL_BITS
    cells = cell * 65536.0 * Range.of(logic("place")["array_wiring"])
    return only(buffers / placed_mm2(cells + Range.of(gates["epilogue_lane"]) * 256.0, nm).value, "area")


def _nvdla(q: Question) -> Dla:
    c, k = dla.atoms(int(q.number("macs")))
    arriving = q.number("dram_GBps") * 1e9 * model_constant("dla_dram_efficiency").value
    return Dla(
        atomic_c=c,
        atomic_k=k,
        clock_hz=q.number("clock_Hz") if "clock_Hz" in q.inputs else 1e9,
        buffer_bytes=1024 * q.number("conv_buffer_KB"),
        dram_bytes_per_s=arriving,
    )


def _roofline_fps(shapes: Shapes, batch: float, macs_per_s: float, bytes_per_s: float) -> float:
    """Return frames a second with every byte of weights and maps moved once."""
    moved = sum(s.weights / batch + s.inputs + s.outputs for s in shapes)
    return min(macs_per_s / total_macs(shapes), bytes_per_s / moved)


def _dla_fps(q: Question) -> Prediction:
    unit, shapes = _nvdla(q), resnet50()
    cells = unit.macs * unit.clock_hz
    return Prediction(
        value=dla.frames_per_s(unit, shapes),
        model="DLA",
        peak=cells / total_macs(shapes),
        roofline=_roofline_fps(shapes, 1, cells, q.number("dram_GBps") * 1e9),
    )


def _dla_area(q: Question) -> Prediction:
    area = dla.area_mm2(q.number("macs"), 1024 * q.number("conv_buffer_KB"), node_of(q))
    return only(area.value, "area of a DLA")


def _dla_power(q: Question) -> Prediction:
    unit, shapes = _nvdla(q), resnet50()
    return only(1e3 * dla.power_w(unit, shapes, dla.frames_per_s(unit, shapes), node_of(q)), "power of a DLA")


def _dla_shrink(q: Question) -> Prediction:
    size = (1024.0, 256 * 1024.0)
    areas = [dla.area_mm2(*size, known_node(q.number(name))).value for name in ("to_node", "from_node")]
    return only(areas[0] / areas[1], "area of a DLA")


def _size(q: Question) -> tuple[int, int]:
    """Return (height, width) of an input written 1280x768."""
    width, _, height = q.text("input", "224x224").partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise CostError(f"input '{q.text('input')}' is no size", hint="224x224") from None


def _named(name: str) -> str:
    """Return the network in an id such as D_ResNet50_MAXN."""
    parts = name.split("_")
    return parts[1] if len(parts) > 2 else name


_DETECTORS: Mapping[str, Callable[..., Shapes]] = {
    "retinanetresnet34": retinanet_resnet34,
    "retinanetresnext50": retinanet_resnext50,
    "ssdmobilenetv1": ssd_mobilenet_v1,
}


def _orin_shapes(q: Question) -> tuple[Shapes, float]:
    """Return layer shapes and by how much their work exceeds that of the network asked for.

    A network of which only the work is known is taken to run as well as a ResNet-34 backbone of the same input.
    """
    network = re.sub(r"[^a-z0-9]", "", (q.text("network") or _named(q.id)).lower())
    size = _size(q)
    if network.startswith("resnet50"):
        return resnet50(*size, stride_in_3x3=True), 1.0
    for start, detector in _DETECTORS.items():
        if network.startswith(start):
            return (detector(*size) if "input" in q.inputs else detector()), 1.0
    shapes = resnet34(*size)
    if network.startswith("resnet34"):
        return shapes, 1.0
    known = {re.sub(r"[^a-z0-9]", "", name): macs for name, macs in work_macs().items()}
    if network not in known:
        raise CostError(
            f"no layer shapes of '{network}'",
            hint="ResNet-34 backbone, ResNet-50, SSD-ResNet-34, SSD-MobileNetV1, RetinaNet ResNet-34 or ResNeXt-50",
        )
    return shapes, total_macs(shapes) / known[network]


def _orin_dlas(q: Question) -> Prediction:
    (shapes, more), n, batch = _orin_shapes(q), q.number("dlas"), int(q.number("batch"))
    macs = int(q.number("macs_per_dla"))
    c, k = dla.atoms(macs)
    clock = q.number("dense_peak_TOPS") * 1e12 / (2 * n * macs)
    bus = q.number("dram_GBps_max") * 1e9
    one = Dla(
        atomic_c=c,
        atomic_k=k,
        clock_hz=clock,
        buffer_bytes=model_constant("orin_buffer_bytes").value,
        dram_bytes_per_s=bus / n * model_constant("orin_dram_efficiency").value,
    )
    cells = n * macs * clock
    return Prediction(
        value=more * n * dla.frames_per_s(one, shapes, batch=batch),
        model="DLA",
        peak=more * cells / total_macs(shapes),
        roofline=more * _roofline_fps(shapes, batch, cells, bus),
    )


def _offline(q: Question) -> Prediction:
    peak = q.number("dense_peak_TOPS") * 1e12 / RESNET50_OPS
    share = model_constant("orin_utilization").value
    return Prediction(value=peak * share, model="constant share of peak", peak=peak, roofline=peak)


def _board_energy(q: Question) -> Prediction:
    del q
    joules = constant("board_j_per_mac_8").value * RESNET50_OPS / 2
    return only(1e3 * joules, "constant energy per MAC")


def _eyeriss(network: str, rate: float) -> Callable[[Question], Prediction]:
    def predict(q: Question) -> Prediction:
        fps = q.number("fps") if "fps" in q.inputs else rate
        work = fps * total_macs(shapes_of(network, *((227, 227) if network == "alexnet" else (224, 224))))
        watts = row_stationary.power_w(macs=168, clock_hz=200e6, macs_per_s=work, node_nm=node_of(q))
        return only(1e3 * watts, "power, row stationary")

    return predict


def _fsd_power(q: Question) -> Prediction:
    """Return a design's power: operands as random as can be, ports as busy as the array."""
    nm, busy = node_of(q), q.number("utilisation")
    cells, clock = q.number("macs"), q.number("clock_Hz")
    area = area_of(_fsd(q), node_nm=nm)
    transport = wire_pj_per_bit_mm(nm) * constant("toggle").value * area.core.value**0.5 / 2
    port = 8 * (q.number("read_B_per_cycle") + q.number("write_B_per_cycle")) * (wide_pj_per_bit(16384, nm) + transport)
    gated = cells * from_45(constant("array_clock_45").value, nm)
    dynamic = busy * clock * (cells * array_mac_pj(nm) + port + gated)
    return only(1e-12 * dynamic + leakage_w(area) / 2, "power")


def _fsd(q: Question):
    from chanzi.chip import load_chip

    chip = load_chip("tesla-fsd-hw3")
    size = int(q.number("sram_MiB") * MIB)
    core = replace(chip.core, scratchpad=replace(chip.core.scratchpad, bytes=size))
    return replace(chip, core=core)


def _fsd_area(q: Question) -> Prediction:
    return only(area_of(_fsd(q), node_nm=node_of(q)).core.value, "area of a core")


def _fsd_utilization(q: Question) -> Prediction:
    """Return Inception v3's on full camera frames, which is what the chip was made for."""
    del q
    core = load_chip("tesla-fsd-hw3").core
    share = utilization(core, shapes_of("inception_v3", 960, 1280))
    return Prediction(value=share, model="output stationary", peak=1.0, roofline=1.0)


def _cache_area(q: Question) -> Prediction:
    return only(level_mm2(q.number("sram_MiB_physical") * MIB, node_of(q), kind="cache").value, "area of a cache")


def _training(q: Question) -> Prediction:
    """Return what training of language models reaches: a constant share of the best matmul."""
    share = model_constant("training_share").value * model_constant("matmul_share").value
    if not q.unit.upper().startswith("TFLOP"):
        return Prediction(value=share, model="constant share of matmul", peak=1.0, roofline=1.0)
    record = foreign_chip(q.chip.split()[0])
    peak = record.peak("bf16")
    if peak is None:
        raise CostError(f"no bf16 peak of {record.name} is published", hint="its record has none")
    tera = peak.value * 1e-12
    return Prediction(value=tera * share, model="constant share of matmul", peak=tera, roofline=tera)


def _silicon_per_chip(q: Question) -> Prediction:
    return only(q.number("wafer_USD") / q.number("good_per_wafer"), "dollars")


def _silicon_per_good_die(q: Question) -> Prediction:
    area, defects = q.number("area_mm2"), q.defects
    alpha = q.number("alpha") if "alpha" in q.inputs else economics()["cluster"].value
    share = float(yield_of(area, defects, "negative-binomial", cluster=alpha))
    return only(q.number("wafer_USD") / (gross_dies(area) * share), "dollars")


def _logic_die(q: Question) -> Prediction:
    """Return the cost of a die whose repeated cores may partly fail: 12 of 144, as the H100 is sold."""
    area, defects = q.number("area_mm2"), q.defects
    if not q.inputs.get("harvest"):
        return _silicon_per_good_die(q)
    repeated = economics()["core_harvest"].value
    share = harvested_yield(area, defects, repeated=repeated, units=144, spare=12)
    return only(q.number("wafer_USD") / (gross_dies(area) * share), "dollars, harvested")


PREDICTORS: tuple[tuple[str, str, Predictor], ...] = (
    (r"", r"^(\w+ )?peak(?!.*(power|watt))|dense int8", _identity_peak),
    (r"", r"ridge", _ridge),
    (r"", r"(dram|hbm|memory) bandwidth", _dram_bandwidth),
    (r"", r"sram read bandwidth", _sram_bandwidth),
    (r"tpu_v1", r"delivered", _delivered),
    (r"tpu_v1", r"load.*time", _load_time),
    (r"tpu_v1", r"idle share", _idle_share),
    (r"tpu_v1", r"busy power", _busy_power),
    (r"tpu_v1", r"idle power", lambda q: only(_tpu1_power(q, 0.0), "power, ungated clock")),
    (r"tpu_v1", r"buffers:compute", _buffers_to_compute),
    (r"nvdla", r"resnet-50 int8 fps", _dla_fps),
    (r"nvdla", r"area ratio", _dla_shrink),
    (r"nvdla", r"area", _dla_area),
    (r"nvdla", r"average power", _dla_power),
    (r"orin", r"both dlas", _orin_dlas),
    (r"", r"resnet-50 offline", _offline),
    (r"orin", r"wall energy per resnet-50", _board_energy),
    (r"eyeriss", r"alexnet power", _eyeriss("alexnet", 34.7)),
    (r"eyeriss", r"vgg-?16 power", _eyeriss("vgg16", 0.7)),
    (r"fsd", r"nna power", _fsd_power),
    (r"fsd", r"nna area", _fsd_area),
    (r"fsd", r"utili[sz]ation", _fsd_utilization),
    (r"", r"^l2 area", _cache_area),
    (r"a100|h100|tpu|cluster", r"tflop/s per gpu|mfu|share of peak", _training),
    (r"", r"silicon per chip", _silicon_per_chip),
    (r"", r"(silicon|cost) per good die", _silicon_per_good_die),
    (r"", r"logic die", _logic_die),
    *GENERAL,
)
"""(chip, question) as patterns -> predictor; the first that fits answers."""


_SENSE = "clocks, counts, sizes and bandwidths are above zero"


def predict(question: Question) -> Prediction:
    """Return what the models say.

    Raises
    ------
    CostError
        No model answers such a question, an input is missing, or inputs make no sense together.
    """
    chip, asked = question.chip.lower(), question.predict.lower()
    for who, what, predictor in PREDICTORS:
        if re.search(who, chip) and re.search(what, asked):
            try:
                found = predictor(question)
            except (ArithmeticError, ValueError) as error:
                raise CostError(f"inputs of '{question.predict}' make no sense: {error}", hint=_SENSE) from None
            if not (math.isfinite(found.value) and found.value > 0):
                raise CostError(f"'{question.predict}' comes out as {found.value:g}", hint=_SENSE)
            return found
    raise CostError(f"no model predicts '{question.predict}' of {question.chip}", hint="docs/results/validate.md")


def known_questions() -> Mapping[str, str]:
    """Return what may be asked: pattern -> what answers it."""
    return {f"{who or '*'}: {what}": (f.__doc__ or f.__name__).splitlines()[0] for who, what, f in PREDICTORS}
