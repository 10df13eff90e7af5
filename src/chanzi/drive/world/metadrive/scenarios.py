"""What is driven in MetaDrive: sequences of its road blocks, by name."""

from dataclasses import dataclass

import numpy as np

JUNCTIONS = "XTO"
"""Blocks at which the route asks for a direction: crossing, T, roundabout."""

_TYPES = "SCXOT"
_SHARES = (0.25, 0.3, 0.2, 0.15, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of road.

    Parameters
    ----------
    blocks : str
        MetaDrive's letters: S straight, C curve, X crossing, T T-junction, O roundabout. Empty: `mixed` blocks, drawn
        from the seed.
    lanes : tuple of int
        Lanes in each direction, one of these by the seed.
    mixed : int
    """

    blocks: str
    lanes: tuple[int, ...]
    mixed: int = 0

    def sequence(self, rng: np.random.Generator) -> str:
        """Return the blocks of one episode."""
        if self.blocks:
            return self.blocks
        drawn = ""
        while len(drawn) < self.mixed:
            block = str(rng.choice(list(_TYPES), p=_SHARES))
            # Junctions need room before them, and the traffic too.
            if block in JUNCTIONS and (not drawn or drawn[-1] in JUNCTIONS):
                block = "S"
            drawn += block
        return drawn


SCENARIOS = {
    "straight": Scenario(blocks="SS", lanes=(2, 3)),
    "curve": Scenario(blocks="CSC", lanes=(2, 3)),
    "intersection": Scenario(blocks="SX", lanes=(2, 3)),
    "roundabout": Scenario(blocks="SO", lanes=(1,)),
    "mixed": Scenario(blocks="", lanes=(2, 3), mixed=4),
}
