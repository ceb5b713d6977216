"""From a source's examples to batches: sources, shards, the order of examples, and their delivery."""
