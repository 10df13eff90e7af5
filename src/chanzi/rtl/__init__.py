"""The chip as hardware, in Amaranth: the same machine as the simulators, to the bit and to the cycle."""
