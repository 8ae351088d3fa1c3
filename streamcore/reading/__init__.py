"""The parts that readers of streams share, with a group and without."""
