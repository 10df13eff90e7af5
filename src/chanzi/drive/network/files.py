"""The networks that ship with the package: files, trained by `bench/train_drive.py`."""

import json
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A network that ships.

    Parameters
    ----------
    int8 : Path
        QDQ ONNX: what chips run.
    floating : Path
        As it was trained.
    made : Path
        How: command, seeds, drives, losses, as JSON.
    """

    int8: Path
    floating: Path
    made: Path

    @property
    def pace(self) -> float:
        """How much faster than it proposes it drives best: a racing car's network was taught by a careful driver."""
        return float(json.loads(self.made.read_text("utf-8"))["pace"])


def shipped(world: str = "highway") -> Shipped | None:
    """Return the network that ships for a world, such as `highway` or `highway:racetrack`; None where none does."""
    base = world.partition(":")[0]
    found = Shipped(int8=DATA / f"{base}-int8.onnx", floating=DATA / f"{base}.onnx", made=DATA / f"{base}.json")
    return found if found.int8.is_file() else None
