"""Networks by name: one that ships with the package, and readers for those that other packages ship."""
