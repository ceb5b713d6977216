"""A search over an experiment's settings: trials on Ray Tune, what became of them, and what it says."""
