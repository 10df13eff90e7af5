"""Three machines for one instruction set; they share no code."""
