"""The chip in a car: worlds and cameras, the network, planner and controller, latency, and the engine that retrains."""
