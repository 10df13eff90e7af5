"""The search for a better chip: a space of chips, what each is worth on a set of networks, and who is on the front."""
