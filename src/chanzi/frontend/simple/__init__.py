"""A direct cut of QDQ networks."""
