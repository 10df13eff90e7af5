"""The car's own parts for the engine: what `orders.Parts` asks for, made of worlds, networks and chips."""

from chanzi.drive.engine import networks
from chanzi.drive.engine.car import DriveCar
from chanzi.drive.engine.orders import DriveOrder
from chanzi.drive.engine.settings import Settings
from chanzi.drive.engine.work import Work
from chanzi.drive.pilot import BACKENDS
from chanzi.errors import LoopError, did_you_mean


class CarParts:
    """See `orders.Parts`."""

    def __init__(self, settings: Settings) -> None:
        from chanzi.chip import dump_chip, load_chip

        if settings.backend not in BACKENDS:
            raise LoopError(f"no backend '{settings.backend}'", hint=did_you_mean(settings.backend, BACKENDS))
        self._settings = settings
        self._chip = dump_chip(load_chip(settings.chip))

    def drive(self, order: DriveOrder) -> Work:
        """See `Parts`."""
        return DriveCar(order=order, cameras=self._settings.cameras)

    def label(self, recording: str, frames: tuple[int, ...]) -> Work:
        """See `Parts`."""
        return networks.Label(recording=recording, frames=frames)

    def train(self, shards: tuple[str, ...], parent: str | None, epochs: int, seed: int) -> Work:
        """See `Parts`."""
        settings = self._settings
        return networks.Train(
            shards=shards,
            parent=parent,
            epochs=epochs,
            seed=seed,
            threads=settings.train.threads,
            cameras=settings.cameras,
        )

    def adopt(self, network: str) -> Work:
        """See `Parts`."""
        return networks.Adopt(network=network, cameras=self._settings.cameras)

    def quantize(self, network: str, shards: tuple[str, ...]) -> Work:
        """See `Parts`."""
        return networks.Quantize(network=network, shards=shards)

    def compile(self, int8: str, shards: tuple[str, ...]) -> Work:
        """See `Parts`."""
        return networks.Compile(int8=int8, shards=shards, chip=self._chip)

    def executed(self, network: str, int8: str, program: str) -> str:
        """See `Parts`."""
        return {"float": network, "ort-int8": int8, "chip": program}[self._settings.backend]


def make_parts(settings: Settings) -> CarParts:
    """Return the parts of a run."""
    return CarParts(settings)
