"""The programs that are simulated, with their records and invariants."""
