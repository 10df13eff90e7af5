"""The data engine: drives are collected, labelled, trained on, gated, rolled out and mined, turn after turn."""
