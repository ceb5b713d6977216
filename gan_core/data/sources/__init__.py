"""Built-in data sets and formats, one a file."""
