"""The arithmetic's definition: requantize, rounding, tables."""
