"""``chanzi loop``: the data engine, one command a stage, one that runs them all, and some to look."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from chanzi.cli.console import note, say, say_json
from chanzi.errors import LoopError

if TYPE_CHECKING:
    from chanzi.drive.engine.executor import Executor
    from chanzi.drive.engine.history import History
    from chanzi.drive.engine.loop import Loop, Progress
    from chanzi.drive.engine.settings import Settings
    from chanzi.drive.engine.store import Store

app = App(name="loop", help="Collect, label, train, quantize, compile, gate, deploy, mine: a network that gets better.")

Folder = Annotated[Path, Parameter(help="The run's folder.")]
Workers = Annotated[int, Parameter(help="Processes that do the work; 0 does it in this one.")]
Ray = Annotated[
    str | None, Parameter(help="Do the work on a Ray cluster: its address, or 'local' to start one on this machine.")
]


@app.command
def run(
    folder: Folder,
    *,
    turns: int = 4,
    settings: Path | None = None,
    sim: str | None = None,
    scenario: tuple[str, ...] = (),
    weather: tuple[str, ...] = (),
    seconds: float | None = None,
    chip: str | None = None,
    backend: str | None = None,
    seed: int | None = None,
    suite: int | None = None,
    cars: int | None = None,
    workers: Workers = 2,
    ray: Ray = None,
) -> None:
    """Run the whole cycle, unattended; started again after it was stopped or killed it goes on where it was.

    Parameters
    ----------
    folder
        The run's folder; made where there is none.
    turns
        After the first network, so many turns.
    settings
        A TOML file of settings (docs/loop.md); what is named on the command line comes before it.
    sim, scenario
        The world to drive in, and which of its scenarios; several are driven in turn.
    weather
        Conditions to drive in, in turn.
    seconds
        Longest drive.
    chip
        A preset's name or a .toml file: what networks are compiled for.
    backend
        What runs the network in the cars: float, ort-int8 (the chip's bytes, sooner) or chip.
    seed
        Of the whole run.
    suite
        Scenarios of the gate's suite.
    cars
        Of the fleet.
    """
    from chanzi.drive.engine import cycle
    from chanzi.drive.engine.car.units import make_units
    from chanzi.drive.engine.loop import journal_path, open_loop

    given = _settings(
        settings, sim=sim, scenario=scenario, weather=weather, seconds=seconds, chip=chip, backend=backend, seed=seed,
        suite=suite, cars=cars,
    )  # fmt: skip
    if given is None and not journal_path(folder).is_file():
        from chanzi.drive.engine.settings import Settings

        given = Settings()
    with open_loop(folder, make_units, settings=given, make_executor=_executor(workers, ray), tell=_tell) as loop:
        cycle.run(loop, turns, lambda turn, stage: note(f"turn {turn}: {stage}"))
        _show(loop)


def _settings(
    file: Path | None,
    *,
    sim: str | None,
    scenario: tuple[str, ...],
    weather: tuple[str, ...],
    seconds: float | None,
    chip: str | None,
    backend: str | None,
    seed: int | None,
    suite: int | None,
    cars: int | None,
) -> "Settings | None":
    """Return the settings that were asked for, or None where nothing was."""
    from dataclasses import replace

    from chanzi.drive.engine.settings import Settings, read_settings

    found = Settings() if file is None else read_settings(file)
    before = found
    if scenario:
        found = replace(found, worlds=tuple(f"{sim or 'highway'}:{one}" for one in scenario))
    elif sim is not None:
        found = replace(found, worlds=(sim,))
    if weather:
        found = replace(found, weathers=weather)
    if cars is not None:
        found = replace(found, fleet=replace(found.fleet, cars=cars))
    found = replace(
        found,
        seconds=found.seconds if seconds is None else seconds,
        chip=found.chip if chip is None else chip,
        backend=found.backend if backend is None else backend,
        seed=found.seed if seed is None else seed,
        suite=found.suite if suite is None else suite,
    )
    return None if file is None and found == before else found


def _executor(workers: int, ray: str | None) -> "Callable[[Store, Path], Executor]":
    """Return what makes the executor of a run."""

    def make(store: "Store", folder: Path) -> "Executor":
        if ray is not None:
            from chanzi.drive.engine.ray_executor import RayExecutor

            return RayExecutor(store, None if ray == "local" else ray)
        if workers == 0:
            from chanzi.drive.engine.executor import SerialExecutor

            return SerialExecutor(store)
        from chanzi.drive.engine.executor import ProcessExecutor

        return ProcessExecutor(workers, folder)

    return make


def _tell(progress: "Progress") -> None:
    note(f"turn {progress.turn}: {progress.stage} {progress.done}/{progress.total} {progress.name}")


def _show(loop: "Loop") -> None:
    from chanzi.drive.engine.history import history

    _print(history(loop.journal))


def _print(found: "History") -> None:
    from chanzi.cli.tables import show
    from chanzi.report import loop as report

    show(report.turns_table(found), report.versions_table(found), report.triggers_table(found))
    for line in report.reasons(found):
        say(line)


@app.command
def status(folder: Folder, *, json: bool = False) -> None:
    """Show the turns, the versions and what each fixed; may be called while the run goes on.

    Parameters
    ----------
    folder
        The run's folder.
    json
        Write JSON.
    """
    from chanzi.drive.engine.history import history
    from chanzi.drive.engine.loop import read_run
    from chanzi.report import loop as report

    _, journal = read_run(folder)
    try:
        found = history(journal)
    finally:
        journal.close()
    if json:
        say_json(report.to_dict(found))
        return
    _print(found)
    turn, stage = found.due
    say(f"next: turn {turn}, {stage}" + (f" ({found.under_way} units begun and not done)" if found.under_way else ""))


@app.command
def trace(folder: Folder, version: int) -> None:
    """Say what a version was made from: data, seeds, parent networks, and the code that made each.

    Parameters
    ----------
    folder
        The run's folder.
    version
        Its number.
    """
    import msgspec

    from chanzi.drive.engine.loop import read_run
    from chanzi.drive.engine.outcomes import Programmed
    from chanzi.report import loop as report

    _, journal = read_run(folder)
    try:
        outcome = journal.conclusion(version, "compile")
        if outcome is None:
            raise LoopError(f"there is no version {version}", hint=f"`chanzi loop status {folder}` lists them")
        found = journal.provenance(msgspec.json.decode(outcome, type=Programmed).program)
    finally:
        journal.close()
    assert found is not None
    for line in report.provenance_lines(found):
        say(line)


@app.command
def check(folder: Folder) -> int:
    """Check that every artefact of a run is there and whole; the exit code is 1 where one is not.

    Parameters
    ----------
    folder
        The run's folder.
    """
    from chanzi.drive.engine.loop import read_run

    _, journal = read_run(folder)
    try:
        wrong = journal.audit()
        count = len(journal.artefacts())
    finally:
        journal.close()
    for line in wrong:
        say(line)
    if not wrong:
        say(f"{count} artefacts, all whole")
    return 1 if wrong else 0


@app.command(name="held-out")
def held_out(folder: Folder, *, drives: int = 100, workers: Workers = 2, ray: Ray = None, json: bool = False) -> None:
    """Drive scenarios that nothing was trained or chosen by with every version that the fleet had.

    Parameters
    ----------
    folder
        The run's folder.
    drives
        Of each version.
    json
        Write JSON.
    """
    from chanzi.cli.tables import show
    from chanzi.drive.engine.car.units import make_units
    from chanzi.drive.engine.loop import open_loop
    from chanzi.drive.engine.stages.held_out import held_out as drive_held_out
    from chanzi.report import loop as report

    with open_loop(folder, make_units, make_executor=_executor(workers, ray), tell=_tell) as loop:
        found = drive_held_out(loop, drives)
    if json:
        say_json(report.held_out_rows(found))
    else:
        show(report.held_out_table(found))


def _stage(
    folder: Path, name: str, workers: int, ray: str | None, *, network: Path | None = None, force: bool = False
) -> None:
    from chanzi.drive.engine import cycle
    from chanzi.drive.engine.car.units import make_units
    from chanzi.drive.engine.loop import journal_path, open_loop
    from chanzi.drive.engine.settings import Settings

    fresh = name == "collect" and not journal_path(folder).is_file()
    given = Settings() if fresh else None
    with open_loop(folder, make_units, settings=given, make_executor=_executor(workers, ray), tell=_tell) as loop:
        turn = cycle.perform(loop, name, network=network, force=force)
        say(f"turn {turn}: {name} is done; next is {loop.due()[1]} of turn {loop.due()[0]}")


@app.command
def collect(folder: Folder, *, workers: Workers = 2, ray: Ray = None) -> None:
    """Drive, record, and keep what the triggers choose."""
    _stage(folder, "collect", workers, ray)


@app.command
def label(folder: Folder, *, workers: Workers = 2, ray: Ray = None) -> None:
    """Put what the simulator knew beside the frames that were kept."""
    _stage(folder, "label", workers, ray)


@app.command
def train(folder: Folder, *, network: Path | None = None, workers: Workers = 2, ray: Ray = None) -> None:
    """Train a candidate from the deployed network on.

    Parameters
    ----------
    folder
        The run's folder.
    network
        Take this ONNX network as the candidate instead of training one.
    """
    _stage(folder, "train", workers, ray, network=network)


@app.command
def quantize(folder: Folder, *, workers: Workers = 2, ray: Ray = None) -> None:
    """Bring the candidate to 8 bits."""
    _stage(folder, "quantize", workers, ray)


@app.command(name="compile")
def compile_candidate(folder: Folder, *, workers: Workers = 2, ray: Ray = None) -> None:
    """Compile the candidate for the chip, and hold it against ONNX Runtime."""
    _stage(folder, "compile", workers, ray)


@app.command
def gate(folder: Folder, *, workers: Workers = 2, ray: Ray = None) -> None:
    """Hold the candidate against the deployed network: suite, road, mined failures."""
    _stage(folder, "gate", workers, ray)


@app.command
def deploy(folder: Folder, *, force: bool = False, workers: Workers = 2, ray: Ray = None) -> None:
    """Roll the candidate out, a few cars first, and back at an alarm; let the fleet drive.

    Parameters
    ----------
    folder
        The run's folder.
    force
        Roll it out though the gate refused it.
    """
    _stage(folder, "deploy", workers, ray, force=force)


@app.command
def mine(folder: Folder, *, workers: Workers = 2, ray: Ray = None) -> None:
    """Make scenarios of the fleet's failures, and show that they come again exactly."""
    _stage(folder, "mine", workers, ray)
