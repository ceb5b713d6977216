"""Measures of a generator against real data."""
