"""The market: a network on chips that can be had, ranked; and whether to make a chip of one's own or to buy one."""
