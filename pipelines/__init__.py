"""The workflow around gan_core: stages, keys, flow, command line. No arithmetic."""
