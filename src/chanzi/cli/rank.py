"""``chanzi rank``: TOPS on paper beside frames delivered, our chips and those of others."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from chanzi.cli.console import note, say, say_json, working
from chanzi.cli.network import DEFAULT_MODEL, Choices, calibration, find
from chanzi.errors import CostError

if TYPE_CHECKING:
    from chanzi.chip.chip import Chip
    from chanzi.market.network import Network

Key = Literal["fps", "tops", "watt", "mm2", "dollar", "name"]


def rank(
    *,
    model: Annotated[tuple[str, ...], Parameter(name=["--model", "-m"])] = (DEFAULT_MODEL,),
    chip: Annotated[tuple[str, ...], Parameter(name=["--chip", "-c"])] = (),
    mode: Literal["throughput", "latency"] = "throughput",
    sort: Key = "fps",
    between: str = "tesla_hw4,nvidia_orin",
    calibrate: Path | None = None,
    page: Path | None = None,
    json: bool = False,
    csv: bool = False,
) -> None:
    """Rank chips by what they do with a network: ours simulated, those of others measured or bounded.

    Parameters
    ----------
    model
        An .onnx file, or the name of a network of the zoo; may be given more than once.
    chip
        A preset's name or a .toml file to simulate, may be given more than once; all presets by default.
    mode
        throughput: a frame of its own for each core, and MLPerf's Offline. latency: one frame over all cores, and
        SingleStream.
    sort
        fps, tops (on paper), watt, mm2, dollar (frames/s for each), or name.
    between
        Two chips to say in a sentence who is faster; the two that are sold to carmakers with 216 and 254 or 275 TOPS by
        default.
    calibrate
        A folder of photos, or an .npz, to quantize a float network with.
    page
        Also write a page with plots.
    json
        Write JSON.
    csv
        Write comma-separated values.
    """
    from chanzi.chip import load_chip, presets
    from chanzi.market import verdict
    from chanzi.market.rank import rank as ranked
    from chanzi.report import rank as report

    if json and csv:
        raise CostError("--json and --csv at once", hint="one of them")
    pair = _pair(between)
    chips: list[Chip] = [load_chip(name) for name in chip or tuple(presets())]
    networks = [named(name, calibrate) for name in model]
    found = []
    with working("ranking", len(networks)) as advance:
        for network in networks:
            found.append(ranked(network, chips, mode=mode, sort=sort))
            advance(1)
    answers = []
    for r in found:
        a, b = (verdict.find(r.entries, name) for name in pair)
        answers.append([verdict.compare(a, b), verdict.winners(r), verdict.paper_wrong(r)])
    if page is not None:
        report.write_page(page, found, answers)
        note(f"wrote {page}")
    if json:
        say_json([report.to_dict(r, said) for r, said in zip(found, answers, strict=True)])
    elif csv:
        say(report.to_csv(found).rstrip("\n"))
    else:
        from chanzi.cli.tables import show

        for r, said in zip(found, answers, strict=True):
            show(report.rank_table(r))
            for sentence in said:
                say(sentence)
            say()
        say(report.legend(mode))


def named(model: str, calibrate: Path | None) -> "Network":
    """Return the network of that path or zoo name, with what it is calibrated with."""
    from chanzi.market.network import Network
    from chanzi.runtime.source import read_source

    which = find(model)
    feeds = calibration(which, read_source(which.path), Choices(calibrate=calibrate), ())
    return Network(name=which.name, path=which.path, calibration=None if feeds is None else tuple(feeds))


def _pair(text: str) -> tuple[str, str]:
    names = [part.strip() for part in text.split(",")]
    if len(names) != 2 or not all(names):
        raise CostError(f"--between '{text[:60]}' is not two chips", hint="--between hw4,orin")
    return names[0], names[1]
