"""Kinds of data: what an example of each is as it is stored, and as it is looked at, measured, played and written."""
