"""Trials of a world that is well: each breaks one thing, and says what must come of it."""
