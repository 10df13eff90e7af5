"""Bounds and prices that follow from shapes and a chip alone."""
