"""The faults, by their targets."""
