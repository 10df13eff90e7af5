"""The stages of a turn, in the order of `chanzi.drive.engine.loop.STAGES`, and what comes after the last turn."""
