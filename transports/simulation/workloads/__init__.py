"""The programs that are simulated, what they record, and the invariants that they are judged by."""
