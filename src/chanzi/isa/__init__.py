"""The instruction set: encodings, timing rules, hazards."""
