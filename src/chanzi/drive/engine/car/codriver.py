"""The expert beside a network while drives are collected: stretches of its own, unsteady on purpose, and rescue."""

import numpy as np

from chanzi.drive.engine.interface import Mix
from chanzi.drive.episode import CoDriver, Hands
from chanzi.drive.expert import expert_control
from chanzi.drive.messages import Control
from chanzi.drive.network.collect import Recipe, Unsteady
from chanzi.drive.world.world import World

STRETCH_S = 2.0
"""How long one draw of who drives lasts."""
THINK_S = 0.08
"""Between the expert's decisions: the truth costs more than a tick of the world."""
CALM_M = 1.4
"""Further beside the lane's centre the expert is not pushed any more."""
EXPERT = "expert"


class ExpertCoDriver:
    """Mixes an expert into a drive; the same mix gives the same stretches and pushes, whoever else drives.

    Parameters
    ----------
    mix : Mix
    rescuer : CoDriver
        Who takes over where the network is about to fail; asked first where `mix.rescue` says so.
    """

    def __init__(self, mix: Mix, rescuer: CoDriver) -> None:
        self._mix, self._rescuer = mix, rescuer
        self._restart()

    def _restart(self) -> None:
        self._chance = np.random.default_rng(self._mix.seed)
        self._unsteady = Unsteady(Recipe(burst_rad=self._mix.noise_rad), self._mix.seed)
        self._until_s, self._expert = 0.0, False
        self._think_s = 0.0
        self._hands: Hands | None = None

    def begin(self, world: World) -> None:
        """Begin an episode."""
        self._rescuer.begin(world)
        self._restart()

    def take(self, world: World, time_s: float, speed_m_s: float) -> Hands | None:
        """Return what the expert does in the next tick, or None where the network drives."""
        if time_s >= self._until_s - 1e-9:
            self._until_s += STRETCH_S
            self._expert = self._chance.random() < self._mix.share
            self._hands = None
        hands = self._rescuer.take(world, time_s, speed_m_s) if self._mix.rescue else None
        if hands is not None or not self._expert:
            return hands
        if time_s < self._think_s - 1e-9 and self._hands is not None:
            return self._hands
        self._think_s = time_s + THINK_S
        truth = world.truth()
        told, push_rad = self._unsteady.disturb(time_s, truth) if self._mix.noise_rad else (truth, 0.0)
        control = expert_control(told, speed_m_s, world.vehicle)
        if abs(truth.lateral_m) > CALM_M:
            push_rad = 0.0
        pushed = Control(steering_rad=control.steering_rad + push_rad, acceleration_m_s2=control.acceleration_m_s2)
        self._hands = Hands(control=pushed, why=EXPERT)
        return self._hands
