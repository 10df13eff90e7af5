"""How fast a careful driver would go here: the limit, the curve ahead, the vehicle in front."""

import math

import numpy as np
import numpy.typing as npt

LATERAL_M_S2 = 2.5
"""Sideways acceleration a passenger calls comfortable; road design allows 1.5 to 3 at town speeds."""

BRAKING_M_S2 = 2.0
"""Comfortable braking, as IDM's authors take it (Treiber, Hennecke, Helbing 2000: 1.67)."""

HEADWAY_S = 1.5
STANDSTILL_M = 4.0
"""Bumper to bumper, behind a vehicle that stands."""

_HORIZON_M = 60.0


def curve_speed_m_s(
    along_m: npt.NDArray[np.floating],
    curvatures_1_m: npt.NDArray[np.floating],
    *,
    lateral_m_s2: float = LATERAL_M_S2,
    braking_m_s2: float = BRAKING_M_S2,
) -> float:
    """Return the speed now from which comfortable braking meets each curve ahead at its own speed.

    Parameters
    ----------
    along_m : (N,)
        How far ahead each point is, 0 and up.
    curvatures_1_m : (N,)
    lateral_m_s2, braking_m_s2 : float
        What is comfortable.
    """
    curve = lateral_m_s2 / np.maximum(np.abs(curvatures_1_m), 1e-4)
    return float(np.sqrt((curve + 2 * braking_m_s2 * np.maximum(along_m, 0.0)).min()))


def curve_speeds_m_s(
    along_m: npt.NDArray[np.floating], curvatures_1_m: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Return at each point ahead (N,) the speed from which comfortable braking meets all that follow.

    Parameters
    ----------
    along_m : (N,)
        How far ahead each point is, rising.
    curvatures_1_m : (N,)
    """
    curve = LATERAL_M_S2 / np.maximum(np.abs(curvatures_1_m), 1e-4)
    # v(s)^2 + 2 b s is least over what follows, from the far end back.
    energy = np.minimum.accumulate((curve + 2 * BRAKING_M_S2 * along_m)[::-1])[::-1]
    return np.sqrt(energy - 2 * BRAKING_M_S2 * along_m)


def follow_speed_m_s(gap_m: float, lead_m_s: float) -> float:
    """Return the speed at which a lead that brakes comfortably is never hit.

    Gipps' safe speed (1981) with a standstill gap; in steady following it keeps `STANDSTILL_M` and `HEADWAY_S`.
    """
    reach = 2 * BRAKING_M_S2 * (gap_m - STANDSTILL_M) + lead_m_s**2
    drift = BRAKING_M_S2 * HEADWAY_S
    return max(0.0, -drift + math.sqrt(max(0.0, drift**2 + reach)))


def horizon_m() -> npt.NDArray[np.float64]:
    """Return the distances ahead at which curves are looked at."""
    return np.arange(0.0, _HORIZON_M, 1.0)
