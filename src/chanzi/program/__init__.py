"""Compiled programs and the .chz file that holds them."""
