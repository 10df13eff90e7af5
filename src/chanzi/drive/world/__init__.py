"""Worlds a car drives in: simulators behind one protocol."""
