"""The network that drives: one backbone for all cameras and heads. What it takes and says, data, training, export."""
