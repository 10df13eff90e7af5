"""Episodes written down: a log that standard tools read, tables, a recording to look around in, a film."""
