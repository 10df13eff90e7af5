"""Makes the units of a run with simulated cars: what `interface.UnitMaker` asks for, of worlds, networks and chips."""

from chanzi.drive.engine.car import network as nets
from chanzi.drive.engine.car.drive import DriveCar
from chanzi.drive.engine.interface import DriveOrder
from chanzi.drive.engine.settings import Settings
from chanzi.drive.engine.unit import Unit
from chanzi.drive.pilot import BACKENDS
from chanzi.errors import LoopError, did_you_mean


class CarUnits:
    """See `UnitMaker`."""

    def __init__(self, settings: Settings) -> None:
        from chanzi.chip import dump_chip, load_chip

        if settings.backend not in BACKENDS:
            raise LoopError(f"no backend '{settings.backend}'", hint=did_you_mean(settings.backend, BACKENDS))
        self._settings = settings
        self._chip = dump_chip(load_chip(settings.chip))

    def drive(self, order: DriveOrder) -> Unit:
        """See `UnitMaker`."""
        return DriveCar(order=order, cameras=self._settings.cameras)

    def label(self, recording: str, frames: tuple[int, ...]) -> Unit:
        """See `UnitMaker`."""
        return nets.Label(recording=recording, frames=frames)

    def train(self, shards: tuple[str, ...], parent: str | None, epochs: int, seed: int) -> Unit:
        """See `UnitMaker`."""
        settings = self._settings
        return nets.Train(
            shards=shards,
            parent=parent,
            epochs=epochs,
            seed=seed,
            threads=settings.train.threads,
            cameras=settings.cameras,
        )

    def adopt(self, network: str) -> Unit:
        """See `UnitMaker`."""
        return nets.Adopt(network=network, cameras=self._settings.cameras)

    def quantize(self, network: str, shards: tuple[str, ...]) -> Unit:
        """See `UnitMaker`."""
        return nets.Quantize(network=network, shards=shards)

    def compile(self, int8: str, shards: tuple[str, ...]) -> Unit:
        """See `UnitMaker`."""
        return nets.Compile(int8=int8, shards=shards, chip=self._chip)

    def executed(self, network: str, int8: str, program: str) -> str:
        """See `UnitMaker`."""
        return {"float": network, "ort-int8": int8, "chip": program}[self._settings.backend]


def make_units(settings: Settings) -> CarUnits:
    """Return what makes the units of a run."""
    return CarUnits(settings)
