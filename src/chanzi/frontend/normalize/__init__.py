"""One rewrite a file: the ways exporters write one thing, made one way."""
