"""The network that drives: one backbone for all cameras and heads. What it takes and says, data, training, export."""

from chanzi.drive.network.files import Shipped, shipped

__all__ = ["Shipped", "shipped"]
