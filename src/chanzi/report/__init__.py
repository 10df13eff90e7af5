"""What a run amounts to, as tables, pages and traces."""
