"""``car_run.py FOLDER WORKERS``: the smallest run of the engine with simulated cars, for a test that kills it."""

import sys
from pathlib import Path

from chanzi.drive.engine.car.units import make_units
from chanzi.drive.engine.cycle import run
from chanzi.drive.engine.executor import ProcessExecutor
from chanzi.drive.engine.fleet import Fleet
from chanzi.drive.engine.loop import open_loop
from chanzi.drive.engine.settings import Collect, Settings, Train

SETTINGS = Settings(
    seconds=4.0,
    suite=3,
    backlog=2,
    replays=2,
    collect=Collect(first_drives=2, drives=2, failures=2, first_frames=40, routine_frames=30),
    train=Train(first_epochs=2, epochs=2, threads=1),
    fleet=Fleet(cars=2, drives_per_car=1, waves=(0.5, 1.0)),
)
TURNS = 1


def main() -> None:
    """Run it, or go on with it."""
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    make_executor = (lambda _, where: ProcessExecutor(workers, where)) if workers else None
    with open_loop(folder, make_units, settings=SETTINGS, make_executor=make_executor) as loop:
        run(loop, TURNS)


if __name__ == "__main__":
    main()
