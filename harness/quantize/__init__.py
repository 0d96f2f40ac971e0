"""From a float graph to an integer one: ranges of what its tensors hold, the quantiser, and what checks it."""
