"""The fast simulator: the same bytes as the reference, at the speed of the machine it runs on."""

from chanzi.sim.fast.simulator import Simulator

__all__ = ["Simulator"]
