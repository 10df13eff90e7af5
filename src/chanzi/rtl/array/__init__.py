"""The array engine: edge feeders, a grid of multiply-accumulators, and the drain with its epilogue lanes."""
