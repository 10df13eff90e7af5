"""Test-wide settings: hypothesis profiles, and no help from what was compiled before."""

import os

from hypothesis import HealthCheck, settings

# CI must give the same answer twice: the examples are then a function of the test alone. By hand they are random.
settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# A program compiled by an older checkout must not stand in for one that this checkout would compile.
os.environ.setdefault("CHANZI_CACHE", "0")
