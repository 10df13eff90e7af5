"""``chanzi compare``: one network on several chips, side by side."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from chanzi.cli.console import note, say_json
from chanzi.cli.network import DEFAULT_MODEL, Choices, find, opened
from chanzi.cli.run import summary_of
from chanzi.errors import ModelError
from chanzi.runtime.build import Mode


def compare(
    *chips: str,
    model: Annotated[str, Parameter(name=["--model", "-m"])] = DEFAULT_MODEL,
    mode: Mode = "latency",
    calibrate: Path | None = None,
    report: Path | None = None,
    json: bool = False,
) -> None:
    """Run one network on several chips, side by side.

    Parameters
    ----------
    chips
        Presets' names or .toml files; all presets where none is named.
    model
        An .onnx file, or the name of a network of the zoo.
    mode
        single: one core. latency: one frame over all cores. throughput: a frame of its own for each core.
    calibrate
        A folder of photos, or an .npz, to quantize a float network with.
    report
        Also write a page of the first chip, with the others beside it.
    json
        Write JSON.
    """
    from chanzi.chip import presets
    from chanzi.report import tables
    from chanzi.report.summary import to_dict

    named = find(model)
    found: list[Any] = []
    for chip in chips or tuple(presets()):
        with opened(named, chip, Choices(mode=mode, calibrate=calibrate), (), "fast") as session:
            one = summary_of(named.name, session)
        if one is None:
            raise ModelError(f"nothing of '{named.name}' runs on {chip}", hint="`chanzi run` says why")
        found.append(one)
    if report is not None:
        from chanzi.report import html

        html.write(report, found[0][0], found[0][1], others=[summary for summary, _ in found[1:]])
        note(f"wrote {report}")
    if json:
        say_json([to_dict(summary) for summary, _ in found])
        return
    from chanzi.cli.tables import show

    show(tables.compare_table([summary for summary, _ in found]))
