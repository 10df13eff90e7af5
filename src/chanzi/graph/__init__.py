"""The typed int8 graph between frontend and compiler."""
