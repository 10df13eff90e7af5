"""``chanzi compile``: an ONNX network into a .chz program."""

import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from chanzi.cli.console import say, say_json, working
from chanzi.cli.inputs import Layout, Preprocessing
from chanzi.cli.network import Choices, calibration, described, find
from chanzi.cli.run import summary_of
from chanzi.program import container
from chanzi.runtime.build import Method, Mode, Recipe, Scheme, build
from chanzi.runtime.session import Session
from chanzi.runtime.source import read_source


def compile_command(
    model: str,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    chip: Annotated[str | None, Parameter(name=["--chip", "-c"])] = None,
    calibrate: Path | None = None,
    mode: Mode = "single",
    scheme: Scheme = "u8s8",
    method: Method = "minmax",
    resident: bool = True,
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    layout: Layout = "auto",
    dump_passes: Path | None = None,
    json: bool = False,
) -> None:
    """Compile an ONNX network into a .chz program.

    Parameters
    ----------
    model
        An .onnx file, or the name of a network of the zoo.
    output
        Where the program goes; NAME.chz by default.
    chip
        A preset's name or a .toml file; tesla-fsd-hw3 by default.
    calibrate
        A folder of photos, or an .npz, to quantize a float network with.
    mode
        single: one core. latency: one frame over all cores. throughput: a frame of its own for each core.
    scheme
        Types of activations and weights: u8s8, s8s8, or none to leave a float network on the host.
    method
        How ranges are chosen from what calibration sees: minmax, percentile, entropy.
    resident
        Keep weights in the scratchpad between frames where they fit.
    mean
        Subtracted from photos, after their pixels were divided by 255; one figure or one a channel.
    std
        Photos are divided by it.
    layout
        Of the network's input: nchw, nhwc, or auto.
    dump_passes
        A folder to write every stage of the compiler to, readable.
    json
        Write JSON.
    """
    start = time.perf_counter()
    named = find(model)
    source = read_source(named.path)
    choices = Choices(
        mode=mode, scheme=scheme, method=method, resident=resident, calibrate=calibrate,
        pre=Preprocessing(mean=mean, std=std, layout=layout),
    )  # fmt: skip
    recipe = Recipe(chip=described(chip), mode=mode, scheme=scheme, method=method, resident=resident)
    with working(f"compiling {named.name}"):
        feeds = None if source.is_program else calibration(named, source, choices, ())
        compiled = build(source, recipe, calibration=feeds, dump_dir=dump_passes)
    path = output or Path(f"{named.name}.chz")
    size = container.write(path, compiled)
    seconds = time.perf_counter() - start
    found = summary_of(named.name, Session(compiled))
    summary = None if found is None else found[0]
    if json:
        row: dict[str, Any] = {"file": str(path), "bytes": size, "seconds": seconds, "chip": compiled.chip.name}
        for name in ("cycles", "cold_cycles", "utilization", "macs", "host_macs", "latency_s", "achieved"):
            row[name] = None if summary is None else getattr(summary, name)
        row["host_operators"] = [op for step in compiled.host_steps for op in step.ops]
        say_json(row)
        return
    say(f"{path}: {size:,} bytes for {compiled.chip.name}, in {seconds:.2f} s")
    if summary is not None:
        say(f"{summary.cycles:,} cycles a run, {summary.utilization:.1%} of the arrays in use")
    for step in compiled.host_steps:
        say(f"on the host: {', '.join(dict.fromkeys(step.ops))} ({step.reason})")
