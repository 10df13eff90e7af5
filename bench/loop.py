"""The data engine turning by itself, killed at every stage in turn: driving quality per turn, what was mined and fixed.

    python bench/loop.py FOLDER                     run (or go on with) four turns, killed eight times on the way
    python bench/loop.py FOLDER --write             the same, and write docs/results/loop.md and its figure

Settings are those of bench/loop.toml. Each kill is SIGKILL for the process that runs the cycle, while a unit of that
stage is half done; the same command is then started again. Takes hours on two cores.
"""

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from loop_fault import fault, words

from chanzi.drive.engine.car.units import make_units
from chanzi.drive.engine.history import History, history
from chanzi.drive.engine.journal import Journal
from chanzi.drive.engine.loop import journal_path, open_loop, read_run
from chanzi.drive.engine.stages.held_out import HeldOut, held_out
from chanzi.drive.statistics import bootstrap_mean, wilson
from chanzi.errors import LoopError
from chanzi.report.loop import gate_word, rate, reasons

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "results"
SETTINGS = HERE / "loop.toml"
TURNS = 4
KILLS = (
    (1, "collect"), (1, "label"), (1, "train"), (2, "quantize"),
    (2, "compile"), (2, "gate"), (3, "deploy"), (3, "mine"),
)  # fmt: skip
COMMAND = f"chanzi loop run FOLDER --turns {TURNS} --settings bench/loop.toml --workers 2"

PAGE = """\
# The data engine, turning

`python bench/loop.py FOLDER --write`, which runs `{command}`
with the settings of `bench/loop.toml`, killed with SIGKILL eight times on the way, on two cores shared with other work.
Minutes are of processor time, so that they do not depend on what else the machine did. Intervals are 95 % (Wilson's for
rates, bootstrap for means). Code {codes}.

## Turns

{turns}

*suite*: how much of the gate's suite the turn's candidate passes. *road*: the same of what the fleet then drove with
the version it had, on fresh seeds. *mined*: failures on that road. *fixed by the next*: how many of them the next
turn's candidate passed, of those that the deployed version still failed.

{reasons}

![Pass rates per turn](loop.svg)

## Held out

Every version that the fleet had, on {drives} seeds that nothing was trained, tuned or chosen by; run once, at the end.

| version | passed | progress in the time |
|---|---:|---:|
{held}

## What each version fixed

Of the mined failures that its gate asked it.

{versions}

## Triggers

{triggers}

## Mined failures come again

{exact} of {replayed} mined failures that were driven a second time came again to the last bit of the trajectory.

## A bad network

The deployed network with its steering mirrored, as one more turn's candidate (`python bench/loop_fault.py FOLDER`).
{fault}

## Killed at every stage in turn

{kills}

{units} units were done, each once. {twice} were begun more than once: those in hand at a kill. {after} were begun again
after they were done. Artefacts lost or damaged: {wrong} of {artefacts}.
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the cycle, or go on with it."""
    words = COMMAND.replace("FOLDER", str(folder)).replace("bench/loop.toml", str(SETTINGS)).split()
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen([str(Path(sys.executable).parent / words[0]), *words[1:]], stdout=log, stderr=log)


def look(folder: Path) -> Journal | None:
    """Open the journal to look, if it is there yet."""
    try:
        return read_run(folder)[1]
    except (LoopError, sqlite3.Error):
        return None


def kill_in(folder: Path, turn: int, stage: str) -> str:
    """Run until a unit of that stage is under way, kill, and return what was in hand; '' if the stage is over."""
    process = start(folder)
    while process.poll() is None:
        journal = look(folder)
        if journal is not None:
            over = journal.conclusion(turn, stage) is not None
            in_hand = [unit for t, s, unit in journal.open_units() if (t, s) == (turn, stage)]
            done = len(journal.entries(turn=turn, stage=stage))
            journal.close()
            if over:
                # Between two looks; the kill is lost, the run is not.
                process.send_signal(signal.SIGKILL)
                process.wait()
                return ""
            if in_hand and (done or stage in ("train", "quantize", "compile", "mine")):
                time.sleep(0.5)
                process.send_signal(signal.SIGKILL)
                process.wait()
                return f"{done} units of the stage done, {len(in_hand)} in hand"
        time.sleep(0.2)
    raise SystemExit(f"the run ended by itself: see {folder.parent / folder.name}.log")


def kills(folder: Path) -> list[str]:
    """Kill at every stage in turn; return a line for each kill that was not made before."""
    notes = folder.parent / f"{folder.name}.kills"
    lines = notes.read_text("utf-8").splitlines() if notes.is_file() else []
    for turn, stage in KILLS[len(lines) :]:
        what = kill_in(folder, turn, stage) or "the stage was over before the kill"
        lines.append(f"turn {turn}, {stage}: {what}")
        notes.write_text("\n".join(lines) + "\n", "utf-8")
        print(lines[-1], flush=True)
    process = start(folder)
    if process.wait():
        raise SystemExit(f"the run failed: see {folder.parent / folder.name}.log")
    return lines


def page(folder: Path, killed: list[str], held: list[HeldOut], drives: int) -> str:
    """Return the results page."""
    _, journal = read_run(folder)
    found = history(journal)
    entries = journal.entries()
    twice = sum(entry.attempts > 1 for entry in entries)
    after = journal.begun_after_done()
    codes = ", ".join(found.codes)
    replayed = [turn.mined for turn in found.turns if turn.mined is not None]
    text = PAGE.format(
        command=COMMAND,
        codes=codes,
        turns="\n".join(turn_rows(found)),
        reasons="\n".join(f"- {line}" for line in reasons(found)),
        drives=drives,
        held="\n".join(held_rows(held)),
        versions="\n".join(version_rows(found)),
        triggers="\n".join(trigger_rows(found)),
        exact=sum(mined.exact for mined in replayed),
        replayed=sum(mined.replayed for mined in replayed),
        fault=words(fault(folder)),
        kills="\n".join(f"- {line}" for line in killed),
        units=len(entries),
        twice=twice,
        after=after,
        wrong=len(journal.audit()),
        artefacts=len(journal.artefacts()),
    )
    journal.close()
    return text


def turn_rows(found: History) -> list[str]:
    """Return the table of turns."""
    rows = [
        "| turn | frames kept | trained on | suite | gate | fleet has | road | mined | fixed by the next | minutes |",
        "|---:|---:|---:|---:|---|---|---:|---:|---:|---:|",
    ]
    for turn, later in zip(found.turns, [*found.turns[1:], None], strict=True):
        assert None not in (turn.collected, turn.candidate, turn.deployed, turn.mined)
        fixed = "" if later is None or later.gated is None else f"{later.gated.answered} of {later.gated.asked}"
        rows.append(
            f"| {turn.number} | {turn.collected.kept_frames} | {turn.candidate.frames} | {rate(turn.suite)} |"
            f" {gate_word(turn)} | v{turn.deployed.version.number} | {rate(turn.road)} |"
            f" {len(turn.mined.failures)} of {turn.mined.drives} | {fixed} | {sum(turn.cpu_s.values()) / 60:.1f} |"
        )
    return rows


def version_rows(found: History) -> list[str]:
    """Return the table of versions."""
    rows = ["| version | from | ms a frame on the chip | fixed | broke |", "|---|---|---:|---|---|"]
    for turn in found.turns:
        assert None not in (turn.candidate, turn.programmed, turn.gated)
        parent = "nothing" if turn.candidate.parent is None else f"v{turn.candidate.parent}"
        rows.append(
            f"| v{turn.number} ({gate_word(turn)}) | {parent} | {1000 * turn.programmed.compiled.latency_s:.2f} |"
            f" {counted(turn.gated.fixed)} | {counted(turn.gated.broken)} |"
        )
    return rows


def counted(things: tuple[str, ...]) -> str:
    """Return things with how often each is there."""
    return "; ".join(f"{things.count(thing)} × {thing}" for thing in sorted({*things}, key=lambda t: -things.count(t)))


def trigger_rows(found: History) -> list[str]:
    """Return the table of triggers."""
    rows = ["| turn | trigger | fired | per 1000 frames | frames kept | budget |", "|---:|---|---:|---:|---:|---:|"]
    for turn in found.turns:
        assert turn.collected
        rows += [
            f"| {turn.number} | {one.name.replace('_', ' ')} | {one.events} | {one.per_1000_frames:.1f} |"
            f" {one.kept_frames} | {one.budget_frames} |"
            for one in turn.collected.rates
        ]
    return rows


def held_rows(held: list[HeldOut]) -> list[str]:
    """Return the rows of the held-out drives."""
    rows = []
    for one in held:
        passed = wilson(sum(one.quality.passed), len(one.quality.passed))
        mean = bootstrap_mean(one.quality.progress)
        rows.append(f"| v{one.version} | {rate(passed)} | {mean.value:.3f} ({mean.low:.3f}-{mean.high:.3f}) |")
    return rows


def draw(found: History, held: list[HeldOut], target: Path) -> None:
    """Draw pass rates per turn."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "chanzi"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6))
    for name, get, shift, colour in (
        ("suite, candidate", lambda t: t.suite, -0.08, "#3f8efc"),
        ("road, fleet", lambda t: t.road, 0.0, "#2a9d5c"),
    ):
        points = [(t.number, get(t)) for t in found.turns if get(t) is not None]
        x = [n + shift for n, _ in points]
        y = [100 * i.value for _, i in points]
        error = [[100 * (i.value - i.low) for _, i in points], [100 * (i.high - i.value) for _, i in points]]
        axes.errorbar(x, y, error, marker="o", capsize=3, label=name, color=colour)
    at = [one.version + 0.08 for one in held]
    rates = [wilson(sum(one.quality.passed), len(one.quality.passed)) for one in held]
    error = [[100 * (i.value - i.low) for i in rates], [100 * (i.high - i.value) for i in rates]]
    axes.errorbar(at, [100 * i.value for i in rates], error, marker="s", ls="", capsize=3, label="held out, deployed",
                  color="#d1495b")  # fmt: skip
    axes.set_xticks([t.number for t in found.turns])
    axes.set_xlabel("turn")
    axes.set_ylabel("drives passed, %")
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Run, kill, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--drives", type=int, default=100, help="held-out drives of each version")
    wanted = parser.parse_args()
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    wanted.folder.parent.mkdir(parents=True, exist_ok=True)
    killed = kills(wanted.folder)
    assert journal_path(wanted.folder).is_file()
    from chanzi.drive.engine.executor import ProcessExecutor

    with open_loop(wanted.folder, make_units, make_executor=lambda _, where: ProcessExecutor(2, where)) as loop:
        held = held_out(loop, wanted.drives)
        found = history(loop.journal)
    text = page(wanted.folder, killed, held, wanted.drives)
    print(text)
    if wanted.write:
        (RESULTS / "loop.md").write_text(text, "utf-8")
        draw(found, held, RESULTS / "loop.svg")


if __name__ == "__main__":
    main()
