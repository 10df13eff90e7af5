"""Random legal programs that hold every machine to the same bytes."""
