"""A published generator behind HTTP: `gan serve-model`."""
