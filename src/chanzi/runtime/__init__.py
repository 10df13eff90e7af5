"""Sessions: the chip's share, the host's share, and what passes between them."""
