"""``chanzi run``: a network on a chip, its outputs, where its cycles went, a report and a trace."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from chanzi.cli.console import note, say, say_json, working
from chanzi.cli.inputs import Layout, Preprocessing
from chanzi.cli.network import DEFAULT_MODEL, Choices, Sim, feeds, find, opened
from chanzi.cli.tables import output_lines
from chanzi.errors import ModelError, RunError
from chanzi.runtime.build import JUDGE, Method, Mode, Scheme
from chanzi.runtime.session import Session

if TYPE_CHECKING:
    from chanzi.runtime.hardware import HardwareCheck, Waveform


def run(
    *inputs: Path,
    model: Annotated[str, Parameter(name=["--model", "-m"])] = DEFAULT_MODEL,
    chip: Annotated[str | None, Parameter(name=["--chip", "-c"])] = None,
    calibrate: Path | None = None,
    sim: Sim = "fast",
    mode: Mode = "single",
    scheme: Scheme = "u8s8",
    method: Method = "minmax",
    resident: bool = True,
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    layout: Layout = "auto",
    report: Path = Path("report.html"),
    trace: Path = Path("trace.json"),
    files: bool = True,
    check: bool = False,
    vcd: Path | None = None,
    window: tuple[int, int] = (0, 10_000),
    json: bool = False,
) -> int:
    """Run a network on a chip: outputs, a table of its layers, a report, a trace.

    Parameters
    ----------
    inputs
        Photos, .npy or .npz files, or folders of them. Without any: an example, or noise.
    model
        An .onnx or .chz file, or the name of a network of the zoo.
    chip
        A preset's name or a .toml file; tesla-fsd-hw3 by default, and a .chz brings its own.
    calibrate
        A folder of photos, or an .npz, to quantize a float network with.
    sim
        fast; reference: the same bytes, slowly; rtl: the chip's hardware under Verilator, its bytes and cycles compared
        with the simulators' (the exit code is 1 where they differ).
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
    report
        Where the page goes.
    trace
        Where the Perfetto trace goes.
    files
        Write report and trace.
    check
        Run the same quantized network under ONNX Runtime and compare; the exit code is 1 where they differ.
    vcd
        With --sim rtl: write a waveform of the first frame.
    window
        First cycle of the waveform, and how many.
    json
        Write JSON.
    """
    choices = Choices(
        mode=mode, scheme=scheme, method=method, resident=resident, calibrate=calibrate,
        pre=Preprocessing(mean=mean, std=std, layout=layout),
    )  # fmt: skip
    named = find(model)
    with opened(named, chip, choices, inputs, sim, _waveform(vcd, window, sim)) as session:
        frames = feeds(named, session, inputs, choices.pre)
        with working("running", len(frames)) as advance:
            outputs = []
            for result in session.run_frames(None, [feed for _, feed in frames]):
                outputs.append(result)
                advance(1)
    hardware = session.hardware_checks
    equal = compared(session, [feed for _, feed in frames], outputs) if check else None
    if json:
        say_json(_as_json(named.name, session, frames, outputs, equal, report if files else None, trace))
    else:
        for (what, _), result in zip(frames, outputs, strict=True):
            say(f"input: {what}")
            for name, value in result.items():
                for line in output_lines(name, value):
                    say(f"  {line}")
        if equal is not None:
            say(f"  {equal:.4%} of the output's elements equal ONNX Runtime's")
        _tables(named.name, session, report if files else None, trace)
        _hardware(hardware, vcd)
    wrong = (equal is not None and equal < 1) or not all(piece.equal for piece in hardware)
    return 1 if wrong else 0


def _waveform(vcd: Path | None, window: tuple[int, int], sim: Sim) -> "Waveform | None":
    if vcd is None:
        return None
    if sim != "rtl":
        raise RunError(f"simulator '{sim}' has no waveform", hint="--sim rtl has")
    if window[0] < 0 or window[1] < 1:
        raise RunError(f"a window of {window[1]} cycles from {window[0]} on", hint="--window 0 10000")
    from chanzi.runtime.hardware import Waveform

    return Waveform(path=vcd, after=window[0], cycles=window[1])


def _hardware(checks: "tuple[HardwareCheck, ...]", vcd: Path | None) -> None:
    """Show what the RTL did beside the simulators."""
    if not checks:
        return
    from chanzi.cli.tables import show
    from chanzi.report.tables import hardware_table

    show(hardware_table(checks))
    if vcd is not None:
        note(f"wrote {vcd}")


def summary_of(name: str, session: Session) -> Any:
    """Return (summary, chip runs), or None where nothing of the network is on the chip."""
    from chanzi.report.summary import ChipRun, steps_of, summarize

    steps = steps_of(session.model, session.timing(), session.host_seconds)
    runs = [step for step in steps if isinstance(step, ChipRun)]
    return (summarize(name, steps), runs) if runs else None


def compared(session: Session, frames: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> float:
    """Return the share of output elements that ONNX Runtime gives too, from the same quantized network.

    Raises
    ------
    ModelError
        The program does not carry the network.
    """
    from chanzi.runtime.host import make_session

    judge = session.model.attachments.get(JUDGE)
    if judge is None:
        raise ModelError("the program does not carry its network, so there is nothing to compare with")
    other = make_session(bytes(judge), what="the quantized network")
    same = count = 0
    for feed, result in zip(frames, outputs, strict=True):
        for name, wanted in zip(result, other.run(list(result), feed), strict=True):
            same += int(np.sum(np.asarray(result[name]) == wanted))
            count += np.size(wanted)
    return same / max(count, 1)


def _write(found: Any, report: Path | None, trace: Path) -> None:
    from chanzi.report import html, perfetto

    if report is not None:
        summary, runs = found
        html.write(report, summary, runs)
        perfetto.write(trace, runs)


def _tables(name: str, session: Session, report: Path | None, trace: Path) -> None:
    from chanzi.cli.tables import show
    from chanzi.report import tables
    from chanzi.report.spend import spend_of, spend_table

    found = summary_of(name, session)
    if found is None:
        say("nothing of this network runs on the chip:")
        for step in session.model.host_steps:
            say(f"  {', '.join(dict.fromkeys(step.ops))}: {step.reason}")
        return
    summary, runs = found
    show(tables.layer_table(summary), tables.lost_table(summary))
    if summary.host:
        show(tables.steps_table(summary))
    show(tables.totals_table(summary))
    spend = spend_of(runs)
    if spend is not None:
        show(spend_table(spend))
    _write(found, report, trace)
    if report is not None:
        note(f"wrote {report} and {trace} (opens at ui.perfetto.dev)")


def _as_json(
    name: str,
    session: Session,
    frames: list[Any],
    outputs: list[dict[str, Any]],
    equal: float | None,
    report: Path | None,
    trace: Path,
) -> dict[str, Any]:
    from chanzi.report import spend
    from chanzi.report.summary import to_dict

    found = summary_of(name, session)
    spent = None
    if found is not None:
        _write(found, report, trace)
        spent = spend.spend_of(found[1])
    return {
        "outputs": [
            {"input": what, "values": {key: np.asarray(value).tolist() for key, value in result.items()}}
            for (what, _), result in zip(frames, outputs, strict=True)
        ],
        "equal_to_onnxruntime": equal,
        "rtl": [asdict(piece) | {"equal": piece.equal} for piece in session.hardware_checks],
        "summary": None if found is None else to_dict(found[0]),
        "spend": None if spent is None else spend.to_dict(spent),
    }
