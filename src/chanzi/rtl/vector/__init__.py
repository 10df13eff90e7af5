"""The vector unit: windows and elementwise operators on maps of bytes."""
