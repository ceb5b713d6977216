"""The training engine: state, schedule, loop, workers, checkpoints."""
