"""Network families, one a file; blocks they share."""
