"""What the engine does with cars and networks: its units of work, and who sits in a car while it drives."""
