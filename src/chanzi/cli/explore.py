"""``chanzi explore``: search for the best chips for a set of networks."""

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from chanzi.cli.console import note, say, say_json, working
from chanzi.cli.cost import node_of, number
from chanzi.errors import ExploreError

if TYPE_CHECKING:
    from chanzi.explore.networks import Quantized
    from chanzi.explore.search import Progress
    from chanzi.explore.workers import Problem, Runner

Quantity = Annotated[str, Parameter(allow_leading_hyphen=True)]
"""A number with its unit; a negative one is refused with the reason, not taken for an option."""
_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_NOTE_SECONDS, _DRAW_SECONDS = 15.0, 1.0


def explore(
    *,
    models: Annotated[str, Parameter(name=["--models", "-m"])] = "digits",
    node: str = "14nm",
    max_area: Quantity = "",
    max_power: Quantity = "",
    min_fps: float = 0.0,
    minimize: str = "energy,cost",
    trials: int = 500,
    volume: str = "1e6",
    max_clock: Quantity = "",
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    versus: tuple[str, ...] = (),
    finalists: int = 6,
    jobs: int = 1,
    ray: Annotated[str | None, Parameter(name="--ray")] = None,
    storage: str = "",
    sampler: Literal["nsga2", "tpe", "random"] = "nsga2",
    seed: int = 0,
    spilled: bool = False,
    calibrate: Path | None = None,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("explore"),
    json: bool = False,
) -> None:
    """Search for chips: many are tried on the networks, the best are compiled for, simulated and written as TOML.

    A search that is stopped goes on where it was when the same command is given again. `live.html` in the folder of
    results draws the front while it grows.

    Parameters
    ----------
    models
        Networks with weights, a.onnx:0.7,b.onnx:0.3 (files or names of the zoo); or a .toml of [[network]] tables with
        model and weight.
    node
        Process node: 14nm.
    max_area
        Of the die: 60mm2.
    max_power
        Of the network that draws most, DRAM included: 10W.
    min_fps
        Frames a second that each network must reach.
    minimize
        One to four of energy, time, latency, cost, area, power.
    trials
        Chips to try, those of earlier runs included.
    volume
        Chips over the product's life, for cost.
    max_clock
        Fastest clock at the node's nominal voltage: 2GHz; by default what this project's array reached in synthesis.
    set_
        Narrow an axis of the space: --set cores=1:4 --set dim=32,64 --set dram_gb_s=68.
    versus
        A chip to compare the finalists with: a preset's name or a .toml file.
    finalists
        How many of the best are compiled for and simulated.
    jobs
        Processes to try chips in.
    ray
        Try them on a Ray cluster: an address, auto, or local to start one here.
    storage
        Where trials are kept: a file, or an Optuna URL such as sqlite:///a.db; study.db in the folder by default.
    sampler
        How Optuna draws points.
    seed
        Of the sampler.
    spilled
        Also try chips whose scratchpad cannot hold a network's maps: each takes seconds.
    calibrate
        A folder of photos, or an .npz, to quantize float networks with.
    out
        Folder of results.
    json
        Write the finalists as JSON.
    """
    _needs_optuna()
    from chanzi.explore.goals import Goals
    from chanzi.explore.space import AXES, Space, default_clock_hz, narrowed
    from chanzi.explore.workers import Problem

    nm = node_of(node)
    goals = Goals(
        minimize=tuple(part.strip() for part in minimize.split(",") if part.strip()),
        node_nm=nm,
        max_area_mm2=quantity(max_area, "mm2", "max-area") if max_area else None,
        max_power_w=quantity(max_power, "W", "max-power") if max_power else None,
        min_fps=min_fps,
        volume=number(volume, "volume"),
    )
    clock = quantity(max_clock, "Hz", "max-clock") if max_clock else default_clock_hz(nm)
    space = Space(node_nm=nm, max_clock_hz=clock, axes=narrowed(AXES, dict(_pair(text) for text in set_)))
    if not 1 <= jobs <= 1024:
        raise ExploreError(f"--jobs is {jobs}", hint="1 to 1024 processes")
    if not 1 <= finalists <= 100:
        raise ExploreError(f"--finalists is {finalists}", hint="1 to 100 chips")
    others = _chips(versus)
    weights = networks_of(models)
    with working("quantizing", len(weights)) as advance:
        networks = tuple(_quantized(name, weight, calibrate, advance) for name, weight in weights.items())
    problem = Problem(networks=networks, space=space, goals=goals, spilled=spilled)
    out.mkdir(parents=True, exist_ok=True)
    runner = _runner(problem, jobs, ray)
    try:
        progress = _search(problem, runner, trials, storage or str(out / "study.db"), sampler, seed, out)
        found = _finalists(problem, progress, runner, finalists, others)
    finally:
        runner.close()
    _write(out, problem, progress, found, json=json)


def _needs_optuna() -> None:
    try:
        import optuna
    except ImportError as error:
        raise ExploreError("Optuna is not installed", hint="pip install 'chanzi[explore]'") from error
    del optuna


def quantity(text: str, unit: str, what: str) -> float:
    """Return the number of '60mm2', '10 W' or '2GHz'; the unit may be left out.

    Raises
    ------
    ExploreError
        It is no such thing.
    """
    found = re.fullmatch(
        rf"\s*([-+]?[0-9._]+(?:[eE][-+]?\d+)?)\s*([kMG]?)(?:{unit.replace('mm2', 'mm[2²]')})?\s*", text
    )
    try:
        value = float(found[1]) * _PREFIXES[found[2]] if found else None
    except ValueError:
        value = None
    if value is None:
        raise ExploreError(f"--{what} '{text[:40]}' is no number of {unit}", hint=f"--{what} 60{unit}")
    return value


def networks_of(text: str) -> dict[str, float]:
    """Return the networks of a list on the command line, or of a .toml file, with weights that sum to one.

    Raises
    ------
    ExploreError
        A weight that is no positive number, a network named twice, a file that cannot be read.
    """
    from chanzi.explore.networks import weights_of

    pairs = (
        _listed(Path(text)) if text.endswith(".toml") else [_weighed(part) for part in text.split(",") if part.strip()]
    )
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ExploreError(f"'{twice}' is named twice", hint="give it the sum of the weights")
    return weights_of(dict(pairs))


def _weighed(part: str) -> tuple[str, float]:
    name, colon, weight = part.strip().rpartition(":")
    if not colon:
        return part.strip(), 1.0
    try:
        return name, float(weight)
    except ValueError:
        raise ExploreError(f"'{part.strip()[:60]}' has no weight", hint="net.onnx:0.7") from None


def _listed(path: Path) -> list[tuple[str, float]]:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ExploreError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ExploreError(f"{path} is not valid TOML: {str(error)[:200]}", hint="[[network]] model = ...") from None
    found = []
    rows = data.get("network", [])
    if set(data) - {"network"} or not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise ExploreError(f"{path} is no list of networks", hint="[[network]] tables with model and weight")
    for entry in rows:
        model, weight = entry.get("model"), entry.get("weight", 1.0)
        if set(entry) - {"model", "weight"} or not isinstance(model, str) or isinstance(weight, bool | str):
            raise ExploreError(f"{path}: {entry} is no network", hint='model = "net.onnx", weight = 0.7')
        beside = path.parent / model
        found.append((str(beside) if beside.is_file() else model, float(weight)))
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise ExploreError(f"--set '{text[:60]}' is not axis=range", hint="--set cores=1:4")
    return name.strip(), value.strip()


def _chips(names: tuple[str, ...]) -> list[Any]:
    from chanzi.chip import load_chip

    return [load_chip(name) for name in names]


def _quantized(name: str, weight: float, calibrate: Path | None, advance: Any) -> "Quantized":
    from chanzi.cli.rank import named
    from chanzi.explore.networks import quantized

    network = named(name, calibrate)
    found = quantized(network.name, weight, network.path, network.calibration)
    advance(1)
    return found


def _runner(problem: "Problem", jobs: int, ray: str | None) -> "Runner":
    from chanzi.explore.workers import Here, Processes

    if ray is not None:
        from chanzi.explore.cluster import Cluster

        return Cluster(problem, "" if ray in ("", "local") else ray, jobs if jobs > 1 else 0)
    return Processes(problem, jobs) if jobs > 1 else Here(problem)


def _search(
    problem: "Problem", runner: "Runner", trials: int, storage: str, sampler: Any, seed: int, out: Path
) -> "Progress":
    import time

    from chanzi.explore.search import search
    from chanzi.report import explore as report

    page = report.write_live_page(out)
    note(f"the front as it grows: {page}")
    drawn = noted = time.monotonic()
    with _live() as show:

        def told(progress: "Progress", changed: bool) -> None:
            nonlocal drawn, noted
            now = time.monotonic()
            over = progress.tried >= trials
            if now - drawn >= _DRAW_SECONDS or over or (changed and progress.tried == progress.resumed):
                drawn = now
                report.write_live_data(out, problem, progress, over=over)
                show(lambda: report.progress_table(problem, progress))
            if now - noted >= _NOTE_SECONDS and not sys.stderr.isatty():
                noted = now
                note(report.progress_line(progress))

        progress = search(problem, runner, trials=trials, storage=storage, sampler=sampler, seed=seed, report=told)
    report.write_live_data(out, problem, progress, over=progress.tried >= trials)
    if progress.tried < trials:
        note(f"stopped; the same command goes on. {report.progress_line(progress)}")
    return progress


@contextmanager
def _live() -> Iterator[Any]:
    """Yield a function that shows a table in place on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _make: None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda make: live.update(make(), refresh=True)


def _finalists(problem: "Problem", progress: "Progress", runner: "Runner", wanted: int, others: list[Any]) -> list[Any]:
    from chanzi.explore import finalists as last
    from chanzi.explore.networks import Network

    if not progress.best:
        reasons: dict[str, int] = {}
        for trial in progress.trials:
            why = trial.outcome.reason or "passes a limit"
            reasons[why] = reasons.get(why, 0) + 1
        common = "; ".join(f"{n} x {why}" for why, n in sorted(reasons.items(), key=lambda r: -r[1])[:3])
        raise ExploreError(
            f"none of {progress.tried} chips holds all limits ({common})", hint="more --trials, or wider limits"
        )
    with working("compiling for the finalists", min(wanted, len(progress.best))) as advance:
        found = last.finalists(problem, progress, runner, wanted, lambda: advance(1))
    if others:
        networks = [Network.read(source) for source in problem.networks]
        found += last.given(others, networks, problem)
    return found


def _write(out: Path, problem: "Problem", progress: "Progress", found: list[Any], *, json: bool) -> None:
    import msgspec

    from chanzi.chip import dump_chip
    from chanzi.cli.tables import show
    from chanzi.report import explore as report

    chips: Mapping[str, str] = {f.chip.name: dump_chip(f.chip) for f in found if f.trial is not None}
    for name, text in chips.items():
        part = out / f".{name}.toml.part"
        part.write_text(text, "utf-8")
        part.replace(out / f"{name}.toml")
    data = report.to_dict(problem.goals, found)
    part = out / ".finalists.json.part"
    part.write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=1))
    part.replace(out / "finalists.json")
    command = shlex.join(["chanzi", *sys.argv[1:]])
    report.write_finalists_page(out / "finalists.html", problem, progress, found, command)
    if json:
        say_json(data)
        return
    say(report.progress_line(progress))
    show(report.finalists_table(problem.goals, found))
    say(f"wrote {out / 'finalists.html'}, {', '.join(f'{name}.toml' for name in chips)}")
    if not problem.goals.min_fps and not {"time", "latency"} & set(problem.goals.minimize):
        say("nothing asked for speed, so slow chips win: --min-fps 36, or time beside what --minimize has")
    say(f"a chip's hardware: chanzi rtl --chip {out / (next(iter(chips), 'finalist-1') + '.toml')} -o rtl/")
