"""How near to the least possible: cycles of compiled networks over the bound that layer shapes alone give.

    python bench/bound.py                      ResNet-50, MobileNetV2, EfficientNet-Lite0 and the rest of the zoo
    python bench/bound.py resnet50 --write     only these; also rewrite docs/results/bound.md

Cycles do not depend on values, so the networks are calibrated with one frame of seeded noise. "resident": weights stay
in the scratchpad between frames. "cold": the first frame, weights loaded before it. "streamed": compiled to load its
weights with every frame, behind the work.
"""

import argparse
from pathlib import Path

from noise import noise_frame

from chanzi import zoo
from chanzi.chip import load_chip
from chanzi.compiler import compile_graph
from chanzi.cost.bound import bound
from chanzi.cost.lost import CAUSES, lost_cycles
from chanzi.frontend import load
from chanzi.graph.ops import Graph, macs
from chanzi.graph.plan import ChipPiece
from chanzi.program.program import Options
from chanzi.sim.timing import simulate

RESULTS = Path(__file__).parents[1] / "docs" / "results"
NETWORKS = (
    "resnet50", "mobilenet_v2", "efficientnet_lite0", "pedestrian", "centerface", "blazeface", "mlsd_tiny",
    "ppocr_det", "squeezenet", "shufflenet", "regnetx_400mf",
)  # fmt: skip
CHIPS = (("tesla-fsd-hw3", 1), ("chanzi-64x4", 1), ("chanzi-64x4", 4))


def graphs(name: str) -> list[Graph]:
    """Return the chip's pieces of a network of the zoo."""
    path = zoo.fetch(name)
    return [p.graph for p in load(path, calibration=[noise_frame(path)]).pieces if isinstance(p, ChipPiece)]


def row(name: str, pieces: list[Graph], preset: str, cores: int) -> str:
    """Return one line of the table."""
    chip = load_chip(preset)
    single = cores == 1
    mode = "single" if single else "latency"
    resident = cold = streamed = 0
    least = work = 0.0
    causes: dict[str, int] = {}
    for graph in pieces:
        compiled = compile_graph(graph, chip, Options(mode=mode))
        frame = simulate(chip, compiled.segment)
        resident += frame.cycles
        cold += simulate(chip, compiled.segment, part="cold").cycles
        if single:
            flowing = compile_graph(graph, chip, Options(mode=mode, resident=False))
            streamed += simulate(chip, flowing.segment).cycles
        least += bound(chip, graph, cores=cores).cycles
        work += sum(macs(op) for op in graph.ops)
        for cause, cycles in lost_cycles(chip, compiled.segment, frame).totals().items():
            causes[cause] = causes.get(cause, 0) + cycles
    used = work / (chip.core.macs_per_cycle * cores * resident)
    lost = sorted(((c, n) for c, n in causes.items() if c != "useful"), key=lambda item: -item[1])[:3]
    total = sum(causes.values())
    shares = ", ".join(f"{cause} {n / total:.0%}" for cause, n in lost)
    return (
        f"| {name} | `{preset}` | {cores} | {resident:,} | {used:.1%} | {least:,.0f} | **{least / resident:.2f}** | "
        f"{cold:,} | {f'{streamed:,}' if single else '–'} | {shares} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--write", action="store_true", help="rewrite docs/results/bound.md")
    arguments = parser.parse_args()
    lines = [
        "| network | chip | cores | resident | array used | bound | bound ÷ resident | cold | streamed | lost most |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    print("\n".join(lines), flush=True)
    for name in arguments.networks:
        pieces = graphs(name)
        for preset, cores in CHIPS:
            lines.append(row(name, pieces, preset, cores))
            print(lines[-1], flush=True)
    if arguments.write:
        text = "\n".join(
            [
                "# How near to the least possible",
                "",
                "`python bench/bound.py --write`. The bound is computed from layer shapes and the chip alone",
                "(`chanzi.cost.bound`): no program of this machine can take fewer cycles; it grants packings that may",
                'not exist together. Figures are cycles. "resident": weights stay in the scratchpad between frames;',
                '"cold": the first frame, weights loaded before; "streamed": compiled to load them with every frame.',
                "",
                *lines,
                "",
                "What the causes mean:",
                "",
                *(f"- **{cause}**: {meaning}" for cause, meaning in CAUSES.items()),
                "",
            ]
        )
        part = RESULTS / "bound.md.part"
        part.write_text(text, "utf-8")
        part.replace(RESULTS / "bound.md")


if __name__ == "__main__":
    main()
